"""The subspace that training went through, and unit-free samples of it and of everything orthogonal to it.

Adilova et al., ICLR 2024, Figure 6 compares such directions. Columns of M are displacements of weights during training;
Q is an orthonormal basis of their span, principal directions first. Done differently from the public scripts:

- Snapshots must be copies. Where recorded arrays share the live model's memory all of them are its last weights, and
  M has the rank of the number of models (2 there, instead of 72). Shared memory and equal snapshots are refused.
- Coefficients are standard normal. Drawn from [0, 1) they prefer one orthant, whose place depends on the arbitrary
  signs of singular vectors; flipping those changed the loss there by a factor of 16.
- The null space is never built: z - Q Q^T z of a standard normal z is isotropic in the complement.

The decomposition goes through the Gram matrix (columns x columns), entry by entry, in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unpooled.connectivity.alike import require_alike
from unpooled.connectivity.checkpoints import Checkpoint, Weights, open_checkpoint
from unpooled.connectivity.layers import Names
from unpooled.connectivity.lazy import LazyWeights
from unpooled.errors import BadData, BadSetting, did_you_mean, fraction

COLUMNS = ("from_start", "steps", "raw")
"""w_t - w_0, w_t - w_(t-1), or w_t itself as in the public scripts."""
Vector = dict[str, Tensor]
"""A direction: entry -> its part, flat or in the entry's shape, double."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where one model began, and true copies of its weights on the way (modules and files are opened)."""

    start: Checkpoint
    snapshots: Sequence[Checkpoint]

    def opened(self) -> tuple[Weights, ...]:
        """All weights, the start first. Raises `BadData` for none, or for snapshots that are no copies."""
        states = tuple(open_checkpoint(one) for one in (self.start, *self.snapshots))
        if len(states) < 2:
            raise BadData("A trajectory needs at least one snapshot besides its start.")
        for state in states[1:]:
            require_alike(states[0], state, ("the start", "a snapshot"))
        held = [state for state in states if not isinstance(state, LazyWeights)]
        for name in states[0]:
            places = [state[name].data_ptr() for state in held if state[name].numel()]
            if len(set(places)) < len(places):
                raise BadData(
                    f"Two snapshots share the memory of '{name}', so both are the weights as they are now: record "
                    "copies, {name: tensor.clone() for name, tensor in model.state_dict().items()}."
                )
        if len(states) > 2 and all(_equal(states[1], state) for state in states[2:]):
            raise BadData(
                f"All {len(states) - 1} snapshots of a trajectory are equal: were copies recorded, or the live model?"
            )
        return states


def _equal(a: Weights, b: Weights) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@dataclass(frozen=True, eq=False)
class Span:
    """Orthonormal directions, principal ones first: `basis` maps an entry to (rank, numbers of the entry), double."""

    basis: Mapping[str, Tensor]
    singular_values: Tensor
    columns: int
    parameters: int

    @property
    def rank(self) -> int:
        """How many directions there are."""
        return len(self.singular_values)

    def combined(self, coefficients: Tensor) -> Vector:
        """The sum of the first directions with these coefficients, shape (k,), k up to the rank."""
        return {name: coefficients @ part[: len(coefficients)] for name, part in self.basis.items()}

    def coefficients(self, vector: Mapping[str, Tensor]) -> Tensor:
        """Those of the vector's projection, shape (rank,)."""
        products = [part @ vector[name].double().flatten() for name, part in self.basis.items()]
        return torch.stack(products).sum(dim=0)

    def without(self, vector: Mapping[str, Tensor]) -> Vector:
        """What is left of a vector when its projection is taken away; twice, so that rounding is taken away too."""
        left = {name: vector[name].double().flatten() for name in self.basis}
        for _ in range(2):
            inside = self.combined(self.coefficients(left))
            left = {name: part - inside[name] for name, part in left.items()}
        return left

    def sample(self, random: torch.Generator, first: int | None = None) -> Vector:
        """A normal vector in the span, or in its first principal directions: isotropic there."""
        count = self.rank if first is None else min(first, self.rank)
        return self.combined(torch.randn(count, generator=random, dtype=torch.float64))

    def null_sample(self, random: torch.Generator) -> Vector:
        """A normal vector in the orthogonal complement: isotropic there."""
        drawn = {
            name: torch.randn(part.shape[1], generator=random, dtype=torch.float64) for name, part in self.basis.items()
        }
        return self.without(drawn)


def span_of(
    trajectories: Sequence[Trajectory],
    names: Names,
    *,
    columns: str = "from_start",
    tolerance: float = 1e-6,
    energy: float = 1.0,
) -> Span:
    """The span of the trajectories' columns in the entries `names`.

    Directions are kept whose singular value is above `tolerance` times the greatest, and of these as many as hold the
    share `energy` of the sum of squares. Raises `BadData` for columns that are all zero, `BadSetting` for settings out
    of range (a tolerance below 1e-7 is under the rounding of a Gram matrix).
    """
    if columns not in COLUMNS:
        raise BadSetting(
            f"There are no columns '{columns}'; there are {', '.join(COLUMNS)}.{did_you_mean(columns, COLUMNS)}"
        )
    fraction(energy=energy)
    if not 1e-7 <= tolerance < 1:
        raise BadSetting(f"tolerance must be at least 1e-7 and below 1; got {tolerance}.")
    states = [one.opened() for one in trajectories]
    matrix = {name: torch.cat([_columns(path, name, columns) for path in states]) for name in names}
    gram = torch.stack([part @ part.T for part in matrix.values()]).sum(dim=0)
    squares, vectors = (part.flip(-1) for part in torch.linalg.eigh(gram))
    values = squares.clamp_min(0).sqrt()
    if not float(values[0]):
        raise BadData(f"Nothing moved in {', '.join(names)} during training: there is no training subspace.")
    shares = squares.clamp_min(0).cumsum(0) / squares.clamp_min(0).sum()
    enough = int((shares < energy - 1e-12).sum()) + 1
    rank = min(int((values > tolerance * values[0]).sum()), enough)
    rough = {name: (vectors[:, :rank] / values[:rank]).T @ part for name, part in matrix.items()}
    again = torch.stack([part @ part.T for part in rough.values()]).sum(dim=0)
    lower = torch.linalg.cholesky(again)
    basis = {name: torch.linalg.solve_triangular(lower, part, upper=False) for name, part in rough.items()}
    parameters = sum(part.shape[1] for part in basis.values())
    return Span(basis, values[:rank], len(gram), parameters)


def _columns(states: Sequence[Weights], name: str, kind: str) -> Tensor:
    """(columns, numbers of the entry) of one trajectory."""
    rows = torch.stack([state[name].detach().double().flatten() for state in states])
    if kind == "from_start":
        return rows[1:] - rows[0]
    return rows[1:] - rows[:-1] if kind == "steps" else rows[1:]

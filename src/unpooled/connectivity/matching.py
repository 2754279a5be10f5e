"""Another order of a model's units, in which it computes the same and is as near as can be to a second model.

S. Ainsworth, J. Hayase, S. Srinivasa, "Git Re-Basin: merging models modulo permutation symmetries", ICLR 2023: weight
matching (section 3.2: group after group in random order, each a linear assignment with all others as they are, until
nothing gains) and activation matching (section 3.1). Choices: units of activations are compared by correlation, as in
Y. Li et al., "Convergent learning", ICLR 2016, so that loud units do not decide; a group's new order is taken only if
it gains; running statistics move along but do not vote; and whether the permuted model computes the same is checked.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from unpooled.connectivity.alike import inputs_for, opened
from unpooled.connectivity.checkpoints import Checkpoint, Weights
from unpooled.connectivity.graph import Program, program_of
from unpooled.connectivity.layers import is_statistic
from unpooled.connectivity.permutations import Group, Permutations, permutation_groups, permuted, places
from unpooled.errors import BadSetting, Unsupported, did_you_mean
from unpooled.seeds import Streams

METHODS = ("weights", "activations")
SWEEPS = 100
GAIN = 1e-12
CHECKED = 32
"""Inputs on which the permuted model is compared with the original."""
SAME = 1e-9
"""The greatest difference of outputs, in double precision and relative to the largest, that is only rounding."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """`weights` are the second model's with its units in another order.

    `permutations` says where the units of each group come from, `moved` how many changed place, of `units`;
    `similarity` is the sum of products of both models' weights before and after, `gap` the relative difference of the
    outputs of the permuted model from the original's, in double precision.
    """

    weights: Weights
    permutations: Permutations
    groups: Mapping[str, Group]
    method: str
    sweeps: int
    moved: int
    units: int
    similarity: tuple[float, float]
    gap: float

    @property
    def facts(self) -> dict[str, Any]:
        """What a record keeps."""
        return {
            "method": self.method,
            "groups": len(self.groups),
            "units": self.units,
            "moved": self.moved,
            "sweeps": self.sweeps,
            "similarity_before": self.similarity[0],
            "similarity_after": self.similarity[1],
            "gap": self.gap,
        }


def align(
    a: Checkpoint,
    b: Checkpoint,
    X: Any,
    *,
    model: nn.Module | None = None,
    method: str = "weights",
    seed: int = 0,
) -> Alignment:
    """Model `b` with its units in the order in which it is nearest to `a`; it computes the same, and that is checked.

    X are inputs: a few suffice for "weights", "activations" compares units on all of them. Raises `BadSetting` for
    an unknown method, `Unsupported` for a model that has nothing to permute, or if the outputs changed.
    """
    if method not in METHODS:
        hint = did_you_mean(method, METHODS)
        raise BadSetting(f"There is no way '{method}' to align; there are {', '.join(METHODS)}.{hint}")
    first, second, given = opened(a, b, model)
    X, program = inputs_for(given, X), program_of(given)
    groups = permutation_groups(program, first, X[:2])
    if not groups:
        why = program.reason or "all of its units are those of the input or output, or of a layer that is not known"
        raise Unsupported(f"No units of this model can be permuted: {why}.")
    if method == "weights":
        orders, sweeps = _by_weights(first, second, groups, seed)
    else:
        orders, sweeps = _by_activations(program, first, second, groups, X), 1
    found = permuted(second, groups, orders)
    gap = _gap(given, second, found, X[:CHECKED])
    if not gap <= SAME:
        raise Unsupported(
            f"Permuting the units changed the outputs, by {gap:.1e} of the largest: this architecture is not followed "
            "as it should be. Compare without alignment."
        )
    moved = sum(int((order != torch.arange(len(order))).sum()) for order in orders.values())
    similarity = _similarity(first, second, groups), _similarity(first, found, groups)
    units = sum(group.size for group in groups.values())
    return Alignment(found, orders, groups, method, sweeps, moved, units, similarity, gap)


def _votes(group: Group) -> list[tuple[str, int, int]]:
    return [(axis.entry, axis.dim, axis.repeat) for axis in group.axes if not is_statistic(axis.entry)]


def _by_weights(a: Weights, b: Weights, groups: Mapping[str, Group], seed: int) -> tuple[dict[str, Tensor], int]:
    orders = {name: torch.arange(group.size) for name, group in groups.items()}
    names, random = list(groups), Streams(seed).generator("order of groups")
    sweeps, gained = 0, True
    while gained and sweeps < SWEEPS:
        sweeps, gained = sweeps + 1, False
        for i in random.permutation(len(names)):
            name = names[i]
            products = _products(a, b, groups, orders, name)
            order = torch.from_numpy(linear_sum_assignment(products.numpy(), maximize=True)[1])
            rows = torch.arange(len(order))
            if float(products[rows, order].sum()) > float(products[rows, orders[name]].sum()) + GAIN:
                orders[name], gained = order, True
    return orders, sweeps


def _products(a: Weights, b: Weights, groups: Mapping[str, Group], orders: Permutations, name: str) -> Tensor:
    """How alike each unit of the first model is to each of the second, all other groups as they stand."""
    size = groups[name].size
    total = torch.zeros(size, size, dtype=torch.float64)
    for entry, dim, repeat in _votes(groups[name]):
        other = b[entry].detach().cpu().double()
        for group, order in orders.items():
            for axis in groups[group].axes:
                if axis.entry == entry and axis.dim != dim:
                    other = other.index_select(axis.dim, places(order, axis.repeat))
        rows = [_rows(one, dim, size, repeat) for one in (a[entry].detach().cpu().double(), other)]
        total += rows[0] @ rows[1].T
    return total


def _rows(tensor: Tensor, dim: int, size: int, repeat: int) -> Tensor:
    """One row a unit: shape (size, everything else)."""
    return tensor.movedim(dim, 0).reshape(size, repeat, -1).flatten(1)


def _by_activations(
    program: Program, a: Weights, b: Weights, groups: Mapping[str, Group], X: Tensor
) -> dict[str, Tensor]:
    keep = {step for group in groups.values() for step, _, _ in group.seen}
    values = []
    with torch.no_grad():
        for weights in (a, b):
            program.load(weights)
            values.append(program.run(X, keep)[1])
    orders = {}
    for name, group in groups.items():
        total = np.zeros((group.size, group.size))
        for step, axis, repeat in group.seen:
            one, other = (_standard(_rows(value[step].cpu().double(), axis, group.size, repeat)) for value in values)
            total += (one @ other.T).numpy()
        orders[name] = torch.from_numpy(linear_sum_assignment(total, maximize=True)[1])
    return orders


def _standard(rows: Tensor) -> Tensor:
    """Each row with mean 0 and length 1; a unit that never changes is a row of zeros."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    lengths = centred.square().sum(dim=1, keepdim=True).sqrt()
    return centred / lengths.clamp_min(1e-12)


def _similarity(a: Weights, b: Weights, groups: Mapping[str, Group]) -> float:
    entries = dict.fromkeys(entry for group in groups.values() for entry, _, _ in _votes(group))
    return float(sum((a[name].double() * b[name].double()).sum() for name in entries))


def _gap(model: nn.Module, b: Weights, found: Weights, X: Tensor) -> float:
    """In double precision, where a permutation can only change the order of sums."""
    wide = copy.deepcopy(model).double().eval()
    inputs = X.double() if X.dtype.is_floating_point else X
    with torch.no_grad():
        outputs = []
        for weights in (b, found):
            wide.load_state_dict(dict(weights))
            outputs.append(wide(inputs))
    return float((outputs[0] - outputs[1]).abs().max() / outputs[0].abs().max().clamp_min(1e-300))

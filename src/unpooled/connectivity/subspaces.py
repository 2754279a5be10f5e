"""Which directions around a model are flat? The way to the other model, training's subspace, its complement, chance.

Adilova et al., ICLR 2024, Figure 6. All directions of a part (a layer, or the whole model) have one length, that of
the part's own way to the other model, so that curves can be compared. The public scripts cut the averaging direction of
the whole model down to a layer, which then moves by a fraction only, and they move both models apart, not together.

- toward, away: the unit vector to the other model, and its opposite.
- training, complement: normal in the span of the training's displacements, and orthogonal to it (see `spans`).
- isotropic: normal in all coordinates. shrink, grow: along the weights themselves, which changes the loss of a network
  without biases but not its errors; without this control the training subspace of raw weights looks flat.
- top-k: normal in the first k principal directions of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from unpooled.connectivity.checkpoints import Checkpoint, Weights
from unpooled.connectivity.cuts import Cut
from unpooled.connectivity.layers import Names
from unpooled.connectivity.moments import Moments
from unpooled.connectivity.perturb import direction
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Prepared, Silent
from unpooled.connectivity.spans import Span, Trajectory, Vector, span_of
from unpooled.connectivity.study import Study
from unpooled.errors import BadSetting, did_you_mean, positive
from unpooled.seeds import Streams

FIXED = ("toward", "away", "shrink", "grow")
"""Kinds that are one direction each."""
DRAWN = ("training", "complement", "isotropic")
"""Kinds of which directions are drawn."""
KINDS = (*FIXED, *DRAWN)
FEWEST = 30
"""Draws below which quantiles say little."""
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)


@dataclass(frozen=True, eq=False)
class Subspaces:
    """`losses`: a row a part, default model, kind, share of the radius and metric, with mean, quantiles and rise.

    `spaces`: a row a part, with rank, columns, parameters, the share of the squares of all columns that is along the
    first direction, and how much of the unit way to the other model lies outside the training subspace.
    """

    losses: pd.DataFrame
    spaces: pd.DataFrame


def subspaces(
    a: Checkpoint,
    b: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    trajectories: Sequence[Trajectory],
    kinds: Sequence[str] = KINDS,
    ladder: Sequence[int] = (),
    draws: int = FEWEST,
    shares: Sequence[float] = SHARES,
    radii: Sequence[float] | None = None,
    columns: str = "from_start",
    tolerance: float = 1e-6,
    energy: float = 1.0,
    told: Told = Silent,
    **settings: Any,
) -> Subspaces:
    """How scores rise along each kind of direction, for the whole model ("all") and each layer, from both models.

    Lengths are `shares` of the distance between the models in the part, or `radii` in units of weights. `ladder` adds
    kinds "top-1", "top-2", ...; `columns`, `tolerance` and `energy` are those of `spans.span_of`; other settings those
    of `connect`. Draws are the same for all lengths and both models. Parts where the models are equal have no way
    between them and no row; kinds that a part is too small for (no complement) neither. Raises `BadSetting` for kinds
    that are not known and for fewer than 30 draws, `BadData` for snapshots that are no copies.
    """
    given = {"kinds": kinds, "ladder": ladder, "draws": draws, "shares": shares, "radii": radii, "columns": columns}
    span = {"tolerance": tolerance, "energy": energy}
    return prepared(a, b, data, trajectories=trajectories, **given, **span, **settings).run(told)  # type: ignore[arg-type]


def prepared(
    a: Checkpoint,
    b: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    trajectories: Sequence[Trajectory],
    kinds: Sequence[str] = KINDS,
    ladder: Sequence[int] = (),
    draws: int = FEWEST,
    shares: Sequence[float] = SHARES,
    radii: Sequence[float] | None = None,
    columns: str = "from_start",
    tolerance: float = 1e-6,
    energy: float = 1.0,
    **settings: Any,
) -> Prepared[Subspaces]:
    """`subspaces` with its cost, before the work."""
    chosen = _kinds(kinds, ladder)
    lengths = tuple(shares if radii is None else radii)
    if draws < FEWEST:
        raise BadSetting(f"{draws} draws say little about quantiles: take at least {FEWEST}.")
    if not lengths or not all(0 < length < float("inf") for length in lengths):
        raise BadSetting(f"shares and radii must be finite and lie above 0; got {list(lengths)}.")
    if not trajectories:
        raise BadSetting("A training subspace needs at least one trajectory: a start, and copies made on the way.")
    study = Study(a, b, data, **{**settings, "cuts": ("full",), "points": 3})
    apart = study.distances().set_index("layer")["distance"]
    cuts: list[Cut] = []
    rows: list[tuple[dict[str, Any], int, int]] = []
    spaces = []
    for part, layers in {"all": tuple(study.layers), **{layer: (layer,) for layer in study.layers}}.items():
        names, distance = study.moving(layers), float(apart[part])
        if not distance:
            continue
        span = span_of(trajectories, names, columns=columns, tolerance=tolerance, energy=energy)
        spaces.append(_space(part, span, study, names, distance))
        unit = distance if radii is None else 1.0
        for default, own, other in (("a", study.a, study.b), ("b", study.b, study.a)):
            for kind in chosen:
                if kind == "complement" and span.rank == span.parameters:
                    continue
                first, count = len(cuts), 1 if kind in FIXED else draws
                for draw in range(count):
                    seed = Streams(study.seed).torch_seed("subspace", kind, part, draw)
                    made = _made(kind, names, own, other, span, seed)
                    stop = _moved(own, made, max(lengths) * unit)
                    cuts.append(Cut(default, names, own, stop, tuple(length / max(lengths) for length in lengths)))
                same = {"part": part, "default": default, "kind": kind, "draws": count, "unit": unit}
                rows.append((same, first, len(cuts)))

    def run(told: Told) -> Subspaces:
        moments = study.engine.run(cuts, told)
        metrics = tuple(study.engine.metrics)
        losses = [row for same, i, j in rows for row in _table(same, moments[i:j], lengths, metrics)]
        return Subspaces(pd.DataFrame(losses), pd.DataFrame(spaces))

    return Prepared(study.cost(cuts), run)


def _kinds(kinds: Sequence[str], ladder: Sequence[int]) -> tuple[str, ...]:
    for kind in kinds:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            raise BadSetting(f"There is no kind of direction '{kind}'; there are {', '.join(KINDS)}.{hint}")
    for k in ladder:
        positive(ladder=k)
    return (*dict.fromkeys(kinds), *(f"top-{k}" for k in ladder))


def _made(
    kind: str, names: Names, own: Weights, other: Weights, span: Span, seed: int
) -> Callable[[], Mapping[str, Tensor]]:
    """Makes a direction of any length, the same each time."""

    def draw() -> Mapping[str, Tensor]:
        random = torch.Generator().manual_seed(seed)
        if kind == "isotropic":
            return direction(names, own, 1.0, seed)
        if kind == "training":
            return span.sample(random)
        return span.null_sample(random) if kind == "complement" else span.sample(random, int(kind.removeprefix("top-")))

    if kind not in FIXED:
        return draw
    sign = -1.0 if kind in ("away", "shrink") else 1.0
    if kind in ("toward", "away"):
        fixed = {name: sign * (other[name].double() - own[name].double()) for name in names}
    else:
        fixed = {name: sign * own[name].double() for name in names}
    return lambda: fixed


def _moved(own: Weights, made: Callable[[], Mapping[str, Tensor]], length: float) -> Callable[[], Vector]:
    """The model moved by exactly this length, made when it is needed."""

    def stop() -> Vector:
        parts = made()
        norm = float(torch.stack([part.double().square().sum() for part in parts.values()]).sum().sqrt())
        return {
            name: (own[name].double() + part.view(own[name].shape).to(own[name].device) * (length / norm)).to(
                own[name].dtype
            )
            for name, part in parts.items()
        }

    return stop


def _space(part: str, span: Span, study: Study, names: Names, distance: float) -> dict[str, Any]:
    way = {name: (study.b[name].double() - study.a[name].double()) / distance for name in names}
    outside = torch.stack([piece.square().sum() for piece in span.without(way).values()]).sum().sqrt()
    squares = span.singular_values.square()
    return {
        "part": part,
        "distance": distance,
        "parameters": span.parameters,
        "columns": span.columns,
        "rank": span.rank,
        "first_share": float(squares[0] / squares.sum()),
        "way_outside": float(outside),
    }


def _table(
    same: dict[str, Any], moments: Sequence[Moments], lengths: Sequence[float], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    unit, end = same["unit"], -2 if same["default"] == "a" else -1
    shown = {key: value for key, value in same.items() if key != "unit"}
    rows = []
    for m, metric in enumerate(metrics):
        for k, length in enumerate(lengths):
            values = np.array([one.mean[m, k] for one in moments])
            low, high = np.quantile(values, [0.05, 0.95])
            rows.append(
                {
                    **shown,
                    "metric": metric,
                    "length": length,
                    "radius": length * unit,
                    "mean": float(values.mean()),
                    "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
                    "q05": float(low),
                    "q95": float(high),
                    "rise": float(values.mean() - moments[0].mean[m, end]),
                }
            )
    return rows

"""Radon points: a point in the convex hulls of both parts of a split of P + 2 points (Radon, 1921).

Found as in Kamp, Boley, Missura and Gaertner, "Effective Parallelisation for Machine Learning", NeurIPS 2017: a null
vector of the points with a row of ones. Its signs are the split, its sizes the weights. Choices for the numerics:
coordinates are centred at their median and divided by their median distance to it; each point's column gets length
at most one, so that a far outlier costs the others no digits; one random row makes the system square, and further
ones stand for coordinates in which all points agree. The two hulls' points are compared, and groups that differ
are solved again by SVD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.combine.arrays import Array, all_finite, norms, to_numpy
from unpooled.combine.coordinate_median import median
from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams

GAP = 1e-8
"""Largest difference of the two hulls' points that passes, in units of the points' spread."""
EPSILON = float(np.finfo(np.float64).eps)
CHUNK = 4_000_000
"""Numbers in one batch of systems, 32 MB."""


@dataclass(frozen=True)
class RadonPoints:
    """Radon points of G groups of r points. `points` (G, P).

    `sides` (G, r): 1 and -1 are the parts of the split, 0 belongs to neither. `gap` (G,): largest difference between
    the two hulls' points, in units of the group's spread. `condition` (G,): largest over smallest singular value of
    the scaled system, infinite for points not in general position; NaN unless asked for. `by_svd` (G,): solved again.
    """

    points: Array
    sides: Array
    gap: Array
    condition: Array
    by_svd: Array


def radon_point(points: Any) -> Any:
    """A point in the convex hulls of both parts of some split of `points` (Radon, 1921).

    `points` has shape (P + 2, P), one row per site, or (..., P + 2, P); the result has shape (P,) or (..., P), in the
    same unit and type. Any other number of rows raises `BadSetting`, rows that are not finite raise `BadData`. Solves
    one linear system, O(P^3). Of points in general position it is the only such point; it follows affine maps, and
    a convex function is nowhere above its second largest value. Kamp et al., NeurIPS 2017.

    >>> radon_point(np.array([[0., 0.], [1., 0.], [1., 1.], [0., 1.]])).round(6).tolist()
    [0.5, 0.5]
    """
    stack, back = to_numpy(points)
    if stack.ndim < 2 or stack.shape[-2] != stack.shape[-1] + 2:
        parameters = stack.shape[-1] if stack.ndim else 0
        found = stack.shape[-2] if stack.ndim > 1 else stack.ndim
        raise BadSetting(
            f"A Radon point of {parameters}-parameter models needs {parameters + 2} sites, got {found}: use "
            "combine.radon for more models, combine.mean for fewer."
        )
    if not all_finite(stack):
        raise BadData("A Radon point needs finite models: leave out those with NaN or infinity.")
    found_points = radon_points(stack.reshape(-1, *stack.shape[-2:])).points
    return back(found_points.reshape(*stack.shape[:-2], stack.shape[-1]))


def radon_points(groups: Array, *, condition: bool = False) -> RadonPoints:
    """Radon points of `groups`, shape (G, r, P) with r = P + 2 and finite; `condition` costs a second decomposition."""
    size = max(1, CHUNK // groups.shape[1] ** 2)
    parts = [_solved(groups[i : i + size].astype(np.float64), condition) for i in range(0, len(groups), size)]
    together = zip(*[(p.points, p.sides, p.gap, p.condition, p.by_svd) for p in parts], strict=True)
    return RadonPoints(*(np.concatenate(part) for part in together))


def _solved(groups: Array, condition: bool) -> RadonPoints:
    centre = median(groups, None)[:, None]
    away = groups - centre
    far = np.abs(away)
    scale = median(far, None)[:, None]
    widest = far.max(axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, np.where(widest > 0, widest, 1.0))
    system, length = _system(away / scale, np.broadcast_to(widest == 0, scale.shape)[:, 0])
    allowed = GAP + 64 * EPSILON * (np.abs(centre) / scale).max(axis=(1, 2))

    solution = _square(system)
    points, gap, reach = _hulls(solution / length, groups, far, scale)
    by_svd = ~(gap <= allowed * (1 + reach))
    if by_svd.any():
        again = np.linalg.svd(system[by_svd, :-1])[2][:, -1]
        other, other_gap, other_reach = _hulls(again / length[by_svd], groups[by_svd], far[by_svd], scale[by_svd])
        points[by_svd], gap[by_svd], reach[by_svd], solution[by_svd] = other, other_gap, other_reach, again
        if not (gap <= allowed * (1 + reach)).all():
            raise BadData(
                f"The two hulls' points of a Radon split differ by {np.nanmax(gap):.1g} of the models' spread, more "
                f"than {GAP:g}: the models' sizes are too far apart for float64. Use combine.coordinate_median."
            )
    size = np.abs(solution)
    sides = np.where(size < 1e-12 * size.max(axis=1, keepdims=True), 0, np.sign(solution)).astype(np.int8)
    singular = np.linalg.svd(system[:, :-1], compute_uv=False) if condition else np.full((len(groups), 1), np.nan)
    with np.errstate(divide="ignore"):
        number = singular[:, 0] / np.where(singular[:, -1] > EPSILON * singular[:, 0], singular[:, -1], 0.0)
    return RadonPoints(points, sides, gap, number if condition else singular[:, 0], by_svd)


def _system(scaled: Array, constant: Array) -> tuple[Array, Array]:
    """Square systems (G, r, r), one column a point, and the columns' lengths (G, r) before they were divided by them.

    Rows: P coordinates, where `constant` (G, P) a random row instead; the ones; a random row, the last.
    """
    length = np.maximum(norms(scaled), 1.0)
    if not np.isfinite(length).all():
        raise BadData("The models' sizes are too far apart for a Radon point: use combine.coordinate_median.")
    groups, models, parameters = scaled.shape
    system = np.empty((groups, models, models))
    system[:, :parameters] = (scaled / length[..., None]).swapaxes(1, 2)
    system[:, parameters] = 1 / length
    random = Streams(0).generator("combine", "radon rows", models).standard_normal((models, models)) / models**0.5
    system[:, -1] = random[-1]
    group, coordinate = np.nonzero(constant)
    system[group, coordinate] = random[coordinate]
    return system, length


def _square(system: Array) -> Array:
    """The null vector whose product with the last row is one, (G, r); NaN where the system is exactly singular."""
    goal = np.zeros((system.shape[-1], 1))
    goal[-1] = 1.0
    try:
        return np.asarray(np.linalg.solve(system, goal)[..., 0])
    except np.linalg.LinAlgError:
        if len(system) == 1:
            return np.full(system.shape[:2], np.nan)
        return np.concatenate([_square(one[None]) for one in system])


def _hulls(null: Array, groups: Array, far: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Points (G, P) from the tighter side of each split; gap and reach (G,) of both, in units of the spread."""
    sides = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for part in (np.maximum(null, 0.0), np.maximum(-null, 0.0)):
            share = (part / part.sum(axis=1, keepdims=True))[:, None]
            sides.append(((share @ groups)[:, 0], ((share @ far) / scale)[:, 0].max(axis=1)))
    (plus, plus_reach), (minus, minus_reach) = sides
    gap = (np.abs(plus - minus) / scale[:, 0]).max(axis=1)
    points = np.where((plus_reach <= minus_reach)[:, None], plus, minus)
    return points, gap, np.maximum(plus_reach, minus_reach)

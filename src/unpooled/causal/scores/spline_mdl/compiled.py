"""Hinge regression as machine code: the steps of `reference`, with inner products that are kept up to date.

A family is a parent term and a column; its candidates are h_c = parent * max(0, x - c) for each knot c. For each the
code keeps <h_c, y>, <h_c, h_c> and <h_c, parent * x>, all beside the span of the terms so far. Terms are made
orthonormal one by one, and a new direction q changes the three by products of <h_c, q>, which are running sums over the
rows in the order of x: O(n) a family and direction for all its knots together (Friedman, 1991, section 3.9, in the form
for orthonormal terms). Inner products never have to be computed anew.
"""

from __future__ import annotations

from math import log, log2

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.compiling import compiled
from unpooled.causal.scores.spline_mdl.codes import real_code
from unpooled.causal.scores.spline_mdl.model import Floats
from unpooled.causal.scores.spline_mdl.reference import DEPENDENT as _DEPENDENT

Ints = NDArray[np.int64]
DEPENDENT = _DEPENDENT
NO_KNOT, NO_TERM = -1, -1
LOST = 1e-24
"""A direction whose square is this share of the column's is rounding."""


@compiled
def spans(active: int, columns: int, interaction: bool) -> tuple[int, int]:
    """`model.spans`."""
    between = int(-log2(-log(0.95) / (columns * max(active, 1))) / 2.5)
    end = int(3 - log2(0.05 / columns))
    return max(between, 1), max(end, 1) * (2 if interaction else 1)


@compiled
def knot_places(b: Floats, interaction: bool, order: Ints, x: Floats, columns: int, out: Ints) -> int:
    """Places, ascending in the order of x, of the knots of parent b; how many there are. x is sorted."""
    n = len(x)
    active = 0
    for i in range(n):
        active += b[order[i]] != 0.0
    between, end = spans(active, columns, interaction)
    last = active - 1 - end
    wanted = end + max(last - end, 0) % between // 2
    count, seen = 0, 0
    for i in range(n):
        if b[order[i]] != 0.0:
            if seen == wanted and seen <= last:
                if count == 0 or x[i] > x[out[count - 1]]:
                    out[count] = i
                    count += 1
                wanted += between
            seen += 1
    return count


@compiled
def open_family(
    b: Floats, y: Floats, order: Ints, x: Floats, places: Ints, count: int, of_knots: Floats, of_line: Floats
) -> None:
    """Inner products beside nothing: of_knots rows are <h, y>, <h, h>, <h, line>, and <h, h> for good; so of_line."""
    t0, t1, t2, y0, y1 = 0.0, 0.0, 0.0, 0.0, 0.0
    k = count - 1
    for i in range(len(x) - 1, -1, -1):
        row = order[i]
        w, v = b[row], x[i]
        t0 += w * w
        t1 += w * w * v
        t2 += w * w * v * v
        y0 += w * y[row]
        y1 += w * y[row] * v
        if k >= 0 and places[k] == i:
            of_knots[0, k] = y1 - v * y0
            of_knots[1, k] = t2 - 2.0 * v * t1 + v * v * t0
            of_knots[2, k] = t2 - v * t1
            of_knots[3, k] = of_knots[1, k]
            k -= 1
    of_line[0], of_line[1], of_line[2] = y1, t2, t2


@compiled
def update_family(
    bq: Floats,
    qy: float,
    order: Ints,
    x: Floats,
    places: Ints,
    count: int,
    of_knots: Floats,
    of_line: Floats,
    v: Floats,
) -> None:
    """Take a new direction q out of all inner products; bq is parent * q, qy is <q, y>, v is room for <h, q>."""
    s0, s1 = 0.0, 0.0
    top = len(x)
    for k in range(count - 1, -1, -1):
        place = places[k]
        for i in range(top - 1, place - 1, -1):
            w = bq[order[i]]
            s0 += w
            s1 += w * x[i]
        v[k] = s1 - x[place] * s0
        top = place
    for i in range(top - 1, -1, -1):
        s1 += bq[order[i]] * x[i]
    for k in range(count):
        of_knots[0, k] -= v[k] * qy
        of_knots[1, k] -= v[k] * v[k]
        of_knots[2, k] -= v[k] * s1
    of_line[0] -= s1 * qy
    of_line[1] -= s1 * s1


@compiled
def best_of_family(count: int, of_knots: Floats, of_line: Floats) -> tuple[float, int, bool]:
    """The largest fall of the squared error, the knot's number (or NO_KNOT), and whether the line adds something."""
    new = of_line[1] > DEPENDENT * of_line[2]
    gain, at = 0.0, NO_KNOT
    slope, inverse = 0.0, 0.0
    if new:
        inverse = 1.0 / of_line[1]
        slope = of_line[0] * inverse
        gain = of_line[0] * slope
    start = gain
    for k in range(count):
        cross = of_knots[2, k]
        left = of_knots[1, k] - cross * cross * inverse
        if left > DEPENDENT * of_knots[3, k]:
            common = of_knots[0, k] - cross * slope
            more = start + common * common / left
            if more > gain:
                gain, at = more, k
    return gain, at, new


@compiled
def new_direction(column: Floats, q: Floats, size: int, r: Floats) -> bool:
    """Orthonormalise `column` against q[:size], twice, into q[size]; r gets its entries. False if nothing is left."""
    rest = column.copy()
    square = rest @ rest
    r[: size + 1] = 0.0
    for _ in range(2):
        for k in range(size):
            share = q[k] @ rest
            r[k] += share
            rest -= share * q[k]
    left = rest @ rest
    if not left > LOST * square:
        return False
    r[size] = np.sqrt(left)
    q[size] = rest / r[size]
    return True


@compiled
def forward(
    columns: Floats, order: Ints, ordered: Floats, y: Floats, degree: int, most: int, threshold: float, lines: bool
) -> tuple[int, Ints, Floats, Floats, Floats]:
    """Algorithm 2. Terms as rows (parent, column, sign) and knots; R of the terms' QR decomposition; Q'y.

    With `lines` there are no knots. `columns` has shape (columns, n), `order` their stable argsort, `ordered` the
    sorted values, `y` has mean 0.
    """
    p, n = columns.shape
    terms, cuts = np.full((most, 3), NO_TERM), np.zeros(most)
    basis, q, r, qy = np.empty((most, n)), np.empty((most, n)), np.zeros((most, most)), np.zeros(most)
    uses, factors = np.zeros((most, p), np.bool_), np.zeros(most, np.int64)
    room = n // spans(n // 2, p, False)[0] + 2
    places, counts = np.empty((most, p, room), np.int64), np.full((most, p), NO_TERM)
    of_knots, of_line = np.empty((most, p, 4, room)), np.empty((most, p, 3))
    v = np.empty(room)
    total = y @ y
    error = total
    basis[0] = 1.0
    new_direction(basis[0], q, 0, r[0])
    size, known, directions = 1, 0, 0
    while size + 1 < most and total > 0.0:
        for t in range(size):  # families of new terms, and new directions for the others
            if factors[t] == degree:
                continue
            for j in range(p):
                if t >= known and not uses[t, j]:
                    places_tj = places[t, j]
                    counts[t, j] = 0
                    if not lines:
                        counts[t, j] = knot_places(basis[t], t > 0, order[j], ordered[j], p, places_tj)
                    open_family(
                        basis[t], y, order[j], ordered[j], places_tj, counts[t, j], of_knots[t, j], of_line[t, j]
                    )
            for d in range(directions if t < known else 0, size):
                bq = basis[t] * q[d]
                for j in range(p):
                    if not uses[t, j]:
                        update_family(
                            bq,
                            qy[d],
                            order[j],
                            ordered[j],
                            places[t, j],
                            counts[t, j],
                            of_knots[t, j],
                            of_line[t, j],
                            v,
                        )
        known, directions = size, size
        best, parent, column, knot, paired = 0.0, NO_TERM, 0, NO_KNOT, False
        for t in range(size):
            for j in range(p):
                if factors[t] < degree and not uses[t, j]:
                    gain, at, new = best_of_family(counts[t, j], of_knots[t, j], of_line[t, j])
                    if gain > best:
                        best, parent, column, knot, paired = gain, t, j, at, new
        if parent == NO_TERM or best / total < threshold:
            break
        for half in range(2 if knot != NO_KNOT and paired else 1):
            sign = 1 - 2 * half
            terms[size, 0], terms[size, 1], terms[size, 2] = parent, column, sign if knot != NO_KNOT else 0
            x = columns[column]
            if knot == NO_KNOT:
                basis[size] = basis[parent] * x
            else:
                cuts[size] = ordered[column, places[parent, column, knot]]
                basis[size] = basis[parent] * np.maximum(0.0, sign * (x - cuts[size]))
            if new_direction(basis[size], q, size, r[size]):
                qy[size] = q[size] @ y
                error -= qy[size] * qy[size]
                uses[size] = uses[parent]
                uses[size, column] = True
                factors[size] = factors[parent] + 1
                size += 1
        if size == known or error / total <= threshold:
            break
    return size, terms[:size], cuts[:size], r[:size, :size], qy[:size]


@compiled
def backward(r: Floats, qy: Floats, sse: float) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Algorithm 3, without its last choice: in row i the kept terms, their coefficients and the error after i
    droppings.

    Row t of r makes term t of the orthonormal directions. `inverse` is that of the kept terms' inner products; dropping
    term t raises the error by coefficient^2 / inverse[t, t].
    """
    size = len(qy)
    solved = np.linalg.inv(r)
    inverse = solved.T @ solved
    kept, coefficients, errors = np.ones((size, size), np.bool_), np.zeros((size, size)), np.empty(size)
    coefficients[0] = solved.T @ qy
    errors[0] = sse
    for i in range(1, size):
        now = coefficients[i - 1]
        gone, rise = NO_TERM, np.inf
        for t in range(1, size):
            if kept[i - 1, t]:
                more = now[t] * now[t] / inverse[t, t]
                if gone == NO_TERM or more < rise:
                    gone, rise = t, more
        row = inverse[gone] / inverse[gone, gone]
        kept[i] = kept[i - 1]
        kept[i, gone] = False
        coefficients[i] = now - row * now[gone]
        coefficients[i, gone] = 0.0
        inverse -= np.outer(row, inverse[gone])
        errors[i] = errors[i - 1] + rise
    return kept, coefficients, errors


@compiled
def path_bits(
    kept: NDArray[np.bool_], coefficients: Floats, knots: Floats, of_terms: Floats, of_counts: Floats, released: bool
) -> Floats:
    """Bits of the functions along the path: how many terms, each term's shape, its knots, the coefficients.

    `knots` has shape (terms, degree), 0 where a factor has none, which costs nothing.
    """
    steps, size = kept.shape
    fixed = of_terms.copy()
    for t in range(size):
        for d in range(knots.shape[1]):
            fixed[t] += real_code(knots[t, d], released)
    bits = np.empty(steps)
    for i in range(steps):
        bits[i] = of_counts[size - i]
        for t in range(size):
            if kept[i, t]:
                bits[i] += fixed[t] + real_code(coefficients[i, t], released)
    return bits

"""How many local models are bad, on rows that none of them has seen.

Section 3 of the guarantees of Kamp et al., NeurIPS 2017, starts from p, the probability that one local model is bad. If
more than t = 2 / (r (r - 1)) of them are, more height makes the combined model worse, not better.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.parallel.parameters import Layout
from unpooled.parallel.parts import deal
from unpooled.parallel.planning import Size
from unpooled.parallel.warning import warn
from unpooled.seeds import Streams

SHARE, MOST = 10, 2000
"""One row in ten is held out, and no more than so many."""


def hold_out(rows: Array, codes: Array | None, min_score: float | None, streams: Streams) -> tuple[Array, Array]:
    """Rows to fit and rows held out, stratified; without a `min_score` none is held out."""
    if min_score is None:
        return rows, rows[:0]
    rng = streams.generator("parallel", "held out")
    held = deal(rows, max(SHARE, -(-len(rows) // MOST)), codes, rng).parts[0]
    return np.setdiff1d(rows, held), held


def bad_share(
    min_score: float | None, rows: Array, layout: Layout, template: Any, shared: Any, held: Any, size: Size
) -> float:
    """The share of models (m, blocks, d) that score less than `min_score`, NaN without one; warns where it is too many.

    `held` are features, targets and weights that were held out; the score is the learner's own.
    """
    if min_score is None:
        return float("nan")
    features, targets, weights = held
    features = features if shared is None else shared.transform(features)
    given = {} if weights is None else {"sample_weight": weights}
    scores = np.array([layout.write(template, row).score(features, targets, **given) for row in rows])
    share = float((scores < min_score).mean())
    threshold = 2 / (size.radon_number * (size.radon_number - 1))
    if share > threshold:
        warn(
            f"{share:.1%} of the local models score less than {min_score:g} on rows held out, more than the "
            f"{threshold:.1%} up to which height helps: give each part more rows, or lower the height."
        )
    return share

"""Which differences between methods are clear: paired t tests over seeds, with Holm's correction.

Under one seed all methods saw the same split, start and streams, so differences are taken seed by seed. The test is
Student's paired t test: with few seeds, Wilcoxon's signed-rank test cannot say anything (five differences of one sign
give p = 0.0625, whatever their size), while t can, at the price of taking the differences for about normal. Many
comparisons at once are corrected after S. Holm, "A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6(2), 1979. All of it is about chance in splitting, starting and drawing on the data
of the run; seeds share rows, so it says less about data that nobody has seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from unpooled.figures.summary import LEVEL, Interval, interval

HIGHER, LOWER, NO_CLEAR, ONE_SEED = "higher", "lower", "no clear difference", "one seed only"
COLUMNS = ("protocol", "reference", "mean", "half_width", "seeds", "higher", "lower", "p", "p_holm", "verdict")


def paired_tests(values: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Each protocol minus `reference`, or every pair of protocols: one row a comparison, columns `COLUMNS`.

    `values` has the columns of `result_values`. `mean` and `half_width` are the 95 % interval of the difference by
    itself; `higher` and `lower` count the seeds in which it was above and below 0; `p_holm` is corrected for all rows
    returned. The verdict is `HIGHER` or `LOWER` where p_holm is below 0.05, `NO_CLEAR` where it is not, `ONE_SEED`
    where fewer than two seeds can be compared.
    """
    labels = list(dict.fromkeys(map(str, values["protocol"])))
    wide = values.pivot_table(index="seed", columns="protocol", values="value", aggfunc="first", sort=False)
    if reference is None:
        pairs = list(combinations(labels, 2))
    else:
        pairs = [(label, reference) for label in labels if label != reference and reference in wide]
    rows: list[dict[str, Any]] = []
    for one, other in pairs:
        difference = (wide[one] - wide[other]).to_numpy() if one in wide and other in wide else np.array([])
        difference = difference[np.isfinite(difference)]
        signs = {"higher": int((difference > 0).sum()), "lower": int((difference < 0).sum())}
        found = interval(difference)
        rows.append({"protocol": one, "reference": other, **found._asdict(), **signs, "p": p_value(found, difference)})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row |= {"p_holm": p, "verdict": verdict(row["mean"], row["seeds"], p)}
    return pd.DataFrame(rows, columns=list(COLUMNS))


def p_value(found: Interval, difference: ArrayLike) -> float:
    """Two-sided p of a paired t test; NaN for fewer than two seeds; 1 or 0 where all differences are equal."""
    values = np.asarray(difference, dtype=float)
    if found.seeds < 2:
        return math.nan
    spread = float(values.std(ddof=1)) / math.sqrt(found.seeds)
    if spread == 0.0:
        return 1.0 if found.mean == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(found.mean) / spread, found.seeds - 1))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given; those that are NaN stay so and do not count.

    >>> tuple(round(q, 3) for q in holm([0.01, 0.04, 0.03]))
    (0.03, 0.06, 0.06)
    """
    adjusted = [math.nan] * len(p)
    order = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=lambda i: p[i])
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p[i]))
        adjusted[i] = highest
    return adjusted


def verdict(mean: float, seeds: int, p: float) -> str:
    """What a difference with this corrected p allows to be said."""
    if seeds < 2:
        return ONE_SEED
    if not p < 1 - LEVEL:
        return NO_CLEAR
    return HIGHER if mean > 0 else LOWER


def p_text(p: float) -> str:
    """A p value in words.

    >>> tuple(p_text(v) for v in (0.2345, 0.0123, 0.0004, 1.0))
    ('0.23', '0.012', '< 0.001', '1')
    """
    if math.isnan(p):
        return "–"
    if p < 0.001:
        return "< 0.001"
    return "1" if p > 0.995 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"

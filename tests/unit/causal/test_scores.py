"""Local scores: closed forms, score equivalence, and what happens on data that is degenerate."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln

from unpooled.causal.graphs import PDAG
from unpooled.causal.scores import (
    BDeu,
    Cached,
    DiscreteBIC,
    LocalScore,
    categories,
    from_covariance,
    gaussian,
    score_of,
)
from unpooled.causal.scores.gaussian import FLOOR
from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams


def table(rows: int = 50) -> pd.DataFrame:
    rng = Streams(0).generator("scores")
    x = rng.standard_normal((rows, 4)) @ rng.standard_normal((4, 4)) + 5
    return pd.DataFrame(x, columns=list("abcd"))


@pytest.mark.parametrize(("criterion", "penalty"), [("bic", 0.5 * np.log(50)), ("aic", 1.0)])
def test_the_gaussian_score_is_least_squares_and_a_penalty(criterion: str, penalty: float) -> None:
    x = table().to_numpy()
    design = np.c_[np.ones(50), x[:, [0, 2, 3]]]
    rest = x[:, 1] - design @ np.linalg.lstsq(design, x[:, 1])[0]
    wanted = -25 * np.log(rest @ rest / 50) - penalty * 4
    score = gaussian(table(), criterion)  # type: ignore[arg-type]
    assert score.local_score(1, (0, 2, 3)) == pytest.approx(wanted)
    assert score.local_score(1, (3, 0, 2)) == pytest.approx(wanted)


def test_a_first_parent_gains_what_the_correlation_says() -> None:
    """The spec's 1.4: -(n/2) log(1 - rho^2) - 0.5 log n."""
    score, rho = gaussian(table()), table().corr().iloc[0, 1]
    gained = score.local_score(0, (1,)) - score.local_score(0, ())
    assert gained == pytest.approx(-25 * np.log(1 - rho**2) - 0.5 * np.log(50))


def discrete() -> pd.DataFrame:
    rng = Streams(1).generator("discrete")
    return pd.DataFrame(
        {"a": rng.integers(0, 3, 60), "b": list(rng.choice(["x", "y"], 60)), "c": rng.integers(0, 4, 60)}
    )


SCORES = {
    "gaussian": lambda: gaussian(table()[["a", "b", "c"]]),
    "bic": lambda: DiscreteBIC(categories(discrete())),
    "bdeu": lambda: BDeu(categories(discrete()), equivalent=3.0),
}


@pytest.mark.parametrize("name", SCORES)
def test_all_complete_dags_score_the_same(name: str) -> None:
    score: LocalScore = SCORES[name]()
    totals = []
    for order in permutations(range(3)):
        a = np.zeros((3, 3), bool)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            a[order[i], order[j]] = True
        totals.append(score_of(score, PDAG(a, "abc")))
    assert totals == pytest.approx([totals[0]] * 6)
    assert score.unit == "nats"


def test_discrete_scores_by_hand() -> None:
    """Counts of b given a: a = 0 has 2 and 1, a = 1 has 0 and 3."""
    data = categories(pd.DataFrame({"a": [0, 0, 0, 1, 1, 1], "b": ["u", "u", "v", "v", "v", "v"]}))
    likelihood = 2 * np.log(2 / 3) + np.log(1 / 3)
    assert DiscreteBIC(data).local_score(1, (0,)) == pytest.approx(likelihood - 0.5 * np.log(6) * 2)
    half, quarter = gammaln(0.5), gammaln(0.25)
    wanted = 2 * half - 2 * gammaln(3.5) + gammaln(2.25) + gammaln(1.25) + gammaln(3.25) + quarter - 4 * quarter
    assert BDeu(data).local_score(1, (0,)) == pytest.approx(wanted)


def test_degenerate_columns_are_defined() -> None:
    data = table().assign(constant=0.1, twin=lambda t: 3 * t["a"] - 1)
    score, penalty = gaussian(data), 0.5 * np.log(50)
    base = score.local_score(1, (0,))
    assert score.local_score(1, (0, 4)) == pytest.approx(base - penalty)  # a constant explains nothing
    assert score.local_score(4, (0, 1)) == pytest.approx(score.local_score(4, ()) - 2 * penalty)  # nor is it explained
    assert score.local_score(1, (0, 5)) == pytest.approx(base - penalty)  # a twin adds nothing
    assert score.local_score(5, (0,)) - score.local_score(5, ()) == pytest.approx(-25 * np.log(FLOOR) - penalty)


def test_more_variables_than_rows_are_defined() -> None:
    score = gaussian(table(4))
    assert np.isfinite(score.local_score(0, (1, 2)))
    assert score.local_score(0, (1, 2, 3)) == -np.inf


def test_missing_values_are_refused_or_their_rows_dropped() -> None:
    holes = table()
    holes.loc[3, "b"] = np.nan
    with pytest.raises(BadData, match="'b' lacks 1 of 50 values"):
        gaussian(holes)
    kept = gaussian(holes, missing="drop")
    assert kept.rows == 49
    assert kept.local_score(0, (2,)) == gaussian(holes.dropna()).local_score(0, (2,))
    with pytest.raises(BadSetting, match="'refuse' or 'drop'"):
        categories(holes, missing="guess")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.assign(b="text"), "needs numbers"),
        (lambda t: t.assign(b=np.inf), "infinite"),
        (lambda t: t.head(1), "at least 2 complete rows"),
        (lambda t: t.rename(columns={"a": "b"}), "names repeat"),
    ],
)
def test_tables_without_a_gaussian_score_are_refused(change: object, says: str) -> None:
    with pytest.raises(BadData, match=says):
        gaussian(change(table()))  # type: ignore[operator]


def test_other_settings_are_refused() -> None:
    with pytest.raises(BadSetting, match="'bic' or 'aic'"):
        gaussian(table(), "mdl")  # type: ignore[arg-type]
    with pytest.raises(BadData, match="symmetric covariance"):
        from_covariance(np.eye(3), 10, "ab")
    with pytest.raises(BadData, match="Only a DAG"):
        score_of(gaussian(table()[["a", "b"]]), PDAG([[0, 1], [1, 0]], "ab"))


def test_a_cache_asks_once() -> None:
    cached = Cached(gaussian(table()))
    assert cached.local_score(0, (1, 2)) == cached.local_score(0, (2, 1))
    assert cached.asked == 1

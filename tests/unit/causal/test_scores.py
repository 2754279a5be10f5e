"""Local scores: closed forms, score equivalence, and what happens on data that is degenerate."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import norm

from unpooled.causal.graphs import PDAG
from unpooled.causal.scores import (
    BDeu,
    Cached,
    DiscreteBIC,
    LocalScore,
    categories,
    from_covariance,
    gaussian,
    mixed,
    score_of,
    summed,
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
    "mixed": lambda: mixed(both_kinds()[["kind", "x", "y"]]),
    "mixed, categories": lambda: mixed(both_kinds()[["kind", "x", "flag"]]),
    "sum": lambda: summed([gaussian(table()[["a", "b", "c"]]), gaussian(table(20)[["a", "b", "c"]])]),
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
        totals.append(score_of(score, PDAG(a, score.names)))
    assert totals == pytest.approx([totals[0]] * 6)
    assert score.unit == "nats"


def both_kinds(rows: int = 200) -> pd.DataFrame:
    rng = Streams(2).generator("mixed")
    kind = rng.integers(0, 3, rows)
    x = rng.standard_normal(rows) + kind
    return pd.DataFrame(
        {
            "kind": pd.Categorical.from_codes(kind, list("pqr")),
            "x": x,
            "y": (0.5 + kind) * x + rng.standard_normal(rows) * (1 + kind),
            "flag": rng.random(rows) < 1 / (1 + np.exp(-x)),
        }
    )


def test_the_mixed_score_of_a_number_is_least_squares_in_every_cell() -> None:
    data = both_kinds()
    likelihood, n = 0.0, len(data)
    for _, cell in data.groupby("kind", observed=True):
        design = np.c_[np.ones(len(cell)), cell["x"]]
        rest = cell["y"] - design @ np.linalg.lstsq(design, cell["y"])[0]
        likelihood += norm.logpdf(rest, scale=np.sqrt((rest**2).mean())).sum()
    wanted = likelihood - 0.5 * np.log(n) * 3 * 3  # a slope, an intercept and a variance in each of three cells
    assert mixed(data).local_score(2, (0, 1)) == pytest.approx(wanted)


def test_the_mixed_score_of_a_category_is_the_maximised_joint_less_that_of_its_parents() -> None:
    """Directly maximised with scipy: two Gaussians with a share each, against one Gaussian."""
    data = both_kinds()
    x, flag, n = data["x"].to_numpy(), data["flag"].to_numpy(), len(data)

    def negative(theta: np.ndarray) -> float:
        share = 1 / (1 + np.exp(-theta[0]))
        one = np.log(share) + norm.logpdf(x, theta[1], np.exp(theta[2]))
        two = np.log(1 - share) + norm.logpdf(x, theta[3], np.exp(theta[4]))
        return -float(np.where(flag, one, two).sum())

    joint = -minimize(negative, np.zeros(5), tol=1e-10).fun
    alone = norm.logpdf(x, x.mean(), x.std()).sum()
    wanted = joint - alone - 0.5 * np.log(n) * (5 - 2)
    assert mixed(data).local_score(3, (1,)) == pytest.approx(wanted, abs=1e-4)


def test_the_mixed_score_of_one_kind_of_columns_is_that_kind_s() -> None:
    numbers_only, categories_only = mixed(table()), mixed(discrete().astype(str))
    gaussians, bic = gaussian(table()), DiscreteBIC(categories(discrete()))
    for node, parents in ((0, (1,)), (1, (0, 2)), (2, (0, 1))):
        gained = numbers_only.local_score(node, parents) - numbers_only.local_score(node, ())
        assert gained == pytest.approx(gaussians.local_score(node, parents) - gaussians.local_score(node, ()))
        assert categories_only.local_score(node, parents) == pytest.approx(bic.local_score(node, parents))


def test_the_mixed_score_is_defined_for_rare_cells_twins_and_constants() -> None:
    data = both_kinds().assign(constant=2.5, twin=lambda t: 2 * t["x"] + 1)
    data["rare"] = ["once", *["often"] * (len(data) - 1)]
    score, penalty = mixed(data), 0.5 * np.log(len(data))
    base = score.local_score(2, (1,))
    assert base - score.local_score(2, (1, 4)) == pytest.approx(penalty)  # a constant adds one coefficient
    assert base - score.local_score(2, (1, 5)) == pytest.approx(penalty, abs=1e-3)  # so does a twin
    assert base - score.local_score(2, (1, 6)) > 0  # one row in a cell of its own gains nothing
    few = mixed(data.head(4))
    assert few.local_score(2, (1, 4, 5)) == -np.inf
    assert np.isfinite(few.local_score(2, ()))


def test_integers_may_be_named_categories_and_unknown_names_are_refused() -> None:
    data = both_kinds().assign(code=lambda t: t["kind"].cat.codes.astype(int))
    named = mixed(data, categorical=["code"])
    assert named.sizes == (3, 0, 0, 2, 3)
    assert mixed(data).sizes == (3, 0, 0, 2, 0)
    with pytest.raises(BadSetting, match="'cod', which is no column"):
        mixed(data, categorical=["cod"])


def test_a_sum_of_scores_adds_and_refuses_what_does_not_fit() -> None:
    one, two = gaussian(table(30)), gaussian(table(80))
    both = summed([one, two])
    assert both.local_score(1, (0, 3)) == pytest.approx(one.local_score(1, (0, 3)) + two.local_score(1, (0, 3)))
    with pytest.raises(BadData, match="the same columns in the same order"):
        summed([one, gaussian(table()[["b", "a", "c", "d"]])])
    with pytest.raises(BadData, match="at least one"):
        summed([])


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

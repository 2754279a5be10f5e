"""Searches against exhaustive search over all DAGs, and the compiled search against the plain one."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

from tests.oracle.test_causal_classes import all_dags, classes
from unpooled.causal.generators import LinearGaussian, erdos_renyi
from unpooled.causal.graphs import PDAG, class_of
from unpooled.causal.scores import BDeu, Cached, categories, from_covariance, gaussian, score_of
from unpooled.causal.search import delete_first, ges, plain_delete_first
from unpooled.seeds import Streams

MANY = 10**10
"""Rows that the exact covariance stands for: the large-sample limit.

10**7 are not enough for one graph below: its X1 and X2 have a squared correlation of 4.6e-7, as their
paths nearly cancel: n rho^2 / 2 is then less than BIC's log(n) / 2, and greedy search may miss what it needs.
"""


def test_ges_finds_the_class_of_every_dag_of_four_nodes_in_the_limit() -> None:
    rng = Streams(0).generator("weights")
    for cpdag, members in classes().items():
        model = LinearGaussian.random(members[0], rng)
        score = from_covariance(model.covariance(), MANY, cpdag.names)
        assert ges(score, phases=("insert", "delete"), repeat=False).graph == cpdag
        assert plain_delete_first(score).graph == cpdag


@pytest.mark.parametrize("trial", range(3))
def test_no_dag_of_four_nodes_scores_higher_than_what_is_found_in_the_limit(trial: int) -> None:
    rng = Streams(trial).generator("model")
    model = LinearGaussian.random(erdos_renyi(4, 2, rng), rng)
    score = Cached(from_covariance(model.covariance(), MANY, model.names))
    best = max(all_dags(4), key=lambda dag: score_of(score, dag))
    assert class_of(best) == class_of(model.graph)
    assert ges(score).graph == class_of(best)


def best_score_over_orders(score: Cached, nodes: int) -> float:
    """The best score of all DAGs: the best parents among those before, for every order of the nodes."""
    best = {
        (node, frozenset(before)): max(
            score.local_score(node, parents) for k in range(len(before) + 1) for parents in combinations(before, k)
        )
        for node in range(nodes)
        for size in range(nodes)
        for before in combinations([i for i in range(nodes) if i != node], size)
    }
    return max(sum(best[n, frozenset(order[:i])] for i, n in enumerate(order)) for order in permutations(range(nodes)))


@pytest.mark.parametrize("trial", range(5))
def test_what_is_found_on_five_nodes_is_the_best_of_all_dags_in_the_limit(trial: int) -> None:
    rng = Streams(trial).generator("five")
    model = LinearGaussian.random(erdos_renyi(5, 2.5, rng), rng)
    score = Cached(from_covariance(model.covariance(), MANY, model.names))
    best = best_score_over_orders(score, 5)
    for result in (ges(score), plain_delete_first(score)):
        assert result.score == pytest.approx(best, abs=1e-3)
        assert result.graph == class_of(model.graph)


def test_the_compiled_search_takes_the_steps_of_the_plain_one() -> None:
    """Compiling takes most of the time where nothing is on disk yet."""
    for nodes, degree in ((4, 2.0), (6, 3.0), (8, 4.0)):
        for seed in range(4):
            rng = Streams(seed).generator("compiled", nodes)
            model = LinearGaussian.random(erdos_renyi(nodes, degree, rng), rng)
            score = gaussian(model.sample(200, rng))
            for extended in (False, True):
                fast, plain = (f(score, extended=extended) for f in (delete_first, plain_delete_first))
                assert fast.graph == plain.graph
                assert fast.steps == plain.steps
                assert fast.score == pytest.approx(plain.score, abs=1e-6)


def test_the_compiled_search_takes_degenerate_tables() -> None:
    rng = Streams(0).generator("degenerate")
    table = LinearGaussian.random(erdos_renyi(4, 2, rng), rng).sample(100, rng)
    table["constant"], table["twin"] = 3.1, table["X0"] * 2 + 1
    found = delete_first(gaussian(table)).graph
    assert not found.skeleton[4].any()
    assert found.skeleton[0, 5]
    few = delete_first(gaussian(table.head(4)))  # six columns, four rows
    assert np.isfinite(few.score)
    assert max(len(few.graph.parents(j)) for j in range(6)) <= 2  # n - 1 parents would fit perfectly


def test_a_search_over_categories_finds_a_collider() -> None:
    rng = Streams(0).generator("collider")
    a, b = (rng.integers(0, 2, 2000) for _ in range(2))
    c = np.where(rng.random(2000) < 0.9, a & b, 1 - (a & b))

    score = BDeu(categories(pd.DataFrame({"a": a, "b": b, "c": c})))
    wanted = PDAG.from_edges(["a", "b", "c"], arrows=[("a", "c"), ("b", "c")])
    assert ges(score).graph == delete_first(score).graph == wanted

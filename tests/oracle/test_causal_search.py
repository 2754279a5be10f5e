"""Searches against exhaustive search over all DAGs, and the compiled search against the plain one."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

from tests.oracle.test_causal_classes import all_dags, classes
from unpooled.causal.generators import LinearGaussian, erdos_renyi
from unpooled.causal.graphs import PDAG, Background, class_of
from unpooled.causal.graphs.pdag import topological_order
from unpooled.causal.scores import BDeu, Cached, categories, from_covariance, gaussian, score_of, summed
from unpooled.causal.search import delete_first, ges, plain_delete_first
from unpooled.errors import BadSetting
from unpooled.seeds import Streams

MANY = 10**10
"""Rows that the exact covariance stands for: the large-sample limit.

10**7 are not enough for one graph below: its X1 and X2 have a squared correlation of 4.6e-7, as their
paths nearly cancel: n rho^2 / 2 is then less than BIC's log(n) / 2, and greedy search may miss what it needs.
"""


def test_ges_finds_the_class_of_every_dag_of_four_nodes_in_the_limit() -> None:
    rng = Streams(0).generator("weights")
    for i, (cpdag, members) in enumerate(classes().items()):
        model = LinearGaussian.random(members[0], rng)
        score = from_covariance(model.covariance(), MANY, cpdag.names)
        assert ges(score, phases=("insert", "delete"), repeat=False).graph == cpdag
        assert plain_delete_first(score, extended=i % 12 == 0).graph == cpdag


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
    for nodes, degree in ((4, 2.0), (6, 3.0), (8, 4.0)):
        for seed in range(2):
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


def test_sums_of_tables_search_alike_compiled_and_plain() -> None:
    for seed in range(2):
        rng = Streams(seed).generator("sites")
        graph = erdos_renyi(6, 3, rng)
        tables = [LinearGaussian.random(graph, rng).sample(n, rng) for n in (60, 200, 90)]
        score = summed([gaussian(table) for table in tables])
        fast, plain = delete_first(score), plain_delete_first(score)
        assert fast.graph == plain.graph
        assert fast.score == pytest.approx(plain.score, abs=1e-6)


def test_what_is_known_steers_all_searches_alike() -> None:
    agreed = 0
    for seed in range(4):
        rng = Streams(seed).generator("known")
        model = LinearGaussian.random(erdos_renyi(6, 3, rng), rng)
        score = gaussian(model.sample(200, rng))
        free = delete_first(score)
        order = rng.permutation(6)
        known = Background(
            tiers={f"X{i}": int(t) for t, i in enumerate(order[:4] // 2)},
            forbidden=[(a, b) for a, _, b in free.graph.edges()[:1]] + [(b, a) for a, _, b in free.graph.edges()[:1]],
            required=[(f"X{order[4]}", f"X{order[5]}")] if f"X{order[4]}" not in free.graph.edges()[0] else [],
        )
        fast, plain, slow = (
            delete_first(score, background=known),
            plain_delete_first(score, background=known),
            ges(score, background=known),
        )
        required, forbidden = known.matrices(score.names)
        for found in (fast, plain, slow):
            assert found.graph.directed[required].all()
            assert not found.graph.adjacency[forbidden].any()
        assert fast.graph == plain.graph
        agreed += fast.steps == plain.steps
    assert agreed >= 3  # equal gains may be taken in another order


def test_the_best_dag_that_agrees_with_what_is_known_is_found_in_the_limit() -> None:
    """Exhaustive over four nodes; forbidding an arrow's reverse changes nothing where the truth agrees."""
    for seed in range(3):
        rng = Streams(seed).generator("limit")
        model = LinearGaussian.random(erdos_renyi(4, 2, rng), rng)
        score = Cached(from_covariance(model.covariance(), MANY, model.names))
        order = topological_order(model.graph.adjacency)
        assert order is not None
        known = Background(tiers={model.names[node]: place for place, node in enumerate(order)})
        forbidden = known.matrices(model.names)[1]
        best = max(score_of(score, dag) for dag in all_dags(4) if not (dag.adjacency & forbidden).any())
        for search in (ges, plain_delete_first):
            found = search(score, background=known)
            assert found.score == pytest.approx(best, abs=1e-3)
            assert found.graph == model.graph  # an order of all nodes leaves no line


def test_knowledge_of_unknown_columns_is_refused() -> None:
    score = from_covariance(np.eye(2), 10, "ab")
    with pytest.raises(BadSetting, match="names 'c', which is no column"):
        delete_first(score, background=Background(required=[("a", "c")]))


def test_a_search_over_categories_finds_a_collider() -> None:
    rng = Streams(0).generator("collider")
    a, b = (rng.integers(0, 2, 2000) for _ in range(2))
    c = np.where(rng.random(2000) < 0.9, a & b, 1 - (a & b))

    score = BDeu(categories(pd.DataFrame({"a": a, "b": b, "c": c})))
    wanted = PDAG.from_edges(["a", "b", "c"], arrows=[("a", "c"), ("b", "c")])
    assert ges(score).graph == delete_first(score).graph == wanted

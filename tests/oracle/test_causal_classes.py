"""Classes and operators against brute force over all DAGs of four nodes."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest

from unpooled.causal.graphs import PDAG, class_of, complete, consistent_extension
from unpooled.causal.graphs.operators import Operator, operators
from unpooled.causal.graphs.pdag import topological_order

NODES = 4


@cache
def all_dags(nodes: int = NODES) -> list[PDAG]:
    pairs = list(combinations(range(nodes), 2))
    found = []
    for choice in product((0, 1, 2), repeat=len(pairs)):
        matrix = np.zeros((nodes, nodes), bool)
        for (i, j), c in zip(pairs, choice, strict=True):
            matrix[i, j], matrix[j, i] = c == 1, c == 2
        if topological_order(matrix) is not None:
            found.append(PDAG(matrix))
    return found


def colliders(dag: PDAG) -> frozenset[tuple[int, int, int]]:
    return frozenset(
        (a, node, b)
        for node in range(len(dag.names))
        for a, b in combinations(dag.parents(node), 2)
        if not dag.skeleton[a, b]
    )


@cache
def classes() -> dict[PDAG, list[PDAG]]:
    """Verma and Pearl: two DAGs are equivalent iff skeletons and v-structures agree. The class's union is its CPDAG."""
    groups: defaultdict[tuple[bytes, frozenset[tuple[int, int, int]]], list[PDAG]] = defaultdict(list)
    for dag in all_dags():
        groups[dag.skeleton.tobytes(), colliders(dag)].append(dag)
    return {PDAG(np.any([d.adjacency for d in group], axis=0)): group for group in groups.values()}


def test_the_numbers_of_dags_and_classes_are_the_known_ones() -> None:
    assert len(all_dags()) == 543  # Robinson 1973
    assert len(classes()) == 185  # Gillispie and Perlman 2002


def test_completion_finds_the_class_of_every_dag_and_extension_a_member() -> None:
    for cpdag, members in classes().items():
        assert consistent_extension(cpdag) in members
        assert complete(cpdag) == cpdag
        for dag in members:
            assert class_of(dag) == cpdag


def single_edge_changes(kind: str, members: list[PDAG]) -> set[PDAG]:
    """Classes one edge away from some member, the class itself left out."""
    found = set()
    for dag in members:
        for i, j in zip(*np.nonzero(~np.eye(NODES, dtype=bool)), strict=True):
            a = dag.adjacency.copy()
            if kind == "insert" and not (a[i, j] or a[j, i]):
                a[i, j] = True
            elif kind == "delete" and a[i, j]:
                a[i, j] = False
            elif kind == "turn" and a[j, i]:
                a[i, j], a[j, i] = True, False
            else:
                continue
            if topological_order(a) is not None:
                found.add(class_of(PDAG(a)))
    return found - {class_of(members[0])}


@pytest.mark.parametrize("kind", ["insert", "delete", "turn"])
def test_operators_lead_to_the_classes_that_one_edge_in_some_member_leads_to(kind: str) -> None:
    for cpdag, members in classes().items():
        valid = list(operators(cpdag, (kind,)))  # type: ignore[arg-type]
        assert {op.apply(cpdag) for op in valid} == single_edge_changes(kind, members)


def matching_members(op: Operator, cpdag: PDAG, members: list[PDAG]) -> list[PDAG]:
    """Members whose parents are the ones that the operator's changes name."""
    return [d for d in members if all(frozenset(d.parents(n)) == before for n, before, _ in op.changes(cpdag))]


def test_an_operators_changes_are_those_of_a_member_and_its_neighbour() -> None:
    """So the change of any decomposable score is exact, not only that of a score-equivalent one."""
    for cpdag, members in classes().items():
        for op in operators(cpdag):
            reached = set()
            for dag in matching_members(op, cpdag, members):
                a = dag.adjacency.copy()
                for node, _, after in op.changes(cpdag):
                    a[:, node] = [i in after for i in range(NODES)]
                if topological_order(a) is not None:
                    reached.add(class_of(PDAG(a)))
            assert op.apply(cpdag) in reached

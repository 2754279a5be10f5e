"""The combined method on data whose graph and interventions are known: the spec's table 4.6, check 6, and Sachs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from tests.unit.causal.tables import federation
from unpooled.causal.combined import Combined, combined
from unpooled.causal.combined.cuts import votes
from unpooled.causal.combined.grouping import Known, agglomerate
from unpooled.causal.combined.level_d import FromMoments, LevelD
from unpooled.causal.combined.targets import reference_group
from unpooled.causal.generators import Intervention, LinearGaussian, exact_edges
from unpooled.causal.graphs.metrics import Retrieval, adjacencies, arrows, shd
from unpooled.causal.graphs.pdag import PDAG
from unpooled.seeds import Streams

SACHS = Path(__file__).parents[3] / "shared" / "data" / "sachs"
Kind = Literal["hard", "coefficient", "shift"]
Truth = set[tuple[str, str]]


def study(kind: Kind, rows: int, graph: int) -> tuple[PDAG, Mapping[str, pd.DataFrame], Truth]:
    """Spec 4.6: m = 8, 10 edges, weights +-U(.4, 1.2), five sites, the first observational, two random variables
    intervened on at each of the others. Hard: parents cut and noise 1.5; coefficient: weights redrawn and noise
    U(1.5, 2.5); shift: mean +-U(1, 2)."""
    draw = Streams(graph).generator("table 4.6", kind, rows)
    model = LinearGaussian.random(exact_edges(8, 10, draw), draw)
    sites, truth = [model], Truth()
    for k in range(1, 5):
        chosen = draw.choice(8, 2, replace=False)
        size = float(draw.uniform(1, 2)) if kind == "shift" else 1.0
        changed = model.intervene({model.names[i]: Intervention(kind, size) for i in chosen}, draw)
        if kind == "hard":
            changed.noise[chosen] = 1.5
        elif kind == "coefficient":
            changed.noise[chosen] = draw.uniform(1.5, 2.5, 2)
        sites.append(changed)
        truth |= {(f"s{k}", model.names[i]) for i in chosen}
    return model.graph, {f"s{k}": site.sample(rows, draw) for k, site in enumerate(sites)}, truth


def f1(found: Truth, truth: Truth) -> float:
    return Retrieval(len(found & truth), len(found), len(truth)).f1


def targets(found: Combined) -> Truth:
    return {(t.site, t.variable) for t in found.target_list}


def on_the_true_graph(graph: PDAG, tables: Mapping[str, pd.DataFrame]) -> tuple[Truth, Truth]:
    """Targets by groups and by votes where the graph is given."""
    level = LevelD.of(federation(tables), graph.names)
    pairs = [(y, graph.parents(y)) for y in range(len(graph.names))]
    by_groups, by_votes = Truth(), Truth()
    for (y, _), grouping in agglomerate(Known(level), pairs).items():
        home = reference_group(grouping.groups, level.rows, 0)
        by_groups |= {(f"s{k}", graph.names[y]) for k in range(len(level.rows)) if k not in home}
    for (_, y), gain in votes(FromMoments(level), graph.adjacency).items():
        by_votes |= {(f"s{k}", graph.names[y]) for k in np.flatnonzero(gain <= 0)}
    return by_groups, by_votes


TABLE = {
    # kind, rows: DAG SHD; target F1 on the true graph by groups, at most by votes; on the learned graph. Each is the
    # number of the table with some room, as those are means over 8 graphs that we do not have.
    ("hard", 200): (1.0, 0.95, 0.95, 0.95),
    ("hard", 1000): (1.5, 0.98, 0.92, 0.95),
    ("coefficient", 200): (1.5, 0.98, 0.15, 0.95),
    ("coefficient", 1000): (0.5, 0.99, 0.05, 0.98),
    ("shift", 200): (6.0, 0.95, 0.15, 0.75),
}


def measured(kind: Kind, rows: int, graphs: int) -> tuple[float, float, float, float]:
    """Means in the order of `TABLE`."""
    found = []
    for number in range(graphs):
        graph, tables, truth = study(kind, rows, number)
        result = combined(federation(tables), "D", "s0")
        by_groups, by_votes = on_the_true_graph(graph, tables)
        found.append((shd(graph, result.dag), f1(by_groups, truth), f1(by_votes, truth), f1(targets(result), truth)))
    distance, groups, cuts, learned = np.mean(found, axis=0).tolist()
    return distance, groups, cuts, learned


def holds(kind: Kind, rows: int, graphs: int) -> None:
    distance, groups, cuts, learned = measured(kind, rows, graphs)
    most, least, votes_at_most, least_learned = TABLE[kind, rows]
    print(f"{kind}, {rows}: SHD {distance:.2f}, F1 groups {groups:.3f}, votes {cuts:.3f}, learned graph {learned:.3f}")
    assert distance <= most
    assert groups >= least
    assert cuts <= votes_at_most
    assert learned >= least_learned


def test_changed_coefficients_are_found_by_groups_and_never_by_votes() -> None:
    """Check 6, and the row of the table, on 3 graphs."""
    holds("coefficient", 1000, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rows"), TABLE)
def test_the_table_of_interventions(kind: Kind, rows: int) -> None:
    holds(kind, rows, 20)


@pytest.mark.slow
@pytest.mark.skipif(not SACHS.exists(), reason="needs ../shared/data/sachs")
def test_sachs_says_that_it_cannot_tell() -> None:
    """Nine conditions of 707 to 913 cells: the spec measured 7 to 9 groups a variable in another graph."""
    table = pd.read_csv(SACHS / "sachs.csv.gz").drop(columns="condition")
    proteins = [c for c in table.columns if c != "environment"]
    table[proteins] = np.log(table[proteins] + 10)
    sites = {f"e{e}": rows[proteins].reset_index(drop=True) for e, rows in table.groupby("environment")}
    found = combined(federation(sites), "D", "e0")
    edges = pd.read_csv(SACHS / "consensus_dag.csv")
    for column in ("consensus17", "extended20"):
        chosen = edges[edges[column].astype(bool)]
        true = PDAG.from_edges(proteins, chosen.iloc[:, :2].itertuples(index=False, name=None))
        print(column, shd(true, found.dag), adjacencies(true, found.dag), arrows(true, found.dag), found.graph.edges())
    groups = [len(p.groups) for p in found.partitions.values()]
    print("groups", groups, found.warnings)
    assert np.mean(groups) >= 7
    assert found.cannot_tell == tuple(proteins)
    assert found.targets.empty

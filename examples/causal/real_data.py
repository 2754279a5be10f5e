"""Causal discovery on data with known or partly known graphs: reported, never tuned.

Usage: python examples/causal/real_data.py DATA [WAY ...]

DATA holds the folders sachs, syntren, tuebingen-pairs, ... Writes a table and a sentence into docs/causal.md between
their markers. The ways are those of WAYS unless some are named. Every row is kept in runs/real_data.json as soon as it
is there, and a run that was stopped goes on from it: remove the file to compute all anew.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import unpooled as up
from unpooled.causal.discovery import compare_graphs
from unpooled.causal.graphs import PDAG, class_of
from unpooled.causal.graphs.metrics import Retrieval
from unpooled.causal.scores.spline_mdl import Hinges, SplineMDL
from unpooled.errors import UnpooledError
from unpooled.seeds import Streams

ROOT = Path(__file__).resolve().parents[2]
PAGE, KEPT = ROOT / "docs" / "causal.md", ROOT / "runs" / "real_data.json"
HEADS = ("data", "method", "edges", "arrows", "SHD of classes", "edge F1", "arrow F1", "targets told", "right / known")
WAYS: dict[str, dict[str, Any]] = {
    "PERI": {},
    "PERI-MDL": {"score": "mdl"},
    "I-PERI": {"aggregate": "iperi"},
    "combined": {"method": "combined"},
    "ORION": {"method": "orion"},
    "GES, pooled": {"method": "ges", "pooled": True},
    "GLOBE, pooled": {"method": "globe", "pooled": True},
}
MOST_ROWS = 1000
"""Of a cause-effect pair; more are drawn from."""


@dataclass(frozen=True)
class Case:
    """Rows, settings of `discover`, reference graphs by name, the known targets (site, variable), and ways that would
    take too long."""

    name: str
    table: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    truths: Mapping[str, PDAG] = field(default_factory=dict)
    targets: frozenset[tuple[str, str]] = frozenset()
    too_long: frozenset[str] = frozenset()


def cases(data: Path) -> Iterator[Case]:
    """Every data set, with the settings that its README asks for."""
    yield _sachs(data / "sachs")
    for name in ("asia", "sachs", "child", "alarm"):
        yield _network(data / "bnlearn-networks" / name)
    for number in (1, 2, 3):
        with np.load(data / "syntren/syntren_p20_sets1-3.npz") as sets:
            yield _table(f"syntren, set {number}", sets, number)
    for edges in (10, 40):
        with np.load(data / f"gran-dag-gp/data_p10_e{edges}_n1000_GP.npz") as sets:
            yield _table(f"gran-dag-gp, {edges} edges, set 1", sets, 1)
    yield Case("fmri-9var, 9 subjects", pd.read_csv(data / "fmri-9var/fmri_9var.csv.gz"), {"site": "subject"})
    yield Case("wine-quality", pd.read_csv(data / "wine-quality/wine_quality_red_white.csv.gz"), {"site": "type"})


def _sachs(folder: Path) -> Case:
    table = pd.read_csv(folder / "sachs.csv.gz").drop(columns="environment")
    known = pd.read_csv(folder / "environments.csv").dropna(subset="target")
    targets = frozenset(zip(known["condition"], known["target"], strict=True))
    names = [name for name in table.columns if name != "condition"]
    edges = pd.read_csv(folder / "consensus_dag.csv")
    truths = {flag: _graph(names, edges[edges[flag] == 1]) for flag in ("consensus17", "extended20")}
    settings = {"site": "condition", "log": True, "reference": "cd3cd28"}
    return Case("sachs, 9 conditions", table, settings, truths, targets)


def _network(folder: Path) -> Case:
    table = pd.read_csv(folder / "environments.csv.gz")
    names = [column for column in table.columns if column != "environment"]
    truth = _graph(names, pd.read_csv(folder / "edges.csv"))
    slow = frozenset({"GES, pooled"}) if len(names) > 30 else frozenset[str]()  # the plain search, over categories
    return Case(f"{folder.name}, environments", table, {"site": "environment"}, {"": truth}, too_long=slow)


def _table(name: str, sets: Any, number: int) -> Case:
    table = pd.DataFrame(sets[f"data{number}"].astype(float)).add_prefix("x")
    return Case(name, table, {}, {"": PDAG(sets[f"dag{number}"].astype(bool), list(table.columns))})


def _graph(names: list[str], edges: pd.DataFrame) -> PDAG:
    return PDAG.from_edges(names, list(zip(edges.iloc[:, 0], edges.iloc[:, 1], strict=True)))


def rows(case: Case, way: str) -> list[str]:
    """The table's lines of one case and way, one a reference graph; none where the way is not for such data."""
    settings = {**case.settings, **WAYS[way]}
    if settings.get("method") != "combined":
        settings.pop("reference", None)
    try:
        found = up.discover(case.table, gains=False, **settings)
    except UnpooledError as error:
        print(f"{case.name}, {way}: {error}")
        return []
    told = set(zip(found.targets["site"], found.targets["variable"], strict=True))
    right = Retrieval(len(told & case.targets), len(told), len(case.targets))
    compares = settings.get("method") in ("combined", "orion") and len(found.found.agreed.rows) > 1
    last = ["–" if not compares else len(told), f"{right.correct} / {right.true}" if compares and case.targets else "–"]
    lines = []
    for name, truth in (case.truths or {"": None}).items():
        numbers: list[Any] = ["–"] * 3
        if truth is not None:
            of_classes = compare_graphs(class_of(truth), found.graph).numbers
            numbers = [of_classes.get("shd of classes", of_classes["shd"]), of_classes["edge f1"]]
            numbers.append(compare_graphs(truth, found.graph).numbers["arrow f1"])
        cells = [len(found.edges), int(found.graph.directed.sum()), *map(_shown, numbers), *last]
        lines.append("| " + " | ".join(map(str, [f"{case.name} {name}".strip(), way, *cells])) + " |")
    return lines


def _shown(number: Any) -> str:
    return f"{number:.3g}" if isinstance(number, float) else str(number)


def pairs(folder: Path, pruning: Any = "length") -> dict[str, float]:
    """Weighted accuracy of the shorter description over the cause-effect pairs with one column on either side.

    With a 95 % interval over pairs drawn anew; Mooij and others, JMLR 17, 2016, give the weights.
    """
    listed, tables = pd.read_csv(folder / "pairs.csv"), np.load(folder / "pairs.npz")
    listed = listed[(listed.cause_first == listed.cause_last) & (listed.effect_first == listed.effect_last)]
    right = np.array([_right(tables[f"pair{pair.pair:04}"], pair, pruning) for pair in listed.itertuples()])
    weight = listed.weight.to_numpy()
    drawn = Streams(0).generator("bootstrap").integers(len(right), size=(2000, len(right)))
    low, high = np.percentile((weight * right)[drawn].sum(axis=1) / weight[drawn].sum(axis=1), [2.5, 97.5])
    return {"count": len(right), "accuracy": float(weight @ right / weight.sum()), "low": low, "high": high}


def _right(cells: np.ndarray, pair: Any, pruning: Any) -> float:
    """1 where the cause explains the effect in fewer bits than the other way round, 1/2 for a tie."""
    both = cells[:, [pair.cause_first - 1, pair.effect_first - 1]]
    both = both[np.isfinite(both).all(axis=1)]
    if len(both) > MOST_ROWS:
        both = both[Streams(0).generator("pair", str(pair.pair)).permutation(len(both))[:MOST_ROWS]]
    score = SplineMDL(pd.DataFrame(both, columns=["cause", "effect"]), hinges=Hinges(pruning=pruning))
    forward, backward = (score.length(y, ()).total - score.best_form(y, (), 1 - y)[0].total for y in (1, 0))
    return float(np.sign(forward - backward) + 1) / 2


def main(data: Path, ways: list[str]) -> None:
    """Compute what is not there, and write the page."""
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    lines = [f"| {' | '.join(HEADS)} |", "|---|---|" + "---:|" * (len(HEADS) - 2)]
    for case in cases(data):
        for way in ways:
            key = f"{case.name}, {way}"
            if way in case.too_long:
                continue
            if key not in kept:
                start = time.process_time()
                kept[key] = rows(case, way)
                _keep(kept)
                print("\n".join(kept[key]), f"{time.process_time() - start:.1f} s", flush=True)
            lines += kept[key]
    if "tuebingen" not in kept:
        kept["tuebingen"] = pairs(data / "tuebingen-pairs")
        _keep(kept)
    said = (
        "Tübingen cause-effect pairs, direction by the shorter description: weighted accuracy {accuracy:.2f} over "
        "{count:.0f} pairs, 95 % interval {low:.2f} to {high:.2f}; others report 0.60 to 0.75 for such methods."
    ).format(**kept["tuebingen"])
    text = PAGE.read_text(encoding="utf-8")
    new = re.sub(
        r"(<!-- real_data -->\n).*?(<!-- /real_data -->)",
        lambda m: "\n".join([m[1], *lines, "", said, "", m[2]]),
        text,
        flags=re.S,
    )
    PAGE.write_text(new, encoding="utf-8")


def _keep(kept: dict[str, Any]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(WAYS))

"""A causal discovery from a TOML config or from the command line's options, and the folder that it leaves.

The folder holds `config.toml` (resolved), `environment.json`, `result.json`, `edges.csv`, `disclosed.csv`,
`graph.graphml` and `graph.dot`. The same config on the same data gives the same bits, so a run that was stopped is
begun again.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from unpooled.causal.discovery import Discovered, Settings, compare_graphs, open_sites, run
from unpooled.causal.discovery.discover import Watch
from unpooled.causal.discovery.tables import edges_frame, targets_frame
from unpooled.causal.graphs import PDAG, to_dot, to_graphml
from unpooled.errors import BadData, BadRecord, BadSetting
from unpooled.runs.environment import environment
from unpooled.runs.files import read_json, slug, tidy, writable, write_bytes, write_json
from unpooled.runs.lock import locked
from unpooled.runs.tables import build, known_keys, names, read_toml, without_none
from unpooled.sites.reading import read_table

STRICT = ConfigDict(extra="forbid")
FAMILY = "causal"
"""What the result of such a run calls itself."""
WRITTEN = (
    "config.toml",
    "environment.json",
    "edges.csv",
    "disclosed.csv",
    "graph.graphml",
    "graph.dot",
    "result.json",
    ".lock",
)
"""The files of a run."""


@checked(frozen=True, kw_only=True, config=STRICT)
class DiscoveryConfig(Settings):
    """`source`, `site` and `environment` as in `open_sites`; all else as in `Settings`. `against` is a file with the
    edges of a graph to compare with: columns from and to, and mark where some edges are lines ("--")."""

    source: str
    title: str = "A causal graph"
    site: str | None = None
    environment: str | None = None
    against: str | None = None


def load(path: Path) -> DiscoveryConfig:
    """The config in a TOML file; paths in it start at the file's folder. Raises `BadSetting` in one line."""
    table = read_toml(path)
    known_keys("the config", table, names(DiscoveryConfig))
    for name in ("source", "against"):
        if isinstance(table.get(name), str):
            table[name] = str((path.parent / Path(table[name]).expanduser()).resolve())
    return build(DiscoveryConfig, "the config", table)


def default_folder(config: DiscoveryConfig) -> Path:
    """Where a run goes unless a folder is named."""
    return Path("runs") / f"causal-{slug(config.title)[:40].strip('-')}"


def execute(config: DiscoveryConfig, folder: Path, watch: Watch | None = None) -> dict[str, Any]:
    """Discover and write the folder. Raises `BadRecord` where the folder holds another run, and all that fails.

    What fails leaves no folder behind that was not there before; what was stopped leaves its config, to begin again.
    """
    settings = tomli_w.dumps(without_none(asdict(config))).encode()
    federation = open_sites(config.source, site=config.site, environment=config.environment, pooled=config.pooled)
    against = None if config.against is None else read_graph(Path(config.against))
    kept = folder / "config.toml"
    if kept.exists() and kept.read_bytes() != settings:
        raise BadRecord(f"{folder} holds another run: choose another folder with --out.")
    made = not folder.exists()
    writable(folder)
    with locked(folder), _nothing_half_written(folder, made=made, kept=kept.exists()):
        tidy(folder)
        write_bytes(kept, settings)
        write_json(folder / "environment.json", environment())
        start, began = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
        found = run(federation, config, watch)
        outcome = {
            **result_of(found, config.title),
            "name": folder.name,
            "started": began,
            "seconds": round(time.perf_counter() - start, 3),
        }
        if against is not None:
            outcome["comparison"] = compared(against, found.outcome.graph, str(config.against))
        _write(folder, found, outcome)
    return outcome


@contextmanager
def _nothing_half_written(folder: Path, *, made: bool, kept: bool) -> Iterator[None]:
    """Take back what a discovery wrote before it failed: the folder if it was `made` for it, else what is not of the
    run whose config was `kept` there."""
    try:
        yield
    except Exception:
        if made:
            shutil.rmtree(folder)
        elif not kept:
            for name in WRITTEN:
                (folder / name).unlink(missing_ok=True)
        raise


def is_discovery(folder: Path) -> bool:
    """Whether the run in `folder` is a causal discovery; False also where there is none."""
    config = folder / "config.toml"
    if (folder / "result.json").is_file():
        return bool(read_json(folder / "result.json").get("family") == FAMILY)
    return config.is_file() and {"source", "method", "aggregate"} <= set(read_toml(config))


def result_of(found: Discovered, title: str) -> dict[str, Any]:
    """All that was found as plain values: what `result.json` holds and the page is made of."""
    outcome, agreed = found.outcome, found.agreed
    return {
        "family": FAMILY,
        "title": title,
        "status": "finished",
        "method": found.settings.method,
        "score_name": found.score,
        "score": outcome.score,
        "unit": outcome.unit,
        "pooled": found.settings.pooled,
        "guarded": found.settings.guarded,
        "variables": [{"name": v.name, "levels": list(v.levels), "log": v.log} for v in agreed.variables],
        "sites": [{"name": name, "rows": rows} for name, rows in agreed.rows.items()],
        "reference": found.settings.reference,
        "background": asdict(found.settings.background),
        "edges": records(edges_frame(found)),
        "targets": records(targets_frame(outcome)),
        "partitions": {name: [list(group) for group in groups] for name, groups in outcome.partitions.items()},
        "repetitions": 0 if found.support is None else found.support.repetitions,
        "repeated_over": found.settings.bootstrap_over,
        "stable": None if found.support is None else [list(edge) for edge in found.support.stable(0.8).edges()],
        "disclosed": records(found.disclosed),
        "warnings": [*agreed.warnings, *outcome.notes],
        "comparison": None,
        "leakage": None if found.leakage is None else _leaked(found.leakage),
        "cells": [],
    }


def _leaked(table: pd.DataFrame) -> dict[str, Any]:
    """The attacker's mean error for each disclosure, in sentences and as rows."""
    means = table.groupby(["disclosure", "scale"], sort=False, dropna=False)["error"].mean().reset_index()
    said = {
        "nothing": "An attacker who is told nothing of a site, and takes it for one like the others, guesses the size "
        "of its correlations with a mean error of {error:.3g}.",
        "clear": "From the first round of exact regrets the error is {error:.3g}.",
        "secure sum": "From sums under masks it is {error:.3g}.",
        "noise": "With Laplace noise of scale {scale:g} it is {error:.3g}.",
    }
    rows = records(means)
    sentences = [said[row["disclosure"]].format(error=row["error"], scale=row["scale"] or 0.0) for row in rows]
    return {"sentences": sentences, "rows": records(table)}


def compared(reference: PDAG, found: PDAG, name: str) -> dict[str, Any]:
    """The comparison with another graph as plain values."""
    table = compare_graphs(reference, found)
    return {"with": Path(name).name, "numbers": table.numbers, "edges": records(table.edges)}


def read_graph(path: Path) -> PDAG:
    """A graph from a table of edges with columns from and to, and mark ("->" or "--") where there is one.

    The result of another run (a folder, or its `edges.csv`) will do. Its nodes are those that have edges. Raises
    `BadData`.
    """
    file = path / "edges.csv" if path.is_dir() else path
    if not file.is_file():
        raise BadData(f"There is no graph at '{path}': a table of edges with columns from and to, or a run's folder.")
    table = read_table(file)
    if not {"from", "to"} <= set(table.columns):
        raise BadData(f"{file} needs columns 'from' and 'to', got {', '.join(table.columns)}.")
    ends = list(zip(table.texts("from").tolist(), table.texts("to").tolist(), strict=True))
    marks = table.texts("mark").tolist() if "mark" in table.columns else ["->"] * len(ends)
    nodes = sorted({name for pair in ends for name in pair})
    arrows = [pair for pair, mark in zip(ends, marks, strict=True) if mark == "->"]
    lines = [pair for pair, mark in zip(ends, marks, strict=True) if mark == "--"]
    if len(arrows) + len(lines) != len(ends):
        raise BadData(f"{file} holds a mark that is neither '->' nor '--'.")
    return PDAG.from_edges(nodes, arrows, lines)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON can hold them: what is no finite number becomes null."""
    return [{str(k): _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(folder: Path, found: Discovered, outcome: dict[str, Any]) -> None:
    write_bytes(folder / "edges.csv", edges_frame(found).to_csv(index=False).encode())
    write_bytes(folder / "disclosed.csv", found.disclosed.to_csv(index=False).encode())
    write_bytes(folder / "graph.graphml", to_graphml(found.outcome.graph).encode())
    write_bytes(folder / "graph.dot", to_dot(found.outcome.graph).encode())
    write_json(folder / "result.json", outcome)


def as_table(config: DiscoveryConfig) -> dict[str, Any]:
    """The config as plain tables, the way `told_settings` takes them."""
    table: dict[str, Any] = without_none(asdict(config))
    return table


def told_settings(**given: Any) -> DiscoveryConfig:
    """A config from options; raises `BadSetting` in one line."""
    if not given.get("source"):
        raise BadSetting("A discovery needs a source: a folder or a table.")
    return build(DiscoveryConfig, "the options", {k: v for k, v in given.items() if v is not None})

"""A study on disk: every method on every data set is a cell, written when it has ended.

A study that was stopped or killed computes the cells that are missing; each depends on its config alone, so the record
ends as if nothing had happened. Cells run at once in processes of their own where more than one is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
from joblib import Parallel, delayed, parallel_config

from unpooled.causal.discovery import open_sites, run
from unpooled.causal.discovery.truth import MEASURES, measured
from unpooled.errors import BadRecord
from unpooled.runs.environment import environment
from unpooled.runs.files import read_json, slug, tidy, writable, write_bytes, write_json
from unpooled.runs.lock import locked
from unpooled.runs.studies import FAMILY, Data, Method, StudyConfig
from unpooled.runs.tables import without_none

Told = Callable[[str, int, int], None]
"""Called with a cell's name, and cells done and to do."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One method on one data set; `path` is where its numbers are kept."""

    data: Data
    method: Method
    graph: int
    seed: int
    path: Path

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.data.name}, {self.method.name}, graph {self.graph}"


def execute(config: StudyConfig, folder: Path, *, workers: int = 1, told: Told | None = None) -> dict[str, Any]:
    """Run what is missing in `folder`; then `result.json` and `runs.csv` (every measure of every cell) are whole.

    They are also written when the study is stopped, of the cells that have ended. Raises `BadRecord` where the folder
    holds another run.
    """
    settings = tomli_w.dumps(without_none(asdict(config))).encode()
    kept = folder / "config.toml"
    if kept.exists() and kept.read_bytes() != settings:
        raise BadRecord(f"{folder} holds another run: choose another folder with --out.")
    writable(folder)
    with locked(folder):
        tidy(folder)
        began, spent = _before(folder)
        write_bytes(kept, settings)
        write_json(folder / "environment.json", environment())
        listed = list(cells(config, folder))
        missing = [cell for cell in listed if not cell.path.exists()]
        status, start = "interrupted", time.perf_counter()
        _collect(config, folder, listed, status, began, spent)  # a killed study is known as one
        try:
            for done, name in enumerate(_run_all(missing, workers), start=len(listed) - len(missing) + 1):
                if told is not None:
                    told(name, done, len(listed))
            status = "finished"
        finally:
            outcome = _collect(config, folder, listed, status, began, spent + time.perf_counter() - start)
    return outcome


def is_study(folder: Path) -> bool:
    """Whether the run in `folder` is a study; False also where there is none."""
    return (folder / "result.json").is_file() and read_json(folder / "result.json").get("family") == FAMILY


def cells(config: StudyConfig, folder: Path) -> Iterator[Cell]:
    """All cells, graph by graph, so that what is there early is an even share of all."""
    for graph in range(config.graphs):
        for place, data in enumerate(config.data):
            for number, method in enumerate(config.methods):
                name = f"{place:02d}-{number:02d}-{slug(method.name)[:40]}-{graph:03d}.json"
                yield Cell(data, method, graph, config.seed, folder / "cells" / name)


def run_cell(cell: Cell) -> str:
    """Draw the data, discover, measure, and keep the numbers; gives the cell's name."""
    made = cell.data.draw(cell.seed, cell.graph)
    federation = open_sites(dict(made.tables), pooled=cell.method.pooled)
    start = time.process_time()
    found = run(federation, cell.method)
    seconds = time.process_time() - start
    kept = {
        "measures": {name: float(value) for name, value in measured(made, found.outcome, cell.method.method).items()},
        "varsortability": made.varsortability,
        "edges": len(made.graph.edges()),
        "cpu_seconds": round(seconds, 3),
        "bytes": int(found.disclosed.groupby("site")["bytes"].sum().max()),
        "found": [list(edge) for edge in found.outcome.graph.edges()],
    }
    write_json(cell.path, kept)
    return cell.name


def _run_all(missing: list[Cell], workers: int) -> Iterator[str]:
    if workers == 1 or len(missing) < 2:
        yield from map(run_cell, missing)
        return
    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield from Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(run_cell)(c) for c in missing)


def _before(folder: Path) -> tuple[str, float]:
    """When the study began, and the seconds that it has taken."""
    if (folder / "result.json").is_file():
        old = read_json(folder / "result.json")
        return str(old["started"]), float(old["seconds"])
    return datetime.now(UTC).isoformat(timespec="seconds"), 0.0


def _collect(
    config: StudyConfig, folder: Path, listed: list[Cell], status: str, began: str, seconds: float
) -> dict[str, Any]:
    """Gather the cells that have ended."""
    ended = {cell: read_json(cell.path) for cell in listed if cell.path.exists()}
    rows = [
        (cell.data.name, cell.method.name, cell.graph, measure, value)
        for cell, kept in ended.items()
        for measure, value in {
            **kept["measures"],
            **{name: kept[name] for name in ("cpu_seconds", "bytes", "varsortability")},
        }.items()
    ]
    runs = pd.DataFrame(rows, columns=["data", "method", "graph", "measure", "value"])
    outcome = {
        "family": FAMILY,
        "title": config.title,
        "name": folder.name,
        "status": status,
        "started": began,
        "seconds": round(seconds, 3),
        "graphs": config.graphs,
        "measures": {name: MEASURES[name] for name in config.measures},
        "data": [_said(data) for data in config.data],
        "methods": [method.name for method in config.methods],
        "cells": [{"name": cell.name, "status": "finished" if cell in ended else "missing"} for cell in listed],
    }
    write_bytes(folder / "runs.csv", runs.to_csv(index=False).encode())
    write_json(folder / "result.json", outcome)
    return outcome


def _said(data: Data) -> dict[str, Any]:
    """A kind of data in words, and what others published of it."""
    graph = f"scale-free, {data.attached} attached"
    if data.edges is not None:
        graph = f"{data.edges} edges"
    elif data.degree is not None:
        graph = f"Erdős-Rényi of degree {data.degree:g}"
    rows = f"{data.rows[0]}" if len(set(data.rows)) == 1 else f"{min(data.rows)} to {max(data.rows)}"
    plan = data.interventions
    done = "" if plan is None else f"; {plan.kind} on {plan.targets} nodes at all but {plan.untouched} sites"
    functions = f"{data.function.replace('_', ' ')} functions, the same at all sites"
    if data.mechanisms == "own":
        functions = f"{data.function.replace('_', ' ')} functions of each site's own"
    text = f"{data.nodes} nodes, {graph}; {functions}; {len(data.rows)} sites of {rows} rows{done}"
    return {"name": data.name, "text": text, "published": data.published}

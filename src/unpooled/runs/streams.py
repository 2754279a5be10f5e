"""A run on streams from a TOML config: its settings, its tables on disk, and nothing that needs a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w
from pydantic.dataclasses import dataclass as checked

from unpooled.errors import BadRecord, BadSetting, positive
from unpooled.runs.config import STRICT
from unpooled.runs.files import writable, write_bytes, write_json
from unpooled.runs.identity import slug
from unpooled.runs.record import environment
from unpooled.runs.tables import build, choose, known_keys, names, read_toml, without_none
from unpooled.training.protocols import PROTOCOLS, Protocol
from unpooled.training.streams import (
    LEARNERS,
    Disjunction,
    HiddenVariables,
    Serial,
    StreamComparison,
    SubsetAveraging,
    compare_streams,
    read_table,
)
from unpooled.training.streams.learners import Learner
from unpooled.training.streams.run import refuse_unfit
from unpooled.training.streams.source import Source
from unpooled.training.streams.table import Deal, Scale, rounds_in

Told = Callable[[str, int, int, int], None]
"""Called with a protocol's label, the seed, and rounds done and to do."""
FAMILY = "streams"
"""What the result of such a run calls itself."""


@checked(frozen=True, config=STRICT)
class TableSource:
    """A CSV file with columns of numbers (see `unpooled.training.streams.table`)."""

    path: str
    target: str
    drop: tuple[str, ...] = ()
    deal: Deal = "round_robin"
    scale: Scale = "prequential"


SOURCES: dict[str, type] = {"disjunction": Disjunction, "hidden_variables": HiddenVariables, "table": TableSource}
"""Every source by the name that configs use."""
STREAM_PROTOCOLS: dict[str, type[Protocol]] = {**PROTOCOLS, "SubsetAveraging": SubsetAveraging, "Serial": Serial}
"""Every protocol by the name that configs of streams use."""


@checked(frozen=True, config=STRICT)
class StreamConfig:
    """Every protocol with every seed on the same kind of stream. `rounds` may be left out for a table: all its rows."""

    title: str
    source: dict[str, Any]
    learner: dict[str, Any]
    protocols: tuple[dict[str, Any], ...]
    learners: int
    rounds: int | None = None
    batch: int = 1
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        positive(learners=self.learners, batch=self.batch)
        if self.rounds is not None:
            positive(rounds=self.rounds)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise BadSetting(f"seeds must be different whole numbers, at least one; got {list(self.seeds)}.")
        if not self.protocols:
            raise BadSetting('The config lists no protocol: add [[protocols]] with kind = "FedAvg", for example.')
        if not self.title.strip():
            raise BadSetting("title must say in a few words what the run is about.")


@dataclass(frozen=True)
class Plan:
    """A config with everything built and checked."""

    config: StreamConfig
    source: Source
    learner: Learner
    protocols: list[Protocol]
    rounds: int


def load(path: Path, source: Path | None = None) -> StreamConfig:
    """The config in a TOML file; `source` replaces the path of a table. Raises `BadSetting` in one line."""
    table = read_toml(path)
    known_keys("the config", table, names(StreamConfig))
    config = build(StreamConfig, "the config", table)
    if source is None and isinstance(config.source.get("path"), str):
        source = path.parent / Path(config.source["path"]).expanduser()
    if source is None:
        return config
    if config.source.get("kind") != "table":
        raise BadSetting(f"--source belongs to a [source] of kind 'table', not {config.source.get('kind')!r}.")
    return replace(config, source={**config.source, "path": str(source.expanduser().resolve())})


def plan(config: StreamConfig) -> Plan:
    """Build and check all that the config names, before any work."""
    settings: Any = choose("[source]", config.source, SOURCES)
    learner = choose("[learner]", config.learner, LEARNERS)
    protocols = [choose("A protocol", table, STREAM_PROTOCOLS) for table in config.protocols]
    labels = [protocol.label for protocol in protocols]
    for protocol in protocols:
        refuse_unfit(protocol)
        if labels.count(protocol.label) > 1:
            raise BadSetting(f"The config lists {protocol.label} twice: each protocol once.")
    source: Source = settings
    rounds = config.rounds
    if isinstance(settings, TableSource):
        table = read_table(settings.path, settings.target, drop=settings.drop, deal=settings.deal, scale=settings.scale)
        source, rounds = table, rounds or rounds_in(len(table.y), config.learners, config.batch)
    if rounds is None:
        raise BadSetting("A made stream has no end of its own: say how many rounds in the config.")
    return Plan(config, source, learner, protocols, rounds)


def default_folder(config: StreamConfig) -> Path:
    """Where a run goes unless a folder is named."""
    return Path("runs") / f"streams-{slug(config.title)[:40].strip('-')}"


def execute(made: Plan, folder: Path, told: Told | None = None) -> tuple[dict[str, Any], StreamComparison]:
    """Run everything, then write settings, `result.json`, `runs.csv` (totals of each run) and `curves.csv`.

    Raises `BadRecord` where the folder holds another run.
    """
    settings = tomli_w.dumps(without_none(asdict(made.config))).encode()
    kept = folder / "config.toml"
    if kept.exists() and kept.read_bytes() != settings:
        raise BadRecord(f"{folder} holds another run: choose another folder with --out.")
    writable(folder)
    started, start = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    found = compare_streams(
        made.source,
        made.learner,
        made.protocols,
        learners=made.config.learners,
        rounds=made.rounds,
        batch=made.config.batch,
        seeds=made.config.seeds,
        progress=told,
    )
    outcome = {
        "family": FAMILY,
        "title": made.config.title,
        "name": folder.name,
        "status": "finished",
        "started": started,
        "source": made.source.label,
        "learner": made.learner.label,
        "learners": made.config.learners,
        "rounds": made.rounds,
        "seconds": time.perf_counter() - start,
        "drifts": {str(seed): list(rounds) for seed, rounds in found.drifts().items()},
        "cells": [{"protocol": r.protocol, "seed": r.seed, "status": "finished"} for r in found.all()],
        "protocols": [_plain(row) for row in found.table().to_dict("records")],
    }
    write_bytes(kept, settings)
    write_json(folder / "environment.json", environment())
    write_bytes(folder / "runs.csv", found.frame().to_csv(index=False).encode())
    write_bytes(folder / "curves.csv", found.curves().to_csv(index=False).encode())
    write_json(folder / "result.json", outcome)
    return outcome, found


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """JSON has no word for a number that is none: it becomes null."""
    values = {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()}
    return {k: None if isinstance(v, float) and v != v else v for k, v in values.items()}

"""The record of a training run as typed, checked values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from unpooled.errors import BadRecord
from unpooled.report.record import RUN_AGAIN, Record

HISTORY = ("protocol", "seed", "step", "model", "metric", "value", "bytes", "messages")
SITES = ("protocol", "seed", "site", "samples", "test_samples", "model", "metric", "value")
WORDS = {"protocol", "site", "model", "metric", "kind"}
PRIVACY = ("protocol", "seed", "site", "sends", "epsilon", "delta")
TRAFFIC = ("protocol", "seed", "site", "kind", "up_messages", "up_bytes", "down_messages", "down_bytes")


@dataclass(frozen=True)
class ProtocolRow:
    """One method that was run."""

    label: str
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    simulation_only: bool = False
    note: str | None = ""


@dataclass(frozen=True)
class Cell:
    """One method under one seed; only a finished one takes part in a comparison."""

    protocol: str
    seed: int
    status: str
    seconds: float | None = None
    executor: str | None = ""
    executor_reason: str | None = ""
    lr: float | None = None


@dataclass(frozen=True)
class SiteRow:
    """Who holds how much."""

    name: str
    samples: int
    test_samples: int = 0
    classes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """What was trained on; `words` may say what a "site" and a "row" are, such as "hospital", "patient"."""

    source: str
    task: str
    sites: list[SiteRow]
    features: int | None = None
    test: str = "central"
    test_samples: int = 0
    test_fixed: bool = False
    note: str | None = ""
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """What was trained."""

    kind: str
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Privacy:
    """Whether sites kept a ledger, the last hash of each, and what they added so that their answers tell less.

    Under `secure_sum` models were averaged unseen, with `sealed_hops` those that hopped were sealed on their way.
    """

    ledger: bool = False
    settings: dict[str, Any] | None = None
    heads: dict[str, str] = field(default_factory=dict)
    secure_sum: bool = False
    sealed_hops: bool = False


@dataclass(frozen=True)
class Trial:
    """A learning rate tried on validation rows: results by metric, none where the training failed."""

    protocol: str
    seed: int
    lr: float
    values: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Chosen:
    """The learning rate that a cell trained with."""

    protocol: str
    seed: int
    lr: float | None


@dataclass(frozen=True)
class Tuning:
    """How learning rates were chosen; without `seeds` each seed chose for itself."""

    lr: list[float]
    validation_fraction: float
    steps: int
    metric: str
    seeds: list[int] | None = None
    tried: list[Trial] = field(default_factory=list)
    chosen: list[Chosen] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """The file `result.json` of a training run; `headline` may name the method to speak of first.

    `simulated` says that all sites were in one process.
    """

    title: str
    name: str
    identity: str
    status: str
    protocols: list[ProtocolRow]
    cells: list[Cell]
    data: Data
    model: Model
    steps: int
    main_metric: str
    started: str | None = ""
    seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    privacy: Privacy = field(default_factory=Privacy)
    questions: dict[str, str] = field(default_factory=dict)
    headline: str | None = None
    tuning: Tuning | None = None
    simulated: bool = True


class TrainingRecord:
    """Result and tables of one run; the tables hold finished cells only."""

    def __init__(self, record: Record) -> None:
        path = record.folder / "result.json"
        try:
            self.result: Result = TypeAdapter(Result).validate_python(dict(record.result))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BadRecord(f"{path}, at '{where}': {first['msg'].lower()}. {RUN_AGAIN}") from error
        self.record = record
        self.finished = {(cell.protocol, cell.seed) for cell in self.result.cells if cell.status == "finished"}

    @property
    def unfinished(self) -> list[Cell]:
        """The cells that take no part."""
        return [cell for cell in self.result.cells if cell.status != "finished"]

    @cached_property
    def history(self) -> pd.DataFrame:
        """Results on the way, columns `HISTORY`."""
        table = self._finished("history", HISTORY)
        metric = self.result.main_metric
        if len(table) and metric not in set(table["metric"]):
            path = self.record.folder / "history.parquet"
            raise BadRecord(f"{path} has no values of the main metric {metric!r}. {RUN_AGAIN}")
        return table

    @cached_property
    def sites(self) -> pd.DataFrame:
        """Final results at sites, columns `SITES`."""
        return self._finished("sites", SITES)

    @cached_property
    def traffic(self) -> pd.DataFrame:
        """Messages and bytes at the door, columns `TRAFFIC`."""
        return self._finished("traffic", TRAFFIC)

    @cached_property
    def privacy(self) -> pd.DataFrame:
        """What each site has spent, columns `PRIVACY`; empty where nothing was protected."""
        if self.result.privacy.settings is None:
            return pd.DataFrame(columns=list(PRIVACY))
        return self._finished("privacy", PRIVACY)

    def _finished(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        frame, path = self.record.frame(name, columns), self.record.folder / f"{name}.parquet"
        for column in columns:
            if column not in WORDS and len(frame) and not is_numeric_dtype(frame[column]):
                raise BadRecord(f"{path}: column {column!r} must hold numbers. {RUN_AGAIN}")
        labels = frame["protocol"].astype(str)
        unknown = sorted(set(labels) - {row.label for row in self.result.protocols})
        if unknown:
            raise BadRecord(f"{path} has results of {unknown[0]!r}, which result.json does not list. {RUN_AGAIN}")
        keep = np.array([cell in self.finished for cell in zip(labels, frame["seed"], strict=True)], dtype=bool)
        return frame.assign(protocol=labels)[keep].reset_index(drop=True)

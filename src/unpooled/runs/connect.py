"""A comparison of two models on disk: settings, tables (CSV and Parquet), a result; the same settings, the same run."""

from __future__ import annotations

import importlib
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tomli_w

from unpooled.errors import BadData, BadRecord, BadSetting, did_you_mean
from unpooled.runs.connect_steps import Steps, barriers_in
from unpooled.runs.environment import environment
from unpooled.runs.files import read_json, slug, tidy, writable, write_bytes, write_json, write_parquet
from unpooled.runs.lock import locked
from unpooled.runs.measures import Asked, epochs_of, make_ready
from unpooled.runs.pooled import POOLED
from unpooled.runs.tables import read_toml, without_none
from unpooled.sites.reading import file_kind, read_table

if TYPE_CHECKING:
    from torch import nn

    from unpooled.connectivity import Connectivity, Plan
    from unpooled.connectivity.plain import Told

FAMILY = "connectivity"
TABLES = ("barriers", "cells", "layers")


@dataclass(frozen=True)
class Comparison:
    """Two files of weights, how to compute with them, and what to score them on; see `unpooled.connectivity.connect`.

    `data` is a file (NPZ with X and y, or a table with a `target`), or the name of a set that scikit-learn brings.
    `model` is "mlp", whose widths are read from the weights, or `module:function` of one's own, which is executed.
    `measures` are names of `unpooled.runs.measures.MEASURES`; some need the initial weights of both models (`starts`),
    or files of weights on the way, whose names end in the epoch (`snapshots_a`, `snapshots_b`).
    """

    a: str
    b: str
    data: str
    model: str = "mlp"
    target: str | None = None
    title: str = "Two models, layer by layer"
    cuts: list[str] = field(default_factory=lambda: ["full", "layer", "from_input", "from_output", "window"])
    layers: str = "module"
    window: int = 2
    points: int = 11
    norms: str = "keep"
    calibration: str | None = None
    engine: str = "auto"
    memory_mb: int = 512
    seed: int = 0
    align: str = "none"
    measures: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    snapshots_a: list[str] = field(default_factory=list)
    snapshots_b: list[str] = field(default_factory=list)
    draws: int | None = None

    @property
    def command(self) -> str:
        """How to ask for it on the command line."""
        words = ["unpooled", "connect", self.a, self.b, "--data", self.data, "--model", self.model]
        default = asdict(Comparison("", "", ""))
        for name, value in asdict(self).items():
            if name not in ("a", "b", "data", "model") and value != default[name]:
                told = ",".join(value) if isinstance(value, list) else str(value)
                words += [f"--{name.replace('_', '-')}", told]
        return shlex.join(words)


def default_folder(comparison: Comparison) -> Path:
    """Under runs/, named after both files."""
    return Path("runs") / f"connect-{slug(f'{Path(comparison.a).stem}-{Path(comparison.b).stem}')[:60]}"


def execute(
    comparison: Comparison,
    folder: Path,
    *,
    planned: Callable[[Mapping[str, Plan]], None] = lambda plans: None,
    told: Told = lambda done, total: None,
) -> dict[str, Any]:
    """Compare, unless the folder holds the finished result already. Raises `BadRecord` where it holds another run."""
    from unpooled.connectivity import Study

    told_files = {"files": _digests(comparison)}
    settings = tomli_w.dumps({"family": FAMILY, **without_none(asdict(comparison)), **told_files}).encode()
    kept = folder / "config.toml"
    if kept.exists() and kept.read_bytes() != settings:
        raise BadRecord(
            f"{folder} holds another run, or its files were written again since: choose another folder with --out."
        )
    if kept.exists() and (folder / "result.json").is_file():
        done: dict[str, Any] = read_json(folder / "result.json")
        return done
    began, start = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    data = read_data(comparison.data, comparison.target)
    calibration = comparison.calibration
    common: dict[str, Any] = {
        "layers": comparison.layers,
        "norms": comparison.norms,
        "calibration": None if calibration is None else read_data(calibration, comparison.target)[0],
        "engine": comparison.engine,
        "memory": comparison.memory_mb * 1_000_000,
        "seed": comparison.seed,
    }
    model, cuts = model_for(comparison), comparison.cuts
    pair = comparison.a, comparison.b, data
    more: dict[str, Any] = {"window": comparison.window, "points": comparison.points, "align": comparison.align}
    study = Study(comparison.a, comparison.b, data, model=model, cuts=cuts, **more, **common)
    snapshots = epochs_of(comparison.snapshots_a), epochs_of(comparison.snapshots_b)
    asked = Asked(*pair, model, comparison.starts, snapshots, comparison.draws, comparison.align, common)
    ready = make_ready(comparison.measures, asked)
    writable(folder)
    planned({"barriers": study.plan, **{name: plan for name, (plan, _) in ready.items()}})
    with locked(folder):
        tidy(folder)
        write_bytes(kept, settings)
        write_json(folder / "environment.json", environment())
        steps = Steps(folder)
        found = barriers_in(steps, lambda: study.run(told))
        measured = {}
        for name, (plan, run) in ready.items():
            facts = {"models_scored": plan.models, "passes": plan.passes}
            measured[name] = steps.take(name, lambda run=run, facts=facts: (run(told), facts))  # type: ignore[misc]
        outcome = _written(folder, comparison, found, measured, began, time.perf_counter() - start)
        steps.forget()
        return outcome


def is_comparison(folder: Path) -> bool:
    """Whether the run in `folder` compares two models; False also where there is none."""
    config = folder / "config.toml"
    return config.is_file() and read_toml(config).get("family") == FAMILY


def load(folder: Path) -> Comparison:
    """What was compared in `folder`, from its settings."""
    told = {name: value for name, value in read_toml(folder / "config.toml").items() if name not in ("family", "files")}
    return Comparison(**told)


def _digests(comparison: Comparison) -> dict[str, str]:
    """SHA-256 of what is read, so that a file that was written again is another run."""
    found = {}
    named = comparison.a, comparison.b, comparison.data, comparison.calibration or ""
    for name in (*named, *comparison.starts, *comparison.snapshots_a, *comparison.snapshots_b):
        if Path(name).is_file():
            with Path(name).open("rb") as file:
                found[name] = file_digest(file, "sha256").hexdigest()
    return found


def _written(
    folder: Path,
    comparison: Comparison,
    found: Connectivity,
    measured: Mapping[str, tuple[Mapping[str, pd.DataFrame], dict[str, Any]]],
    began: str,
    seconds: float,
) -> dict[str, Any]:
    more = {name: table for tables, _ in measured.values() for name, table in tables.items()}
    for name, table in {**{name: getattr(found, name) for name in TABLES}, **more}.items():
        write_bytes(folder / f"{name}.csv", table.to_csv(index=False).encode())
        write_parquet(folder / f"{name}.parquet", table)
    if more:
        write_json(folder / "measures.json", {name: _rows(table) for name, table in more.items()})
    null = {metric: _number(found.null_model(metric)) for metric in found.facts["metrics"]} if _both(found) else {}
    outcome = {
        "family": FAMILY,
        "title": comparison.title,
        "name": folder.name,
        "status": "finished",
        "started": began,
        "seconds": round(seconds, 3),
        "a": comparison.a,
        "b": comparison.b,
        "data": comparison.data,
        "command": comparison.command,
        "facts": {**found.facts, "null_model": null},
        "notes": list(found.notes),
        "cells": [{"status": "finished"}],
        "barriers": _rows(found.barriers[found.barriers["reference"] == "mean"]),
        "measures": {name: facts for name, (_, facts) in measured.items()},
    }
    write_json(folder / "result.json", outcome)
    return outcome


def _both(found: Connectivity) -> bool:
    return {"full", "layer"} <= set(found.barriers["kind"])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _number(value) for name, value in row.items()} for row in table.to_dict("records")]


def _number(value: Any) -> Any:
    """JSON has no word for a number that is none: it becomes null."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def read_data(source: str, target: str | None) -> tuple[Any, Any]:
    """X and y as they are: nothing is scaled, because the models know what they were trained on."""
    if source in POOLED:
        return POOLED[source]()
    path = Path(source)
    if not path.is_file():
        raise BadData(
            f"There is no file '{source}', and no set of that name; there are {', '.join(POOLED)}."
            + did_you_mean(source, POOLED)
        )
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if {"X", "y"} <= set(arrays.files):
                    return arrays["X"], arrays["y"]
        except (OSError, ValueError) as error:
            raise BadData(f"{path} cannot be read as NPZ ({error}): save arrays X and y with numpy.savez.") from error
    if file_kind(path) is None:
        raise BadData(f"{path} is no data that can be read: NPZ with X and y, CSV or Parquet is needed.")
    return _from_table(path, target)


def _from_table(path: Path, target: str | None) -> tuple[Any, Any]:
    columns: Mapping[str, Any] = read_table(path).columns
    if target is None or target not in columns:
        found = "no target" if target is None else f"no column '{target}'"
        raise BadSetting(f"{path} has {found}: say --target, one of {', '.join(columns)}.")
    features = {name: values for name, values in columns.items() if name != target}
    for name, values in features.items():
        if values.dtype.kind not in "biuf":
            raise BadData(f"Column '{name}' of {path} holds no numbers: prepare it as the models' training data was.")
    y = columns[target]
    if y.dtype.kind not in "biuf":
        raise BadData(f"The target '{target}' of {path} holds no numbers: write classes as 0, 1, ... as in training.")
    return np.column_stack(list(features.values())).astype(np.float64), y.astype(np.int64) if y.dtype.kind != "f" else y


def model_for(comparison: Comparison) -> nn.Module:
    """A module of the weights' architecture."""
    if comparison.model == "mlp":
        return _mlp_of(comparison.a)
    name, colon, function = comparison.model.partition(":")
    if not colon:
        raise BadSetting(f"There is no model '{comparison.model}': say mlp, or module:function of your own.")
    from torch import nn

    try:
        made = getattr(importlib.import_module(name), function)()
    except (ImportError, AttributeError, TypeError) as error:
        raise BadSetting(
            f"The model {comparison.model} cannot be made ({error}): it must be importable from here, and "
            "take no arguments."
        ) from error
    if not isinstance(made, nn.Module):
        raise BadSetting(f"{comparison.model} made a {type(made).__name__}: a torch.nn.Module is needed.")
    return made


def _mlp_of(path: str) -> nn.Module:
    from unpooled.connectivity import open_checkpoint
    from unpooled.training.models import MLP

    weights = open_checkpoint(path)
    matrices = [tensor for name, tensor in weights.items() if tensor.dim() == 2]
    if not matrices:
        raise BadSetting(f"{path} holds no matrix, so it is no mlp: say --model module:function.")
    return MLP(tuple(len(m) for m in matrices[:-1])).build((matrices[0].shape[1],), len(matrices[-1]))

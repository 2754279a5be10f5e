"""A run's folder: everything that a report, a reader or a restart needs, and nothing that only this process knows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from unpooled.errors import BadRecord
from unpooled.runs import cells
from unpooled.runs.config import Config, load, resolved
from unpooled.runs.environment import environment
from unpooled.runs.files import read_json, write_bytes, write_json, write_parquet
from unpooled.runs.identity import identity
from unpooled.runs.resolve import privacy_of, protocols_of, settings_of
from unpooled.sites.questions import KINDS
from unpooled.sites.traffic import COLUMNS
from unpooled.training.result import ABSENCES, HISTORY, PRIVACY

TABLES = {
    "history": ["protocol", "seed", *HISTORY],
    "sites": ["protocol", "seed", "site", "samples", "test_samples", "model", "metric", "value"],
    "traffic": ["protocol", "seed", "site", "kind", *COLUMNS],
    "privacy": ["protocol", "seed", *PRIVACY],
    "absences": ["protocol", "seed", *ABSENCES],
}
"""The Parquet tables of a record and their columns.

`bytes` and `messages` of `history` are the price of training so far: the questions begin, train (sealed or not) and
rows, both ways, over all sites, up to the look at the models that the row is about, so without the exchange that
follows it. What preparing the data (statistics) and measuring (evaluate) cost is in `traffic`, by site and kind.
`privacy` is empty unless sites added noise, `absences` unless real sites did not answer.
"""


def begin(folder: Path, config: Config, facts: dict[str, Any]) -> None:
    """Write what is known before any work: settings, environment, a result without cells. `facts` are of the data."""
    write_settings(folder, config)
    write_json(folder / "result.json", _beginning(folder, config, facts))


def absences_told(rows: list[Any]) -> list[str]:
    """In words, which sites did not answer, from rows of the table `absences`."""
    times: dict[tuple[str, int, str, str], list[int]] = {}
    for protocol, seed, step, site, model in rows:
        times.setdefault((protocol, seed, site, model), []).append(step)
    return [
        f"{protocol}, seed {seed}: site '{site}' did not answer {len(steps)} times, first after local step "
        f"{min(steps)}, last after {max(steps)} ({model})."
        for (protocol, seed, site, model), steps in times.items()
    ]


def grow(folder: Path, config: Config, facts: dict[str, Any]) -> None:
    """The same for a run that gets more protocols or seeds: when it began and how long it took stay."""
    old = read_json(folder / "result.json")
    kept = {key: old[key] for key in ("started", "seconds")}
    write_json(folder / "result.json", {**_beginning(folder, config, facts), **kept})
    write_settings(folder, config)


def write_settings(folder: Path, config: Config) -> None:
    """The settings in full, and what the numbers may depend on besides them."""
    write_bytes(folder / "config.toml", tomli_w.dumps(resolved(config)).encode())
    write_json(folder / "environment.json", environment())


def _beginning(folder: Path, config: Config, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "family": config.family,
        "title": config.title,
        "name": folder.name,
        "identity": identity(config),
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "error": None,
        "protocols": [_protocol(p) for p in protocols_of(config)],
        "steps": config.training.steps,
        "headline": config.headline,
        "main_metric": "accuracy" if facts["data"]["task"] == "classification" else "rmse",
        "questions": {},
        "cells": [],
        "privacy": {
            "ledger": config.ledger,
            "heads": {},
            "settings": settings_told(config),
            "secure_sum": config.training.secure_sum,
            "sealed_hops": config.training.sealed_hops,
        },
        "tuning": None,
        "data_warnings": facts["warnings"],
        **facts,
    }


def collect(folder: Path, config: Config, status: str, seconds: float) -> dict[str, Any]:
    """Gather all cells that ended into the tables and the result; returns the result."""
    result: dict[str, Any] = read_json(folder / "result.json")
    done = cells.outcomes(folder, config)
    sizes = {s["name"]: (s["samples"], s["test_samples"]) for s in result["data"]["sites"]}
    central = result["data"]["test_samples"] if result["data"]["test"] == "central" else None
    rows: dict[str, list[Any]] = {name: [] for name in TABLES}
    for cell in done:
        key = [cell["protocol"], cell["seed"]]
        rows["history"] += [[*key, *r] for r in cell["history"]]
        rows["traffic"] += [[*key, *r] for r in cell["traffic"]]
        rows["privacy"] += [[*key, *r] for r in cell.get("privacy", [])]
        rows["absences"] += [[*key, *r] for r in cell.get("absences", [])]
        for site, model, metric, value in cell["sites"]:
            samples, tests = sizes.get(site, (0, 0))
            rows["sites"].append([*key, site, samples, central or tests, model, metric, value])
    for name, columns in TABLES.items():
        write_parquet(folder / f"{name}.parquet", pd.DataFrame(rows[name], columns=columns))
    asked = {row[TABLES["traffic"].index("kind")] for row in rows["traffic"]}
    result["questions"] = {kind: KINDS[kind].tells for kind in sorted(asked & set(KINDS))}
    failed = [c for c in done if c["status"] == "failed"]
    result["status"] = "failed" if failed and status == "finished" else status
    result["error"] = f"{failed[0]['protocol']}, seed {failed[0]['seed']}: {failed[0]['error']}" if failed else None
    result["warnings"] = [*result["data_warnings"], *absences_told(rows["absences"])]
    result["seconds"] = round(seconds, 3)
    result["tuning"] = _tuning(folder, config, done)
    keys = ("protocol", "seed", "status", "seconds", "lr", "executor", "executor_reason", "error")
    result["cells"] = [{k: c[k] for k in keys} for c in done]
    ended = {(c["protocol"], c["seed"]) for c in done}
    result["cells"] += [
        {
            "protocol": c.protocol.label,
            "seed": c.seed,
            "status": "missing",
            "seconds": 0.0,
            "lr": None,
            "executor": "",
            "executor_reason": "",
            "error": None,
        }
        for c in cells.cells_of(config)
        if (c.protocol.label, c.seed) not in ended
    ]
    result["privacy"]["heads"] = {
        f"{c['protocol']} seed {c['seed']} {s}": h for c in done for s, h in c["heads"].items()
    }
    write_json(folder / "result.json", result)
    return result


def _tuning(folder: Path, config: Config, done: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What was tried on validation rows, and what each cell trained with."""
    tune = config.tune
    if tune is None:
        return None
    return {
        "lr": list(tune.lr),
        "validation_fraction": tune.validation_fraction,
        "steps": tune.steps or config.training.steps,
        "seeds": None if tune.seeds is None else list(tune.seeds),
        "metric": tune.metric_of(cells.trials_made(folder, config)),
        "tried": cells.trial_outcomes(folder, config),
        "chosen": [{k: c[k] for k in ("protocol", "seed", "lr")} for c in done],
    }


def config_of(folder: Path) -> Config:
    """The settings that a run's folder was made with; raises `BadRecord` where there is no run."""
    if not (folder / "config.toml").is_file():
        raise BadRecord(f"There is no run in {folder}: `unpooled runs` lists the runs that exist.")
    return load(folder / "config.toml")


def settings_told(config: Config) -> dict[str, Any] | None:
    """What sites added so that their answers tell less, as plain settings."""
    privacy = privacy_of(config)
    return None if privacy is None else settings_of(privacy, privacy.kind)


def _protocol(protocol: Any) -> dict[str, Any]:
    from dataclasses import asdict

    settings = {k: getattr(v, "__name__", v) for k, v in asdict(protocol).items()}
    return {
        "label": protocol.label,
        "kind": type(protocol).__name__,
        "settings": settings,
        "simulation_only": protocol.simulation_only,
        "note": protocol.summary,
    }

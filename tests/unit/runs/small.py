"""A small run on real data (wine, brought by scikit-learn), and what two runs must have in common to be equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unpooled.runs.config import Config, parse

UNEQUAL = ("seconds", "started", "name", "heads")
"""What may differ between two runs of one config: times, the folder's name, and the ledgers, which hold times."""


def small(**training: Any) -> dict[str, Any]:
    """The tables of a config whose optimizer has memory; `training` replaces settings."""
    return {
        "title": "Small",
        "data": {"source": "wine", "split": {"sites": 3, "samples": 6}},
        "model": {"kind": "linear"},
        "training": {
            "steps": 300,
            "lr": 0.05,
            "batch_size": 3,
            "optimizer_settings": {"momentum": 0.9},
            "optimizer_state": "stay",
            "executor": "vectorised",
            "evaluate_every": 50,
            **training,
        },
        "protocols": [
            {"kind": "FedDC", "daisy_period": 1, "aggregate_period": 10},
            {"kind": "FedAvg", "aggregate_period": 5},
        ],
    }


def config(*, ledger: bool = False, **training: Any) -> Config:
    """`small` as a config."""
    return parse({**small(**training), "ledger": ledger})


def bits(folder: Path) -> dict[str, Any]:
    """All that must be equal between two runs: models and tables byte by byte, the result without times."""
    files = [*folder.glob("*.parquet"), *folder.glob("models/*.safetensors"), folder / "config.toml"]
    found: dict[str, Any] = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}
    result = _without_times(json.loads((folder / "result.json").read_bytes()))
    return found | {f"result.json, {key}": value for key, value in result.items()}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in UNEQUAL}
    return [_without_times(v) for v in value] if isinstance(value, list) else value

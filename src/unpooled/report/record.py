"""A run's folder, read for a report: files only, no data and no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unpooled.errors import BadRecord

RUN_AGAIN = "Run `unpooled resume` on the folder, or run again."


@dataclass(frozen=True)
class Record:
    """What every run leaves behind, whatever its family; `frame` reads the tables of its family."""

    folder: Path
    result: Mapping[str, Any]
    config: str
    environment: Mapping[str, Any]

    def frame(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """The table `name`.parquet, or `name`.csv where the name says so, with at least these columns.

        Raises `BadRecord` if it is absent or broken.
        """
        path = self.folder / (name if name.endswith(".csv") else f"{name}.parquet")
        _must_exist(path)
        try:
            table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        except (OSError, ValueError) as error:
            form = "CSV" if path.suffix == ".csv" else "Parquet"
            raise BadRecord(f"{path} cannot be read as {form} ({_one_line(error)}). {RUN_AGAIN}") from error
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise BadRecord(f"{path} has no column {', '.join(map(repr, missing))}. {RUN_AGAIN}")
        return table


def read_record(folder: str | Path) -> Record:
    """Read the parts that all families share. Raises `BadRecord`, in one line with the file's name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadRecord(f"There is no run's folder at {folder}. `unpooled runs` lists the runs there are.")
    result = _object(folder / "result.json")
    for key in ("family", "title"):
        if not isinstance(result.get(key), str):
            raise BadRecord(f"{folder / 'result.json'} has no text {key!r}. {RUN_AGAIN}")
    config = folder / "config.toml"
    _must_exist(config)
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecord(f"{config} cannot be read as text ({_one_line(error)}). {RUN_AGAIN}") from error
    return Record(folder, result, text, _object(folder / "environment.json"))


def _object(path: Path) -> dict[str, Any]:
    _must_exist(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRecord(f"{path} is no valid JSON: it was cut or changed ({_one_line(error)}). {RUN_AGAIN}") from error
    if not isinstance(value, dict):
        raise BadRecord(f"{path} holds no JSON object. {RUN_AGAIN}")
    return value


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise BadRecord(f"{path.parent} is not a complete run: {path.name} is missing. {RUN_AGAIN}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]

"""What a comparison of two models has finished, so that a run that was killed does not do it again.

A step is the barriers, or one measure. Its tables and facts are written under `steps/` when it is done, the facts last:
a step without facts never happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pandas as pd

from unpooled.runs.files import read_json, write_json, write_parquet

if TYPE_CHECKING:
    from unpooled.connectivity import Connectivity

Tables = Mapping[str, pd.DataFrame]
BARRIERS = "barriers"


class Steps:
    """Steps of the run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "steps"

    def take(self, name: str, work: Callable[[], tuple[Tables, dict[str, Any]]]) -> tuple[Tables, dict[str, Any]]:
        """Tables and facts of a step: read if it is finished, otherwise computed and kept."""
        facts_file = self.folder / f"{name}.json"
        if facts_file.is_file():
            facts = read_json(facts_file)
            tables = {table: pd.read_parquet(self._file(name, table)) for table in facts["tables"]}
            return tables, facts
        begun = time.perf_counter()
        found, told = work()
        facts = {**told, "tables": list(found), "seconds": time.perf_counter() - begun}
        for table, rows in found.items():
            write_parquet(self._file(name, table), rows)
        write_json(facts_file, facts)
        return found, facts

    def _file(self, step: str, table: str) -> Path:
        return self.folder / f"{step}.{table}.parquet"

    def forget(self) -> None:
        """The run is finished: its tables stand beside its result."""
        rmtree(self.folder, ignore_errors=True)


def barriers_in(steps: Steps, run: Callable[[], Connectivity]) -> Connectivity:
    """The barriers as a step."""
    from unpooled.connectivity import Connectivity

    def work() -> tuple[Tables, dict[str, Any]]:
        found = run()
        tables = {"barriers": found.barriers, "cells": found.cells, "layers": found.layers}
        return tables, {"facts": dict(found.facts), "notes": list(found.notes)}

    tables, kept = steps.take(BARRIERS, work)
    return Connectivity(**tables, facts=kept["facts"], notes=tuple(kept["notes"]))

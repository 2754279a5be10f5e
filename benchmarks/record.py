"""What a benchmark leaves behind: runs/bench/<name>.csv, .md and .json. A row that is there is not measured again.

The rows are the record, one line each, written as soon as they are measured. The .json says where they come from:
machine, versions, seed, and a fingerprint of the code measured. Rows from elsewhere are never mixed: a record from
another machine, version or code is put aside, as <name>.old.csv, and measuring starts anew.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "runs" / "bench"
MEASURED = (
    *(f"src/unpooled/{part}" for part in ("training", "combine", "sites", "parallel", "connectivity")),
    "benchmarks/rivals",
)
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")
Row = dict[str, Any]


def load() -> float:
    """Load average of the last minute: how busy the machine is, with us and others."""
    return round(os.getloadavg()[0], 2)


def options(description: str | None) -> argparse.ArgumentParser:
    """What all scripts take."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="measure everything again, not only what is missing")
    parser.add_argument("--out", type=Path, default=RUNS, help="folder of the records (default runs/bench)")
    return parser


def machine() -> dict[str, Any]:
    """Processor, cores and memory, as Linux tells them; what it does not tell is left out."""
    facts: dict[str, Any] = {"system": platform.platform(), "python": platform.python_version()}
    cpu, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpu.exists():
        names = [x.split(":", 1)[1].strip() for x in cpu.read_text().splitlines() if x.startswith("model name")]
        facts["processor"] = names[0] if names else platform.processor()
    facts["cores"] = os.cpu_count()
    if memory.exists():
        facts["memory_GB"] = round(int(memory.read_text().split()[1]) / 2**20)
    return facts


def fingerprint(script: str, measured: Iterable[str] = MEASURED) -> str:
    """Twelve letters that change when the code measured, or the script that measures, changes."""
    files = [f for folder in measured for f in sorted((ROOT / folder).rglob("*.py"))] + [Path(script)]
    return hashlib.blake2b(b"".join(f.read_bytes() for f in files), digest_size=6).hexdigest()


class Record:
    """The rows of one script; `keys` are the columns that say what a row measures, `measured` the code."""

    def __init__(
        self, script: str, keys: Iterable[str], *, seed: Any, fresh: bool, folder: Path = RUNS,
        measured: Iterable[str] = MEASURED,
    ) -> None:  # fmt: skip
        self.name, self.keys, self.folder = Path(script).stem, tuple(keys), folder
        self.facts = {
            **machine(),
            "versions": {name: version(name) for name in LIBRARIES},
            "seed": seed,
            "code": fingerprint(script, measured),
        }
        self.rows: list[Row] = []
        folder.mkdir(parents=True, exist_ok=True)
        if self._path("csv").exists() and not fresh:
            self._continue()
        self._path("json").write_text(json.dumps(self.facts, indent=2) + "\n")

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.name}.{ending}"

    def _continue(self) -> None:
        kept = json.loads(self._path("json").read_text()) if self._path("json").exists() else {}
        differs = [key for key, value in self.facts.items() if kept.get(key) != value]
        if differs:
            self._path("csv").rename(self._path("old.csv"))
            print(f"The record in {self._path('csv')} has another {', '.join(differs)}: put aside, measured anew.")
            return
        with self._path("csv").open(newline="") as file:
            self.rows = [{k: _value(v) for k, v in row.items()} for row in csv.DictReader(file)]
        if self.rows:
            print(f"Continuing {self._path('csv')} ({len(self.rows)} rows); --fresh measures everything again.")

    def of(self, **key: Any) -> list[Row]:
        """Rows that have these values."""
        return [row for row in self.rows if all(str(row.get(k)) == str(v) for k, v in key.items())]

    def drop(self, **key: Any) -> None:
        """Forget rows that are to be measured again."""
        gone = self.of(**key)
        self.rows = [row for row in self.rows if row not in gone]

    def add(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Append rows and write them; each is stamped with the time and the load."""
        stamp = {"load": load(), "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}
        new = [{**row, **stamp} for row in rows]
        self.rows += new
        columns = list(dict.fromkeys([*self.keys, *(k for row in self.rows for k in row)]))
        draft = self._path("csv.part")
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)
        draft.replace(self._path("csv"))
        return new

    def write(self, text: str) -> None:
        """The table for people, with where it comes from."""
        self._path("md").write_text(f"{text}\n\n{self.provenance()}\n")
        print(f"Wrote {self._path('md')} and {self._path('csv').name}.")

    def finish(self, columns: Mapping[str, str], missed: Sequence[str], *, above: str = "") -> int:
        """Print and write the table, after what comes `above` it, and the bars missed; exit status 1 where one was."""
        text = f"{above}\n\n{table(columns, self.rows)}".strip()
        print(f"\n{text}\n")
        self.write(text)
        for line in missed:
            print(f"MISSED: {line}")
        return 1 if missed else 0

    def provenance(self) -> str:
        """One line: machine, versions, seed, when, and the load while it was measured."""
        loads = sorted(float(row["load"]) for row in self.rows)
        f = self.facts
        between = f"load {loads[0]:.1f} to {loads[-1]:.1f}" if loads else "nothing measured"
        versions = ", ".join(f"{k} {v}" for k, v in f["versions"].items())
        last = self.rows[-1]["when"] if self.rows else "-"
        return (
            f"*{f.get('processor', 'processor unknown')}, {f['cores']} cores, {f.get('memory_GB', '?')} GB; "
            f"{between}; Python {f['python']}, {versions}; seed {f['seed']}; code {f['code']}; {last}.*"
        )


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown; `columns` maps a column's title to a format string over a row, such as "{ms:.2f}"."""
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [form.format_map(_Gaps(row)) for form in columns.values()]
        lines.append("| " + " | ".join("-" if cell.startswith("- ") else cell for cell in cells) + " |")
    return "\n".join(lines)


class _Gaps(dict[str, Any]):
    """A missing or empty value is shown as a dash, whatever the format."""

    def __getitem__(self, key: str) -> Any:
        value = dict.get(self, key)
        return _Dash() if value is None or value == "" else value


class _Dash:
    def __format__(self, spec: str) -> str:
        return "-"


def _value(text: str) -> Any:
    """A cell of a CSV as a number where it is one, None where it is empty."""
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(text, text)

"""The coordinator's record of what it was told, to hold a site's ledger against: one JSON line an answer.

A line has the site, run and number of the question and the SHA-256 of the answer's bytes as they came. A coordinator
that was killed may write a line a second time; both then say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpooled.errors import BadRecord
from unpooled.sites import ledger
from unpooled.sites.transports.remote import Received

FOLDER = "answers"
"""The folder of a run that holds these files."""
Told = Mapping[tuple[str, str, int], Mapping[str, Any]]
"""Lines by site, run and number."""
COMPARED = ("kind", "bytes", "sha256")


class Answers:
    """Appends what `run` is told to the file `path`."""

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.run = path, run
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():  # half a line at the end is what a kill leaves; its answer is heard again
            data = path.read_bytes()
            path.write_bytes(data[: data.rfind(b"\n") + 1])

    def heard(self, received: Received) -> None:
        """One more answer."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": self.run, **asdict(received)}, sort_keys=True) + "\n")


def read_answers(folder: Path) -> Told:
    """All lines of a run's folder. Raises `BadRecord` where there is none, or two contradict each other."""
    files = sorted((folder / FOLDER).glob("**/*.jsonl"))
    if not files:
        raise BadRecord(f"There is no {FOLDER}/*.jsonl in {folder}: is this the folder of a run over real sites?")
    told: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for path in files:
        for number, raw in enumerate(path.read_bytes().splitlines(), start=1):
            try:
                line = json.loads(raw)
                key = (line["site"], line["run"], line["number"])
                content = {name: line[name] for name in COMPARED}
            except (ValueError, KeyError, TypeError) as error:
                raise BadRecord(f"{path}, line {number} is no answer: it was changed or cut.") from error
            if told.setdefault(key, content) != content:
                raise BadRecord(f"{path}, line {number} says other than an earlier line about the same question.")
    return told


def compare(path: Path, told: Told) -> tuple[int, int]:
    """Hold the ledger at `path` against what the coordinator was told by that site.

    Returns how many answers agree, and how many of these runs the coordinator never heard (lost on the way).

    Raises `BadRecord` that names the first line which differs, or the first answer which the ledger lacks.
    """
    written: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    runs = {run for _, run, _ in told}
    agreeing, unheard = 0, 0
    for number, line in enumerate(ledger.read(path), start=1):
        key = (line.get("site", ""), line["run"], line.get("number", -1))
        written.setdefault(key, []).append(line)
        if "refused" in line or key[1] not in runs or key[2] < 0:
            continue
        if key not in told:
            unheard += 1
            continue
        for name in COMPARED:
            if line[name] != told[key][name]:
                raise BadRecord(
                    f"Ledger {path}, line {number} says {name} {line[name]} of question {key[2]} of run '{key[1]}', "
                    f"and the coordinator's record says {told[key][name]}."
                )
        agreeing += 1
    sites = {site for site, _, _ in written}
    for key, content in told.items():
        if key[0] in sites and not any(line["sha256"] == content["sha256"] for line in written.get(key, ())):
            raise BadRecord(
                f"The coordinator has an answer of site '{key[0]}' to question {key[2]} of run '{key[1]}' that is not "
                f"in the ledger {path}: lines were cut off or changed, or somebody else answered."
            )
    if not sites & {site for site, _, _ in told}:
        raise BadRecord(f"The coordinator's record has no answer of the site whose ledger is {path}.")
    return agreeing, unheard

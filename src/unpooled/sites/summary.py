"""What a ledger says in sum: by kind of question, by run, by day, and what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Line = Mapping[str, Any]


@dataclass
class Sum:
    """Answers that left, the payload bytes of all and of the largest, when the first and last did, and refusals.

    `recipients` counts the answers that were sealed for another site, by its name.
    """

    answers: int = 0
    bytes: int = 0
    largest: int = 0
    first: str = ""
    last: str = ""
    refused: int = 0
    askers: dict[str, None] = field(default_factory=dict)
    spent: float = 0.0
    recipients: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """One line more."""
        self.first = self.first or str(line["time"])
        self.last = str(line["time"])
        self.askers[str(line["asker"])] = None
        if "refused" in line:
            self.refused += 1
            return
        if "recipient" in line:
            self.recipients[str(line["recipient"])] = self.recipients.get(str(line["recipient"]), 0) + 1
        self.answers += 1
        self.bytes += int(line["bytes"])
        self.largest = max(self.largest, int(line["bytes"]))
        self.spent = max(self.spent, float(line.get("privacy_spent", 0.0)))


@dataclass(frozen=True)
class Summary:
    """Sums over a whole ledger; days are those of UTC. `sites` are the names found in it, one at real sites."""

    whole: Sum
    kinds: Mapping[str, Sum]
    runs: Mapping[str, Sum]
    days: Mapping[str, Sum]
    refusals: tuple[Line, ...]
    sites: tuple[str, ...]
    lines: int
    head: str

    @property
    def spent(self) -> float:
        """Epsilon of all runs together."""
        return sum(run.spent for run in self.runs.values())


def chosen(lines: Iterable[Line], *, run: str | None = None, kind: str | None = None) -> list[Line]:
    """Lines of the runs whose name begins with `run`, and of this kind of question."""
    return [
        line
        for line in lines
        if (run is None or str(line["run"]).startswith(run)) and (kind is None or line["kind"] == kind)
    ]


def summarise(lines: Iterable[Line]) -> Summary:
    """Sums of ledger lines, in their order. Lines about the ledger itself (`recovered`) are counted as lines only."""
    whole, kinds, runs, days = Sum(), dict[str, Sum](), dict[str, Sum](), dict[str, Sum]()
    refusals, sites, count, head = [], dict[str, None](), 0, ""
    for line in lines:
        count, head = count + 1, str(line["hash"])
        if "answer" not in line:
            continue
        if "site" in line:
            sites[str(line["site"])] = None
        for total in (
            whole,
            kinds.setdefault(str(line["kind"]), Sum()),
            runs.setdefault(str(line["run"]), Sum()),
            days.setdefault(str(line["time"])[:10], Sum()),
        ):
            total.add(line)
        if "refused" in line:
            refusals.append(line)
    return Summary(whole, kinds, runs, days, tuple(refusals), tuple(sites), count, head)

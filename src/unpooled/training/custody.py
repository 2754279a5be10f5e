"""What becomes of models while a site is away: the coordinator keeps what was on its way there, and nothing is lost.

A site that does not answer in time keeps its place. Where an exchange asks for its model, the model that was last sent
to it stands in: one that came from another site (daisy-chaining) returns to the coordinator, hops on with the next
exchange, and counts in the next aggregate, so that the work in it is not lost; an aggregate that the site never used
holds nobody's work, and does not count. When the site is back it is sent what waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.sites.questions import ABSENT, Answer, Failure
from unpooled.training.channel import Delivery
from unpooled.training.exchange import Facts, columns_of
from unpooled.training.questions import Train, Trained

LEFT_OUT, STANDS_IN = "left out", "the model that was sent there stands in"


@dataclass(frozen=True)
class Absence:
    """A site that did not answer: the local steps done before, its name, and what became of its model."""

    step: int
    site: str
    model: str


class Custody:
    """The rows (m, width) that were last sent to the sites, all starting with `start`, and who is away."""

    def __init__(self, facts: Facts, width: int) -> None:
        self._facts = facts
        assert facts.start is not None
        row = np.zeros(width, dtype=facts.start.dtype)
        row[: len(facts.start)] = facts.start
        self.rows = np.repeat(row[None], facts.sites, axis=0)
        self.hopped = np.zeros(facts.sites, dtype=bool)
        self.away = np.zeros(facts.sites, dtype=bool)
        self.absences: list[Absence] = []

    @property
    def counted(self) -> Array | None:
        """For each site, whether the row in its place holds work; None when nobody is away."""
        return None if not self.away.any() else ~self.away | self.hopped

    def delivered(self, delivery: Delivery) -> None:
        """These rows are on their way."""
        who = np.arange(self._facts.sites) if delivery.sites is None else delivery.sites
        self.rows[np.ix_(who, np.arange(self.rows.shape[1])[columns_of(delivery.layers, self._facts)])] = delivery.rows
        self.hopped[who] = not (delivery.anchor or delivery.initial)

    def stand_in(self, question: Train, asked: Sequence[str], answers: Mapping[str, Answer]) -> dict[str, Answer]:
        """The answers, with a row in place of each absent site's; `away` tells whose they are."""
        out, names = dict(answers), list(self._facts.names)
        for name in asked:
            place = names.index(name)
            self.away[place] = is_absent(answers[name])
            if not self.away[place]:
                continue
            if question.steps:
                word = STANDS_IN if self.hopped[place] else LEFT_OUT
                self.absences.append(Absence(question.step, name, word))
            row = self.rows[place, columns_of(question.send_layers, self._facts)] if question.send else None
            out[name] = Trained(loss=None, row=row, beyond=False)
        return out

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        absences = [[a.step, a.site, a.model] for a in self.absences]
        return {"rows": self.rows, "hopped": self.hopped, "away": self.away, "absences": absences}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.rows, self.hopped, self.away = state["rows"], state["hopped"], state["away"]
        self.absences = [Absence(*a) for a in state["absences"]]


def is_absent(answer: Answer) -> bool:
    """Whether a site did not answer in time."""
    return isinstance(answer, Failure) and answer.code == ABSENT


def superseded(waiting: Delivery, by: Delivery, facts: Facts) -> Delivery | None:
    """What of a waiting delivery is still to be sent after a newer one: nothing for sites that get the same layers."""
    if by.layers is not None and by.layers != waiting.layers:
        return waiting
    if by.sites is None:
        return None
    sites = np.arange(facts.sites) if waiting.sites is None else waiting.sites
    left = ~np.isin(sites, by.sites)
    return (
        Delivery(waiting.rows[left], sites[left], waiting.layers, waiting.anchor, waiting.initial)
        if left.any()
        else None
    )

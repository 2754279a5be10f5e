"""The coordinator's only view of the sites: it asks, they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from unpooled.errors import SiteFailed
from unpooled.sites.payload import Stacked
from unpooled.sites.questions import Answer, Question, raise_failures
from unpooled.sites.traffic import Traffic

A = TypeVar("A", bound=Answer)


class Federation(Protocol):
    """Sites behind a transport."""

    traffic: Traffic

    @property
    def names(self) -> Sequence[str]:
        """The sites in a fixed order, stable across restarts."""
        ...

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        """Ask some sites; each name in `questions` gets an answer or a `Failure`. `deadline` is in seconds."""
        ...


def ask_all(federation: Federation, question: Question, kind: type[A], *, round: int | None = None) -> Mapping[str, A]:
    """Put one question to every site and return the answers; raises the first failure."""
    answers = federation.ask(Stacked(federation.names, question, {}), round=round)
    if isinstance(answers, Stacked) and isinstance(answers.template, kind):
        return answers
    raise_failures(answers)
    checked: dict[str, A] = {}
    for name, answer in answers.items():
        if not isinstance(answer, kind):
            raise SiteFailed(f"Site '{name}' answered {type(answer).__name__} where {kind.__name__} was due.")
        checked[name] = answer
    return checked

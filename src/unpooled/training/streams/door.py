"""A federation that also counts models at its door: how many went up and down since it was last asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from unpooled.sites.payload import Stacked
from unpooled.sites.questions import Answer, Question
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess


class CountingDoor(InProcess):
    """`up` and `down` are model transfers: one model over one link in one direction, whatever method sent it.

    The first model that a site is given, the common start, is not among them: `first` counts these.
    """

    def __init__(self, sites: Iterable[Site]) -> None:
        super().__init__(sites)
        self.up = self.down = 0
        self._started: set[str] = set()

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        answers = super().ask(questions, deadline=deadline, round=round)
        given = _with_models(questions)
        self.down += len(given)
        self.up += len(_with_models(answers))
        if given and len(self._started) < len(self.names):
            new = set(given) - self._started
            self._started |= new
            self.down -= len(new)
        return answers

    @property
    def first(self) -> int:
        """How many sites were given the common start."""
        return len(self._started)

    def taken(self) -> tuple[int, int]:
        """Models sent up and down since the last call."""
        counted = self.up, self.down
        self.up = self.down = 0
        return counted


def _with_models(messages: Mapping[str, Question] | Mapping[str, Answer]) -> Sequence[str]:
    """The sites whose message carries a model."""
    if isinstance(messages, Stacked):
        return messages.names if "row" in messages.arrays else ()
    return [name for name, message in messages.items() if getattr(message, "row", None) is not None]

"""All sites in one process: for research, for tests, and the oracle of every other transport."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from unpooled.errors import BadData
from unpooled.sites.payload import Stacked, size
from unpooled.sites.questions import Answer, Question, joint_handler_of
from unpooled.sites.schema import Schema
from unpooled.sites.site import Site
from unpooled.sites.traffic import Traffic


class InProcess:
    """A federation whose sites live in this process.

    Questions pass the same door as anywhere else (policy, ledger, traffic). Where all sites get the same kind
    of question and its handler can answer for many sites at once, one call trains them all. Answers are
    synchronous, so a deadline never passes.

    >>> from unpooled.sites.site import Site, samples
    >>> InProcess([Site("a", samples([[0.0]], [1])), Site("b", samples([[1.0]], [0]))]).names
    ('a', 'b')
    """

    def __init__(self, sites: Iterable[Site], *, schema: Schema | None = None) -> None:
        self.sites = {site.name: site for site in sites}
        self.names = tuple(self.sites)
        self._index = {name: i for i, name in enumerate(self.names)}
        self.traffic = Traffic(self.names)
        self.schema = schema
        self._list = list(self.sites.values())
        self._admitted: dict[type[Question], int] = {}
        self._writing: tuple[int, list[Site]] = (-1, [])

    @classmethod
    def of(cls, sites: Iterable[Site], *, schema: Schema | None = None) -> InProcess:
        """Like the constructor, but raises `BadData` for no site at all or two sites of one name."""
        sites = list(sites)
        if not sites:
            raise BadData("A federation needs at least one site, got none.")
        names = [site.name for site in sites]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadData(f"Two sites are called '{twice[0]}': every site needs a name of its own.")
        return cls(sites, schema=schema)

    def __len__(self) -> int:
        return len(self.sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites.values())

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        """Answers of all sites asked, in the order of `questions`."""
        if isinstance(questions, Stacked):
            answers = self._ask_together(questions, round)
            if answers is not None:
                return answers
        return {name: self._ask_one(name, question, round) for name, question in questions.items()}

    def _ask_one(self, name: str, question: Question, round: int | None) -> Answer:
        answer = self.sites[name].answer(question, round=round)
        self.traffic.count(question.kind, self._index[name], down=size(question), up=size(answer))
        return answer

    def _ask_together(self, questions: Stacked[Question], round: int | None) -> Mapping[str, Answer] | None:
        """One call for all sites; None where that is not possible and each must be asked by itself."""
        kind = type(questions.template)
        joint = joint_handler_of(kind)
        whole = questions.names == self.names
        sites = self._list if whole else [self.sites[name] for name in questions.names]
        if joint is None or self._refused(kind, sites):
            return None
        answers = joint(sites, questions)
        if answers is None:
            return None
        for site in self._writers(sites):
            site.write_down(questions[site.name], answers[site.name], round=round)
        index = slice(None) if whole else np.array([self._index[name] for name in questions.names])
        up = answers.size_each() if isinstance(answers, Stacked) else [size(answers[n]) for n in questions.names]
        self.traffic.count(kind.kind, index, down=questions.size_each(), up=up)
        return answers

    def _refused(self, kind: type[Question], sites: list[Site]) -> bool:
        """Whether a site's policy refuses the kind, or counts answers, which is done one by one. Policies and samples
        are immutable objects, so a federation that admitted it needs no second look until a site somewhere is given
        new ones."""
        if sites is self._list and self._admitted.get(kind) == Site.changes:
            return False
        changes = Site.changes
        if any(site.policy.limits.counted or site.refusal(kind) is not None for site in sites):
            return True
        if sites is self._list:
            self._admitted[kind] = changes
        return False

    def _writers(self, sites: list[Site]) -> list[Site]:
        """Those of the sites that keep a ledger."""
        if sites is not self._list:
            return [site for site in sites if site.ledger is not None]
        if self._writing[0] != Site.changes:
            self._writing = (Site.changes, [site for site in sites if site.ledger is not None])
        return self._writing[1]

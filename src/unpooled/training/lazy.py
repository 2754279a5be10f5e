"""Very many sites of which few train at a time: sites are made when they are drawn and forgotten afterwards.

Only the sites that train, with their models, are in memory. What is kept of the others is a few dozen bytes each (which
models are on their way, and traffic). Nothing else has to be kept where every site that joins is given a whole model,
as in federated averaging with a fraction of clients (McMahan et al., AISTATS 2017); where a protocol goes on with what
a site kept from an earlier round, it is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, Unsupported
from unpooled.sites.names import Numbered, Numbers
from unpooled.sites.payload import Stacked
from unpooled.sites.questions import Answer, Question
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.traffic import Traffic
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.exchange import Layers
from unpooled.training.executors import Executor, ReferenceExecutor, VectorisedExecutor
from unpooled.training.executors.base import Seats
from unpooled.training.optimizer_state import CORRECTION
from unpooled.training.questions import Begin, Begun, Train, Trained
from unpooled.training.recipe import Recipe
from unpooled.training.task import ModuleTask

Make = Callable[[int], "Samples | tuple[Any, Any]"]


@dataclass(frozen=True, eq=False)
class _Mail:
    """A model on its way to sites that are not made yet: rows (k, width) for those numbers."""

    numbers: Numbers
    rows: Array
    layers: Layers
    anchor: bool


class _Counter(Traffic):
    """Counts what sites at hand send and get at their places among all sites."""

    def __init__(self, whole: Traffic, names: Sequence[str], numbers: Numbers) -> None:
        super().__init__(names)
        self._whole, self._numbers = whole, numbers

    def count(self, kind: str, sites: Any, *, down: Any, up: Any) -> None:
        self._whole.count(kind, self._numbers[sites], down=down, up=up)


class LazySites:
    """A federation of `count` sites; `make(i)` gives (X, y) of site i, the same in every call.

    `sizes` says how many samples the sites hold: one number for all, or one each. Sites are called `site0`, `site1`,
    ..., keep no ledger, have no test samples and the default policy. For simulations: `up.train(model, LazySites(...),
    up.FedAvg(10, fraction=0.001), test=...)`. Sizes that differ make the vectorised executor trace again and again,
    unless a `batch_size` brings them to one.

    >>> sites = LazySites(1_000_000, lambda i: ([[float(i)]], [i % 2]), sizes=1)
    >>> len(sites), sites.names[999_999], sites.made(7).train.X.tolist()
    (1000000, 'site999999', [[7.0]])
    """

    def __init__(self, count: int, make: Make, *, sizes: int | Sequence[int]) -> None:
        errors.positive(count=count)
        told = np.asarray(sizes, dtype=np.int64)
        if told.shape not in ((), (count,)) or (told < 1).any():
            raise BadSetting(f"sizes must be one number of at least 1, or one for each of {count} sites.")
        self._make, self._told = make, sizes
        self.sizes = np.broadcast_to(told, (count,))
        self.names = Numbered("site", count)
        self.traffic = Traffic(self.names)
        self.task: ModuleTask | None = None
        self.at_hand = InProcess([])
        self._numbers: Numbers = np.zeros(0, dtype=np.int64)
        self._executor: Executor | None = None
        self._reason = ""
        self._mail: list[_Mail] = []

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Site]:
        return (self.made(i) for i in range(len(self)))

    def fresh(self) -> LazySites:
        """The same sites with no training begun and traffic counted from zero."""
        return LazySites(len(self), self._make, sizes=self._told)

    def made(self, number: int) -> Site:
        """Site `number`; raises `BadData` where it does not hold as many samples as was told."""
        name = self.names[number]
        try:
            given = self._make(number)
            data = given if isinstance(given, Samples) else samples(*given)
        except BadData as error:
            raise BadData(f"Site '{name}': {error}") from error
        if len(data) != self.sizes[number]:
            raise BadData(f"Site '{name}' holds {len(data)} samples, but sizes says {self.sizes[number]}.")
        return Site(name, data)

    def install(self, recipe: Recipe) -> None:
        """Set up the training; raises `BadSetting` for settings that need what a site kept from an earlier round."""
        task = ModuleTask(recipe)
        if recipe.optimizer_state != "reset":
            raise BadSetting(
                f'Sites that are forgotten keep no optimizer state: set optimizer_state="reset", not '
                f'"{recipe.optimizer_state}".'
            )
        if recipe.buffers != "travel" and next(recipe.module.buffers(), None) is not None:
            raise BadSetting(f'Sites that are forgotten keep no buffers: set buffers="travel", not "{recipe.buffers}".')
        if recipe.privacy is not None:
            raise BadSetting(
                "Sites that are forgotten keep no account of privacy: leave privacy out, or make all sites."
            )
        if recipe.sealed_hops:
            raise BadSetting("Sites that are forgotten keep no keys: leave sealed_hops out, or make all sites.")
        self.task = task

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        """`begin` is answered from the sizes told; `train` makes the sites that train; others ask sites at hand."""
        if isinstance(questions, Stacked) and isinstance(questions.template, Begin):
            return self._begin(questions)
        if isinstance(questions, Stacked) and isinstance(questions.template, Train):
            return self._train(questions, questions.template, round)
        away = [name for name in questions if name not in self.at_hand.sites]
        if away:
            kind = questions[away[0]].kind
            raise Unsupported(f"'{kind}' was asked of {len(away)} sites that are not in memory: make all sites for it.")
        return self.at_hand.ask(questions, round=round)

    def _begin(self, questions: Stacked[Any]) -> Mapping[str, Answer]:
        task = self.task
        if task is None or task.describe() != questions.template.task:
            raise BadSetting("the recipe installed at the sites is not the one asked for: call install first.")
        sizes, first = np.unique(self.sizes, return_index=True)
        examples = [self.made(int(i)) for i in first]
        task.check(examples)
        batches = np.array([task.batch(site) for site in examples], dtype=np.int64)
        each = (
            np.broadcast_to(batches, self.sizes.shape)
            if len(sizes) == 1
            else batches[np.searchsorted(sizes, self.sizes)]
        )
        told = {"samples": self.sizes, "batch": each, "test_samples": np.broadcast_to(np.int64(0), self.sizes.shape)}
        answers = Stacked(questions.names, Begun(samples=0, batch=0, test_samples=0), told)
        self.traffic.count(Begin.kind, slice(None), down=questions.size_each(), up=answers.size_each())
        return answers

    def _train(self, questions: Stacked[Any], ask: Train, round: int | None) -> Mapping[str, Answer]:
        numbers, rows = self._numbers_of(questions.names), questions.arrays.get("row")
        here = len(numbers) <= len(self._numbers) and bool(np.isin(numbers, self._numbers).all())
        if here:
            return self.at_hand.ask(questions, round=round)
        if not ask.steps and not ask.send and ask.threshold is None:
            if rows is not None:
                self._mail.append(_Mail(numbers, rows, ask.layers, ask.anchor))
            answers = Stacked(
                questions.names, Trained(loss=None, row=None), {"loss": np.broadcast_to(0.0, len(numbers))}
            )
            self.traffic.count(Train.kind, numbers, down=questions.size_each(), up=answers.size_each())
            return answers
        self._seat(numbers, () if rows is None else self._layers(ask.layers))
        return self.at_hand.ask(questions, round=round)

    def _numbers_of(self, names: Sequence[str]) -> Numbers:
        if isinstance(names, Numbered):
            return names.numbers
        return np.array([self.names.number(name) for name in names], dtype=np.int64)

    def _layers(self, layers: Layers) -> Sequence[str]:
        assert self.task is not None
        return tuple(self.task.layout.layers) if layers is None else layers

    def _seat(self, numbers: Numbers, riding: Sequence[str]) -> None:
        """Make these sites with the models that are on their way to them, and forget all others."""
        assert self.task is not None
        members = [self.made(int(i)) for i in numbers]
        self.task.check(members)
        executor = self._executor_for(members)
        # What corrects gradients is zero until the coordinator sends it.
        own = [name for name in self._layers(None) if name != CORRECTION]
        lacking = {name: np.full(len(numbers), name not in riding) for name in own}
        for mail in self._mail:
            seats, rows = _delivered(mail, numbers)
            if rows is not None:
                executor.load(seats, rows, mail.layers)
                if mail.anchor:
                    executor.anchor(seats)
                for name in set(self._layers(mail.layers)) & set(own):
                    lacking[name][seats] = False
        for name, who in lacking.items():
            if who.any():
                place = int(numbers[np.flatnonzero(who)[0]])
                raise BadSetting(
                    f"Site '{self.names[place]}' was to go on with its own '{name}', but lazy sites that stop training "
                    "are forgotten: take a protocol that gives joining sites a whole model, or make all sites."
                )
        for seat, site in enumerate(members):
            site.state.update(task=self.task, seat=(executor, seat), reason=self._reason)
        self.at_hand, self._numbers, self._executor, self._mail = InProcess(members), numbers, executor, []
        self.at_hand.traffic = _Counter(self.traffic, self.at_hand.names, numbers)

    def _executor_for(self, members: list[Site]) -> Executor:
        """The kind of executor chosen for the first sites, with the programs it has traced."""
        assert self.task is not None
        if isinstance(self._executor, VectorisedExecutor):
            return VectorisedExecutor(self.task.recipe, members, self._executor.programs)
        if self._executor is not None:
            return ReferenceExecutor(self.task.recipe, members)
        choice = self.task.choose(members)
        self._reason = choice.reason
        return choice.executor


def _delivered(mail: _Mail, numbers: Numbers) -> tuple[Seats, Array | None]:
    """Which of the sites with these numbers get that mail, and their rows; one row for all stays one row."""
    here = np.isin(numbers, mail.numbers)
    if not here.any():
        return np.zeros(0, dtype=np.int64), None
    seats: Seats = slice(None) if here.all() else np.flatnonzero(here)
    if mail.rows.strides[0] == 0:
        return seats, np.broadcast_to(mail.rows[0], (int(here.sum()), mail.rows.shape[1]))
    order = np.argsort(mail.numbers)
    return seats, mail.rows[order[np.searchsorted(mail.numbers, numbers[here], sorter=order)]]

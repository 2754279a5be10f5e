"""The questions of training and how a site answers them: `begin`, `train`, `show`, `spending`, `evaluate`, `rows`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, Refused, SiteFailed
from unpooled.sites.payload import Stacked
from unpooled.sites.policy import NO_LIMITS
from unpooled.sites.questions import Answer, Question, handles
from unpooled.sites.site import Site
from unpooled.training.blueprint import Blueprint, build
from unpooled.training.evaluation import Evaluated
from unpooled.training.executors import Choice, Executor
from unpooled.training.executors.base import Seats
from unpooled.training.privacy.executor import PrivateExecutor
from unpooled.training.recipe import Recipe
from unpooled.training.task import ModuleTask, Task, task_of

AT_SITES = "reference"
"""The executor of a task that a site builds by itself: one model, one optimizer, a plain loop."""


@dataclass(frozen=True, kw_only=True)
class Begun(Answer):
    """`samples` the site trains on, `batch` of them in a step, and `test_samples` it can be tested on.

    Which executor the site runs is its own affair: `auto` tells a time measured there, so naming it here would make
    the bytes of a run differ from one time to the next.
    """

    samples: int
    batch: int
    test_samples: int


@dataclass(frozen=True, kw_only=True)
class Begin(Question):
    """Get ready to train. `task` describes the recipe (or other task), which must be the one installed at the site."""

    task: str
    kind: ClassVar[str] = "begin"
    tells: ClassVar[str] = "How many samples the site will use, and which software component trains there."
    answer: ClassVar[type[Answer]] = Begun


@dataclass(frozen=True, kw_only=True)
class Trained(Answer):
    """`loss` is the mean training loss over the steps, None under privacy; `row` the model and `beyond` a bit, where
    asked for."""

    loss: float | None
    row: Array | None
    beyond: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Train(Question):
    """Continue from `row` (its `layers`; None means all), run local steps `step` .. `step + steps - 1`, then `send`.

    With `row` None the site continues with the model it has; `send_layers` None sends the whole row. `anchor` says that
    `row` is an aggregate, which a proximal term and polls refer to from now on. With a `threshold` the site tells
    whether the squared distance of its model to that aggregate, over `threshold_layers`, has gone beyond it. With
    `gradient` the one step is not taken: what is sent is the gradient of the step's batch, over all parameters.
    """

    step: int
    steps: int
    row: Array | None
    layers: tuple[str, ...] | None
    send: bool
    send_layers: tuple[str, ...] | None
    anchor: bool = False
    threshold: float | None = None
    threshold_layers: tuple[str, ...] | None = None
    gradient: bool = False
    kind: ClassVar[str] = "train"
    tells: ClassVar[str] = (
        "The mean training error of the last steps; when models are exchanged, the site's model; when gradients are "
        "shared, that of its last batch; and where sites send models only when needed, whether its model has moved far."
    )
    answer: ClassVar[type[Answer]] = Trained


@dataclass(frozen=True, kw_only=True)
class Shown(Answer):
    """A site's model, shape (model width,), without optimizer state and without buffers that stay there."""

    row: Array


@dataclass(frozen=True, kw_only=True)
class Show(Question):
    """Send the model as it is, so that the course of a run can be measured between two exchanges."""

    kind: ClassVar[str] = "show"
    tells: ClassVar[str] = "The site's model as it is, between two exchanges, to measure how training goes."
    answer: ClassVar[type[Answer]] = Shown


@dataclass(frozen=True, kw_only=True)
class Spent(Answer):
    """Models sent so far, and the (epsilon, delta)-differential privacy that this leaves."""

    sends: int
    epsilon: float
    delta: float


@dataclass(frozen=True, kw_only=True)
class Spending(Question):
    """Tell what has been spent of the privacy of this training."""

    kind: ClassVar[str] = "spending"
    tells: ClassVar[str] = "How many models the site has sent, and the differential privacy that this leaves."
    answer: ClassVar[type[Answer]] = Spent


@dataclass(frozen=True, kw_only=True)
class Evaluate(Question):
    """Score the model `row`, or with None the model that the site has, on the site's own test samples.

    Buffers that stay at the site and are not in `row` are the site's own.
    """

    row: Array | None
    kind: ClassVar[str] = "evaluate"
    tells: ClassVar[str] = (
        "How well a model does on the site's own test samples: counts of right and wrong answers, or sums of errors."
    )
    answer: ClassVar[type[Answer]] = Evaluated


@dataclass(frozen=True, kw_only=True)
class HandedOver(Answer):
    """A site's training rows themselves."""

    X: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Rows(Question):
    """Hand over the training rows: only the pooled baseline asks, and only policies of simulations allow it."""

    kind: ClassVar[str] = "rows"
    tells: ClassVar[str] = "The training rows themselves, every value of them."
    answer: ClassVar[type[Answer]] = HandedOver


def install(sites: Sequence[Site], recipe: Recipe | Task) -> None:
    """Set up the training at sites of this process, as the person in charge of a site would."""
    task = task_of(recipe)
    for site in sites:
        site.state["task"] = task


def _seat(site: Site) -> tuple[Executor, int]:
    if "seat" not in site.state:
        raise SiteFailed("it was asked to train before it was told to begin.")
    executor, seat = site.state["seat"]
    return executor, seat


def _begin_all(sites: Sequence[Site], questions: Mapping[str, Begin]) -> dict[str, Answer] | None:
    task: Task | None = sites[0].state.get("task")
    asked = questions[sites[0].name].task
    alike = all(s.state.get("task") is task for s in sites) and all(q.task == asked for q in questions.values())
    if any(site.policy.limits is not NO_LIMITS for site in sites):
        return None  # each site looks at the model by itself
    if task is None or not alike or task.describe() != asked:
        return None
    try:
        task.check(sites)
    except BadData:
        return None  # asked one by one, the site that does not fit says so under its own name
    choice = task.choose(sites)
    return {site.name: _begun(site, choice, i) for i, site in enumerate(sites)}


@handles(Begin, together=_begin_all)
def begin(site: Site, question: Begin) -> Begun:
    """Make the site's own executor, for the task installed here or, where none is, for one built from its words."""
    task: Task | None = site.state.get("task")
    if task is None:
        plan = build(question.task, AT_SITES, admit=lambda blueprint: _admit(site, blueprint))
        task = site.state["task"] = task_of(plan)
    elif task.describe() != question.task:
        raise BadSetting(
            f"the recipe installed here is {task.describe()}, but {question.task} was asked for: install that one."
        )
    elif isinstance(task, ModuleTask):
        _admit(site, task.recipe)
    task.check([site])
    return _begun(site, task.choose([site]), 0)


def _admit(site: Site, plan: Blueprint | Recipe) -> None:
    """Raise `Refused` where the site's policy does not allow the model, before it is built."""
    refusal = site.policy.model_refusal(plan.model_class, plan.parameters, noisy=plan.privacy is not None)
    if refusal is not None:
        raise Refused(refusal)


def _begun(site: Site, choice: Choice, seat: int) -> Begun:
    site.state["seat"], site.state["reason"] = (choice.executor, seat), choice.reason
    Site.changes += 1
    task: Task = site.state["task"]
    samples, tests = task.samples(site), 0 if site.test is None else len(site.test)
    return Begun(samples=samples, batch=task.batch(site), test_samples=tests)


def _shared_seats(sites: Sequence[Site]) -> tuple[Executor, Seats] | None:
    """The executor that all these sites share, and their seats in it; remembered while no site begins anew."""
    known = sites[0].state.get("together")
    if known is not None and known[0] is sites and known[1] == Site.changes:
        found: tuple[Executor, Seats] | None = known[2]
        return found
    found = _find_seats(sites)
    sites[0].state["together"] = (sites, Site.changes, found)
    return found


def _find_seats(sites: Sequence[Site]) -> tuple[Executor, Seats] | None:
    first = sites[0].state.get("seat")
    if first is None:
        return None
    executor, index = first[0], []
    for site in sites:
        seat = site.state.get("seat")
        if seat is None or seat[0] is not executor:
            return None
        index.append(seat[1])
    everyone = len(index) == executor.seats and index == list(range(len(index)))
    return executor, slice(None) if everyone else np.array(index)


def _train_all(sites: Sequence[Site], questions: Mapping[str, Train]) -> Mapping[str, Answer] | None:
    shared = _shared_seats(sites)
    if shared is None or not isinstance(questions, Stacked):
        return None
    executor, seats = shared
    ask: Any = questions.template
    private = isinstance(executor, PrivateExecutor) and executor.hides_loss
    if ask.send and isinstance(executor, PrivateExecutor) and executor.refuses(seats, ask.steps):
        return None  # asked one by one, each site refuses under its own name
    if "row" in questions.arrays:
        executor.load(seats, questions.arrays["row"], ask.layers)
        if ask.anchor:
            executor.anchor(seats)
    if ask.gradient:
        losses, gradients = executor.gradients(seats, ask.step)
        return Stacked(questions.names, Trained(loss=None, row=None), {"loss": losses, "row": gradients})
    losses = executor.train(seats, ask.step, ask.steps)
    arrays: dict[str, Any] = {} if private else {"loss": losses}
    if ask.threshold is not None:
        arrays["beyond"] = executor.distances(seats, ask.threshold_layers) > ask.threshold
    if ask.send:
        arrays["row"] = executor.rows(seats, ask.send_layers)
    return Stacked(questions.names, Trained(loss=None, row=None), arrays)


@handles(Train, together=_train_all)
def train(site: Site, question: Train) -> Trained:
    """Run the local steps at one site."""
    executor, seat = _seat(site)
    refusal = site.policy.steps_refusal(question.steps)
    if refusal is not None:
        raise Refused(refusal)
    here = np.array([seat])
    if question.row is not None:
        executor.load(here, question.row[None], question.layers)
        if question.anchor:
            executor.anchor(here)
    if question.gradient:
        losses, gradients = executor.gradients(here, question.step)
        return Trained(loss=float(losses[0]), row=gradients[0])
    trained = executor.train(here, question.step, question.steps)
    private = isinstance(executor, PrivateExecutor) and executor.hides_loss
    loss = None if private else float(trained[0])
    row = executor.rows(here, question.send_layers)[0].copy() if question.send else None
    beyond = None
    if question.threshold is not None:
        beyond = bool(executor.distances(here, question.threshold_layers)[0] > question.threshold)
    return Trained(loss=loss, row=row, beyond=beyond)


@handles(Show)
def show(site: Site, question: Show) -> Shown:
    """The model as it may leave: protected where the site protects what it sends."""
    executor, seat = _seat(site)
    rows = executor.shown if isinstance(executor, PrivateExecutor) else executor.rows
    return Shown(row=rows(np.array([seat]), executor.layout.model_layers)[0].copy())


@handles(Spending)
def spending(site: Site, question: Spending) -> Spent:
    """Read the account of this training."""
    executor, seat = _seat(site)
    account = executor.spent(seat) if isinstance(executor, PrivateExecutor) else None
    if account is None:
        raise SiteFailed("it keeps no privacy account for this training.")
    sends, epsilon, delta = account
    return Spent(sends=sends, epsilon=epsilon, delta=delta)


@handles(Evaluate)
def evaluate(site: Site, question: Evaluate) -> Evaluated:
    """Score on the site's own test samples."""
    executor, seat = _seat(site)
    if site.test is None or len(site.test) == 0:
        raise SiteFailed("it has no test samples: load it with a test_fraction, or give a central test set.")
    model = np.array(executor.models(np.array([seat]))[0])
    if question.row is not None:
        model[: len(question.row)] = question.row
    task: Task = site.state["task"]
    return task.score(model, site.test)


@handles(Rows)
def rows(site: Site, question: Rows) -> HandedOver:
    """Hand over the training rows (see `unpooled.sites.policy`)."""
    data = site.require_train()
    return HandedOver(X=data.X, y=data.y)

"""Small federations and runs over them, for every test of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from unpooled.sites.policy import Policy
from unpooled.sites.questions import Answer, Question
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.lazy import LazySites
from unpooled.training.protocols import FedBN, Protocol
from unpooled.training.recipe import recipe
from unpooled.training.result import Result
from unpooled.training.train import Training, initialised, run

FEATURES, CLASSES = 3, 3


def net() -> nn.Module:
    """A small smooth model in double precision: rounding cannot hide a difference."""
    return nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh(), nn.Linear(4, CLASSES)).double()


def normed() -> nn.Module:
    """The same with a normalisation layer, for protocols that treat it apart."""
    return nn.Sequential(nn.Linear(FEATURES, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, CLASSES)).double()


def data(n: int, rng: np.random.Generator, classes: Sequence[int] = range(CLASSES)) -> Samples:
    """n samples whose classes depend on the features."""
    X = rng.normal(size=(n, FEATURES))
    return samples(X, np.asarray(classes)[X.argmax(axis=1) % len(classes)])


def sites(sizes: Sequence[int], *, one_class: bool = False, seed: int = 0) -> list[Site]:
    """Sites `a`, `b`, ... with that many samples; with `one_class` each knows only one class."""
    rng = np.random.default_rng(seed)
    open_handed = Policy(allow_raw_data=True)
    return [
        Site("abcdefghij"[i], data(n, rng, [i % CLASSES] if one_class else range(CLASSES)), policy=open_handed)
        for i, n in enumerate(sizes)
    ]


def held_out() -> Samples:
    """The same in every call, and of every class."""
    return data(30, np.random.default_rng(99))


def training(
    members: Sequence[Site] | InProcess | LazySites,
    protocol: Protocol,
    *,
    steps: int = 11,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    seed: int = 0,
    test: Samples | None = None,
    evaluate_every: int | None = None,
    **settings: Any,
) -> Training:
    """A run that has not begun; `settings` are those of a recipe. The model is `net` where the protocol allows it."""
    model = model or (normed if isinstance(protocol, FedBN) else net)
    federation = members if isinstance(members, InProcess | LazySites) else InProcess.of(members)
    made = recipe(initialised(model, 0), seed=seed, **{"lr": 0.1, **settings})
    return Training(
        federation, made, protocol, steps=steps, test=test or held_out(), evaluate_every=evaluate_every or steps
    )


def train(members: Sequence[Site] | InProcess, protocol: Protocol, **settings: Any) -> Result:
    """A whole run."""
    return run(training(members, protocol, **settings))


class OneByOne(InProcess):
    """A federation that puts these kinds of question to each site by itself, as a network would."""

    kinds: tuple[str, ...] = ("begin", "train", "train_sealed", "evaluate", "rows")

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        kind = next(iter(questions.values())).kind if questions else ""
        if kind in self.kinds:
            questions = dict(questions)
        return super().ask(questions, deadline=deadline, round=round)


class BegunTogether(OneByOne):
    """Sites that share one executor, but are told one by one to train."""

    kinds = ("train", "train_sealed")


def assert_same_result(found: Result, wanted: Result, rtol: float, atol: float = 0.0) -> None:
    """Models, history and traffic of two runs."""
    assert found.rows is not None
    assert found.aggregate_row is not None
    np.testing.assert_allclose(found.rows, wanted.rows, rtol=rtol, atol=atol)
    np.testing.assert_allclose(found.aggregate_row, wanted.aggregate_row, rtol=rtol, atol=atol)
    assert found.traffic == wanted.traffic
    assert [h[:3] + h[4:] for h in found.history] == [h[:3] + h[4:] for h in wanted.history]
    np.testing.assert_allclose(
        [h[3] for h in found.history], [h[3] for h in wanted.history], rtol=max(rtol, 1e-12), atol=max(atol, 1e-12)
    )


def assert_equal_result(found: Result, wanted: Result) -> None:
    """To the bit."""
    assert np.array_equal(found.rows, wanted.rows)  # type: ignore[arg-type]
    assert np.array_equal(found.aggregate_row, wanted.aggregate_row)  # type: ignore[arg-type]
    assert found.history == wanted.history
    assert found.traffic == wanted.traffic

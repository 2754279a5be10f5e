"""Online learners: all at once equals one at a time, and each does what its paper says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.streams.gaussian import Gaussian
from unpooled.errors import BadSetting
from unpooled.training.protocols import FedAvg, Local
from unpooled.training.streams import (
    LEARNERS,
    Disjunction,
    HingeSGD,
    LogisticSGD,
    PassiveAggressive,
    Perceptron,
    Prequential,
)
from unpooled.training.streams.learners import Learner
from unpooled.training.streams.reference import learn

EXAMPLES: dict[str, Learner] = {
    "pa": PassiveAggressive(),
    "pa-sum": PassiveAggressive(cap=0.1, reduction="sum"),
    "perceptron": Perceptron(0.7),
    "hinge": HingeSGD(0.1),
    "hinge-decay": HingeSGD(0.1, decay=0.05, power=0.5),
    "logistic": LogisticSGD(0.2),
    "logistic-decay": LogisticSGD(0.2, decay=0.02, power=0.25, reduction="sum"),
}


def test_every_learner_is_compared_with_its_plain_form() -> None:
    assert {type(learner) for learner in EXAMPLES.values()} == set(LEARNERS.values())


@pytest.mark.parametrize("batch", [1, (2, 1, 4)])
@pytest.mark.parametrize("name", EXAMPLES)
def test_all_at_once_equals_one_at_a_time(name: str, batch: int | tuple[int, ...]) -> None:
    learner, rounds, m = EXAMPLES[name], 60, 3
    run = Prequential(Gaussian(), learner, FedAvg(7), learners=m, rounds=rounds, batch=batch, seed=3)
    flow = run.flow
    models = [np.zeros(flow.width) for _ in range(m)]
    losses, mistakes = np.zeros((rounds, m)), np.zeros((rounds, m))
    for t in range(rounds):
        X, y = (part[0] for part in flow.block(t, t + 1))
        for i in range(m):
            there = y[i] != 0
            models[i], losses[t, i], mistakes[t, i] = learn(learner, models[i], X[i, there], y[i, there], t)
        if (t + 1) % 7 == 0 or t + 1 == rounds:
            mean = np.mean(models, axis=0)
            models = [mean.copy() for _ in range(m)]
    while not run.done:
        run.advance()
    found = run.result()
    np.testing.assert_allclose(found.models, models, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-10, atol=1e-12)
    assert (found.mistakes == mistakes).all()
    assert losses.sum() > 0


def test_passive_aggressive_corrects_with_the_smallest_change() -> None:
    """PA without a cap: the example ends at margin 1; and it never moves further than the loss, as |x| >= 1 here."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        f, x = rng.normal(size=5), rng.normal(size=5)
        x *= max(1.0, 1.2 / float(np.linalg.norm(x)))
        y = float(rng.choice([-1, 1]))
        score, square = np.array(f @ x), np.array(x @ x)
        c = PassiveAggressive(cap=1e9).coefficient(score, np.array(y), square, 0)
        after = f + c * x
        loss = max(0.0, 1 - y * float(f @ x))
        assert y * float(after @ x) == pytest.approx(max(1.0, y * float(f @ x)))
        assert np.linalg.norm(after - f) <= loss + 1e-12
        capped = PassiveAggressive(cap=0.01).coefficient(score, np.array(y), square, 0)
        assert abs(capped) <= 0.01


def test_the_gradients_are_those_of_the_losses() -> None:
    """c x is minus the rate times the derivative of the loss, by finite differences away from the kink."""
    y, score, h = np.array(-1.0), np.array(0.3), 1e-6
    for learner in (HingeSGD(0.2), LogisticSGD(0.2)):
        slope = (learner.loss(score + h, y) - learner.loss(score - h, y)) / (2 * h)
        assert learner.coefficient(score, y, np.array(1.0), 0) == pytest.approx(-0.2 * slope, rel=1e-6)


def test_a_realisable_stream_is_learned() -> None:
    """T4 of the notes: with a perfect model u and |x|^2 <= 51, the squared losses of PA without cap are at most
    m |u|^2 51, whatever the schedule. u: 2 for each literal and -1 for the constant, so |u|^2 = 17."""
    for protocol in (Local(), FedAvg(5)):
        run = Prequential(
            Disjunction(drift_every=None), PassiveAggressive(cap=1e9), protocol, learners=4, rounds=600, seed=1
        )
        while not run.done:
            run.advance()
        assert (run.result().losses ** 2).sum() <= 4 * 17 * 51


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PassiveAggressive(cap=0.0), "cap must be a finite number above 0"),
        (lambda: HingeSGD(rate=float("nan")), "rate"),
        (lambda: LogisticSGD(decay=-1.0), "decay"),
        (lambda: HingeSGD(rate=2.0, decay=0.5), "below 1"),
    ],
)
def test_what_is_refused(make: object, words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        make()  # type: ignore[operator]

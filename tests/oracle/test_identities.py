"""Exact identities of daisy-chaining and averaging, and the plain loop in PyTorch.

T1: hops change no mean. T2: special cases. T8: costs, to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.contract.federations import assert_equal_result, data, net, sites, train
from tests.contract.programs import quick
from unpooled.combine import Array
from unpooled.sites.site import Samples, Site
from unpooled.training.exchange import Exchange
from unpooled.training.operators import aggregate, chain, every, permute
from unpooled.training.protocols import DaisyChain, FedAvg, FedDC, FedProx, Local, Pooled, Protocol
from unpooled.training.train import initialised

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

executors = pytest.mark.parametrize("executor", ["reference", "vectorised"])
ROUNDING = 1e-12
"""Relative and absolute, in double precision, after some dozen steps: a few units in the last place."""


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=ROUNDING, atol=ROUNDING)


def flat(module: nn.Module) -> Array:
    return np.concatenate([p.detach().numpy().reshape(-1) for p in module.parameters()])


def by_hand(members: list[Site], steps: int, period: int | None, lr: float = 0.1, mu: float = 0.0) -> Array:
    """Federated averaging (None: training alone), with FedProx's term, without the library; returns one row a site."""
    models = [initialised(net, 0) for _ in members]
    last_average = [torch.tensor(flat(models[0]))]
    optimizers = [torch.optim.SGD(model.parameters(), lr=lr) for model in models]
    for t in range(steps):
        for site, model, optimizer in zip(members, models, optimizers, strict=True):
            assert site.train is not None
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(torch.tensor(site.train.X)), torch.tensor(site.train.y))
            if mu:
                weights = torch.nn.utils.parameters_to_vector(model.parameters())
                loss = loss + mu / 2 * torch.sum((weights - last_average[-1]) ** 2)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if period is not None and (t % period == period - 1 or t == steps - 1):
            average = torch.tensor(np.mean([flat(model) for model in models], axis=0))
            last_average.append(average)
            for model in models:
                torch.nn.utils.vector_to_parameters(average.clone(), model.parameters())
    return np.stack([flat(model) for model in models])


def test_training_alone_is_the_plain_loop_to_the_bit() -> None:
    members = sites([4, 7, 1])
    assert np.array_equal(train(members, Local(), executor="reference").rows, by_hand(members, 11, None))  # type: ignore[arg-type]


@pytest.mark.parametrize("period", [1, 3, 50])
def test_federated_averaging_is_the_plain_loop_to_the_bit(period: int) -> None:
    members = sites([4, 7, 1])
    found = train(members, FedAvg(period), executor="reference").rows
    assert np.array_equal(found, by_hand(members, 11, period))  # type: ignore[arg-type]


@pytest.mark.parametrize("period", [1, 3])
def test_the_vectorised_executor_is_the_plain_loop(period: int) -> None:
    members = sites([4, 7, 1])
    close(train(members, FedAvg(period), executor="vectorised").rows, by_hand(members, 11, period))


@executors
@pytest.mark.parametrize("mu", [0.3, 3.0])
def test_fedprox_is_the_plain_loop(mu: float, executor: str) -> None:
    members = sites([4, 7, 1])
    close(train(members, FedProx(3, mu), executor=executor).rows, by_hand(members, 11, 3, mu=mu))
    assert np.abs(by_hand(members, 11, 3, mu=mu) - by_hand(members, 11, 3)).max() > 1e-4


@executors
def test_t2d_without_weight_the_proximal_term_is_not_there(executor: str) -> None:
    members = sites([4, 7, 2])
    plain = train(members, FedDC(1, 4), executor=executor)
    assert_equal_result(train(members, FedDC(1, 4, proximal=0.0), executor=executor), plain)
    near = train(members, FedDC(1, 4, proximal=1e-9), executor=executor)  # the term at work, its weight almost none
    np.testing.assert_allclose(near.rows, plain.rows, rtol=1e-6, atol=1e-8)
    assert not np.array_equal(near.rows, plain.rows)


@executors
def test_the_proximal_term_refers_to_the_last_aggregate_not_to_the_model_received(executor: str) -> None:
    """A huge weight pins models: to the last average while they hop, so a model that hopped stays where it was."""
    members = sites([5, 5, 5])
    before = train(members, FedDC(1, 4, proximal=0.5), executor=executor, steps=3, lr=0.5).rows
    anchor = flat(initialised(net, 0))
    plain = train(members, FedDC(1, 4), executor=executor, steps=3, lr=0.5).rows
    assert before is not None
    assert plain is not None
    assert np.linalg.norm(before - anchor) < 0.9 * np.linalg.norm(plain - anchor)
    # one more check by hand: two sites, two steps, one hop in between
    pair = sites([3, 4])
    found = train(pair, FedDC(1, 2, proximal=2.0), executor=executor, steps=2, lr=0.1).rows
    seen = _two_steps(pair, mu=2.0, lr=0.1, swap=True), _two_steps(pair, mu=2.0, lr=0.1, swap=False)
    assert any(np.allclose(found, wanted, rtol=1e-10, atol=1e-12) for wanted in seen)


def _two_steps(pair: list[Site], *, mu: float, lr: float, swap: bool) -> Array:
    """Step, hop (or not), step, mean: with the initial model as the reference of the term throughout."""
    start = flat(initialised(net, 0))
    rows = [start, start]
    for step in range(2):
        if step == 1 and swap:
            rows = rows[::-1]
        moved = []
        for site, row in zip(pair, rows, strict=True):
            model = initialised(net, 0)
            torch.nn.utils.vector_to_parameters(torch.tensor(row), model.parameters())
            assert site.train is not None
            loss = nn.functional.cross_entropy(model(torch.tensor(site.train.X)), torch.tensor(site.train.y))
            loss.backward()  # type: ignore[no-untyped-call]
            gradient = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])  # type: ignore[union-attr]
            moved.append(row - lr * (gradient + mu * (row - start)))
        rows = moved
    return np.tile(np.mean(rows, axis=0), (2, 1))


# --- T1 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PermuteThenAggregate(Protocol):
    """The order of the paper's code: when both are due, models hop and are averaged then."""

    daisy_period: int
    aggregate_period: int
    summary: ClassVar[str] = "as in the code"

    def exchange(self) -> Exchange:
        return chain(every(self.daisy_period, permute()), every(self.aggregate_period, aggregate(), last=True))


@executors
@pytest.mark.parametrize(("d", "b"), [(1, 3), (2, 4), (2, 3), (4, 2)])
def test_t1_hopping_just_before_the_mean_changes_nothing(d: int, b: int, executor: str) -> None:
    members = sites([4, 7, 1, 5])
    as_printed = train(members, FedDC(d, b), executor=executor)
    as_coded = train(members, PermuteThenAggregate(d, b), executor=executor)
    close(as_coded.rows, as_printed.rows)
    assert as_coded.traffic == as_printed.traffic


# --- T2 --------------------------------------------------------------------------------------------------------------


@executors
@pytest.mark.parametrize("protocol", [FedAvg(1), FedDC(1, 1), FedDC(5, 1), FedAvg(1, weighted_by_samples=True)])
def test_t2a_averaging_each_step_is_gradient_descent_on_the_pooled_samples(protocol: Protocol, executor: str) -> None:
    members = sites([5] * 4)
    everything = Site("all", _pooled(members))
    wanted = by_hand([everything], 11, None)[0]
    found = train(members, protocol, executor=executor)
    close(found.rows, np.tile(wanted, (4, 1)))
    close(found.aggregate_row, wanted)
    close(train(members, Pooled(), executor=executor).rows, wanted[None])


def test_t2a_with_unequal_sites_it_is_the_size_weighted_mean() -> None:
    members = sites([2, 9, 4])
    wanted = by_hand([Site("all", _pooled(members))], 11, None)[0]
    close(train(members, FedAvg(1, weighted_by_samples=True)).aggregate_row, wanted)
    unweighted = train(members, FedAvg(1)).aggregate_row
    assert np.abs(unweighted - wanted).max() > 1e-3  # type: ignore[operator]


def _pooled(members: list[Site]) -> Samples:
    own = [site.require_train() for site in members]
    return Samples(np.concatenate([s.X for s in own]), np.concatenate([s.y for s in own]))


@executors
@pytest.mark.parametrize("b", [1, 3, 4, 99])
def test_t2b_without_hops_it_is_federated_averaging(b: int, executor: str) -> None:
    members = sites([4, 7, 1])
    case: dict[str, Any] = {"executor": executor, "batch_size": 3}
    assert_equal_result(train(members, FedDC(99, b), **case), train(members, FedAvg(b), **case))


@executors
@pytest.mark.parametrize("d", [3, 6])
def test_t2b_hops_that_all_fall_on_averaging_are_none(d: int, executor: str) -> None:
    members = sites([4, 7, 1])
    case: dict[str, Any] = {"executor": executor, "batch_size": 3}
    assert_equal_result(train(members, FedDC(d, 3), **case), train(members, FedAvg(3), **case))


@executors
@pytest.mark.parametrize("protocol", [FedDC(1, 10), FedDC(2, 3), FedAvg(2), DaisyChain(1), Local(), Pooled()])
def test_t2c_one_site_is_plain_training(protocol: Protocol, executor: str) -> None:
    members = sites([7])
    found, wanted = train(members, protocol, executor=executor), by_hand(members, 11, None)
    if executor == "reference":
        assert np.array_equal(found.rows, wanted)  # type: ignore[arg-type]
    close(found.rows, wanted)
    close(found.aggregate_row, wanted[0])


@executors
def test_both_periods_beyond_the_run_are_training_alone_averaged_at_the_end(executor: str) -> None:
    members = sites([4, 7, 1])
    alone = train(members, Local(), executor=executor)
    late = train(members, FedDC(99, 99), executor=executor)
    close(late.rows, np.tile(alone.rows.mean(axis=0), (3, 1)))  # type: ignore[union-attr]
    assert np.array_equal(late.aggregate_row, alone.aggregate_row)  # type: ignore[arg-type]


@executors
@pytest.mark.parametrize("d", [1, 2, 4])
def test_without_averaging_it_is_daisy_chaining_averaged_at_the_end(d: int, executor: str) -> None:
    """11 steps: no hop of period 2 or 4 is due after the last one."""
    members = sites([4, 7, 1])
    chained = train(members, DaisyChain(d), executor=executor)
    late = train(members, FedDC(d, 99), executor=executor)
    close(late.aggregate_row, chained.aggregate_row)
    close(late.rows, np.tile(chained.rows.mean(axis=0), (3, 1)))  # type: ignore[union-attr]


@executors
def test_sites_with_the_same_data_need_no_exchange(executor: str) -> None:
    own = data(5, np.random.default_rng(1))
    members = [Site(name, own) for name in "abc"]
    alone = train(members, Local(), executor=executor)
    for protocol in (FedDC(1, 3), FedAvg(2), DaisyChain(1)):
        close(train(members, protocol, executor=executor).rows, alone.rows)


# --- T8 --------------------------------------------------------------------------------------------------------------

QUESTION = 8 + 8 + 7 * 1  # step, steps; seven fields of truth values and None: a question without its row
ANSWER = 8 + 1  # the loss, and no bit
NO_ROW = 1


def expected_events(d: int, b: int, steps: int) -> int:
    """T8, and one aggregation more after the last step where none of the two periods ends there."""
    extra = 1 if steps % d and steps % b else 0
    return steps // d + steps // b - steps // lcm(d, b) + extra


def check_traffic(result: Any, m: int, width: int, events: int, rests: int, last_push: bool) -> None:
    """`rests` are local phases without an event after them; each event is one model up and one down, each phase one
    message both ways, and what the last event pushed needs a message of its own."""
    model = 8 * width
    phases = events + rests
    messages = phases + last_push
    up = phases * ANSWER + events * model + rests * NO_ROW + last_push * (ANSWER + NO_ROW)
    down = messages * QUESTION + (events + 1) * model + (messages - events - 1) * NO_ROW
    assert result.traffic.table(["train"]).tolist() == [[messages, up, messages, down]] * m
    begun = result.traffic.table(["begin"])
    assert (begun[:, [0, 2]] == 1).all()
    assert set(result.traffic.kinds) == {"begin", "train"}


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(d=st.integers(1, 12), b=st.integers(1, 12), steps=st.integers(1, 24), m=st.integers(1, 4))
def test_t8_models_and_bytes_of_feddc(d: int, b: int, steps: int, m: int) -> None:
    result = train(sites([2] * m), FedDC(d, b), steps=steps, executor="reference")
    check_traffic(result, m, 31, expected_events(d, b, steps), rests=0, last_push=True)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(b=st.integers(1, 12), steps=st.integers(1, 24))
def test_t8_models_and_bytes_of_fedavg(b: int, steps: int) -> None:
    result = train(sites([2, 3]), FedAvg(b), steps=steps, executor="reference")
    check_traffic(result, 2, 31, -(-steps // b), rests=0, last_push=True)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(d=st.integers(1, 12), steps=st.integers(1, 24))
def test_t8_models_and_bytes_of_daisy_chaining(d: int, steps: int) -> None:
    result = train(sites([2, 3]), DaisyChain(d), steps=steps, executor="reference")
    rests = 1 if steps % d else 0
    check_traffic(result, 2, 31, steps // d, rests=rests, last_push=rests == 0)


def test_training_alone_costs_the_first_model_only() -> None:
    check_traffic(train(sites([2, 3]), Local(), executor="reference"), 2, 31, 0, rests=1, last_push=False)


def test_feddc_costs_as_much_as_averaging_each_step() -> None:
    """Daisy-chaining each step: the communication-matched baseline is FedAvg(1), not FedAvg(10)."""
    members = sites([2, 3])
    chained, each, rare = (train(members, p, steps=20).traffic for p in (FedDC(1, 10), FedAvg(1), FedAvg(10)))
    assert chained.total_bytes("train") == each.total_bytes("train")
    assert chained.total_messages("train") == 2 * 2 * 21
    assert rare.total_messages("train") == 2 * 2 * 3


def test_travelling_optimizer_state_is_paid_for() -> None:
    """Adam: two numbers a parameter and one counter ride with each model that hops; the aggregate goes without."""
    settings_: dict[str, Any] = {"optimizer": "adam", "optimizer_state": "travel", "executor": "reference", "steps": 4}
    result = train(sites([2, 3]), DaisyChain(1), **settings_)
    model, state = 31 * 8, (2 * 31 + 1) * 8
    up = 4 * (ANSWER + model + state) + ANSWER + NO_ROW
    names = len("".join(["0.weight", "0.bias", "2.weight", "2.bias"]))  # the first model comes without state
    down = 5 * (QUESTION + model) + 4 * state + names - 1
    assert result.traffic.table(["train"]).tolist() == [[5, up, 5, down]] * 2


def test_pooling_pays_for_the_rows() -> None:
    result = train(sites([2, 3]), Pooled(), executor="reference")
    assert result.traffic.table()[:, 1].tolist() == [2 * (3 + 1) * 8, 3 * (3 + 1) * 8]
    assert set(result.traffic.kinds) == {"rows"}


def test_a_tiny_fraction_of_sites_is_asked_and_nobody_else() -> None:
    result = train(sites([2] * 10), FedAvg(20, fraction=0.1), steps=20, executor="reference")
    busy = result.traffic.table(["train"])[:, 0]
    assert np.count_nonzero(busy[busy > 2]) <= 1, "one site trains; the others at most receive"
    with torch.no_grad():
        assert result.rows is not None

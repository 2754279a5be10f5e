"""Runs on streams: what is counted, who is frozen, and what the whole machinery leaves the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.unit.training.streams.gaussian import Gaussian
from unpooled.errors import BadSetting, Diverged, Unsupported
from unpooled.seeds import Streams
from unpooled.sites.site import Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.coordinator import Coordinator
from unpooled.training.observation import models_of
from unpooled.training.protocols import DaisyChain, DynamicAveraging, FedAvg, FedDC, FedProx, Local, Pooled, Protocol
from unpooled.training.questions import install
from unpooled.training.streams import (
    Disjunction,
    HingeSGD,
    PassiveAggressive,
    Prequential,
    Serial,
    StreamResult,
    SubsetAveraging,
    compare_streams,
    stream,
    suggest_threshold,
)
from unpooled.training.streams.source import size
from unpooled.training.streams.task import StreamTask

SOURCE = Gaussian()
LEARNER = HingeSGD(0.05)
M, T = 5, 60


def run(protocol: Protocol, *, learners: int = M, rounds: int = T, batch: int = 1, seed: int = 2) -> StreamResult:
    return stream(SOURCE, LEARNER, protocol, learners=learners, rounds=rounds, batch=batch, seed=seed)


@pytest.mark.parametrize(
    ("protocol", "rounds", "transfers", "final"),
    [
        (Local(), T, 0, 0),
        (FedAvg(1), T, 2 * M * T, 0),
        (FedAvg(7), T, 2 * M * (T // 7), 2 * M),  # 7 does not divide 60: the last average is the output, counted apart
        (FedAvg(10), T, 2 * M * (T // 10), 0),
        (FedAvg(100), T, 0, 2 * M),
        (FedAvg(10, fraction=0.4), T, 2 * 2 * (T // 10), 0),
        (FedDC(2, 10), T, 2 * M * (T // 2), 0),
        (DaisyChain(4), T, 2 * M * (T // 4), 0),
        (SubsetAveraging(10, 0.4), T, (2 + M) * (T // 10), 0),
        (Serial(), T, 0, 0),
    ],
)
def test_transfers_are_the_closed_forms(protocol: Protocol, rounds: int, transfers: int, final: int) -> None:
    result = run(protocol)
    assert (result.transfers, result.final) == (transfers, final)
    assert result.initial == (1 if isinstance(protocol, Serial) else M)
    assert result.losses.shape == (T, M)
    assert (result.losses.sum(axis=1) > 0).sum() > T / 2


def test_transfers_belong_to_the_round_whose_exchange_caused_them() -> None:
    result = run(FedAvg(10))
    expected = np.where(np.arange(T) % 10 == 9, M, 0)
    assert (result.sent == expected).all()
    assert (result.received == expected).all()
    assert result.syncs == (0, 6)
    assert result.transfers_in(0, 10) == 2 * M


def test_one_learner_is_the_serial_learner_under_every_protocol() -> None:
    expected = run(Serial(), learners=1).losses
    for protocol in (Local(), FedAvg(1), FedAvg(4), FedDC(1, 5), SubsetAveraging(3, 1.0)):
        assert (run(protocol, learners=1).losses == expected).all()


def test_serial_suffers_in_the_order_of_arrival() -> None:
    """Its loss at round t, learner i comes from the model that saw all of t' < t and the learners before i."""
    result, prequential = run(Serial()), Prequential(SOURCE, LEARNER, Serial(), learners=M, rounds=T, seed=2)
    X, y = prequential.flow.block(0, M * T)
    f = np.zeros(6)
    for k in range(M * T):
        margin = float(y[k, 0, 0] * (X[k, 0, 0] @ f))
        assert result.losses[k // M, k % M] == pytest.approx(max(0.0, 1 - margin), abs=1e-12)
        if margin < 1:
            f = f + 0.05 * y[k, 0, 0] * X[k, 0, 0]


def test_frozen_learners_go_on_suffering_with_the_model_they_had() -> None:
    """FedAvg with a fraction freezes the others, but the stream does not wait for them."""
    protocol = FedAvg(10, fraction=0.4)
    result = run(protocol)
    prequential = Prequential(SOURCE, LEARNER, protocol, learners=M, rounds=T, seed=2)
    exchange, facts = protocol.exchange(), prequential.coordinator.facts
    models, given = np.zeros((M, 6)), np.zeros(6)
    for t in range(T):
        X, y = (part[0, :, 0] for part in prequential.flow.block(t, t + 1))
        active = exchange.active(t, facts)
        assert active is not None
        if t % 10 == 0:
            models[active] = given
        margins = y * (models * X).sum(axis=1)
        np.testing.assert_allclose(result.losses[t], np.maximum(0, 1 - margins), atol=1e-12)
        learning = np.isin(np.arange(M), active) & (margins < 1)
        models[learning] += 0.05 * (y[:, None] * X)[learning]
        if t % 10 == 9:
            given = models[active].mean(axis=0)


def test_the_mean_of_some_goes_to_all() -> None:
    result = run(SubsetAveraging(T, 0.4), rounds=T)
    assert (result.models == result.models[0]).all()
    alone = run(Local()).models
    chosen = Streams(2).generator("subset", 0).choice(M, size=2, replace=False)
    np.testing.assert_allclose(result.models[0], alone[chosen].mean(axis=0), rtol=1e-12)


def test_sites_that_are_asked_one_by_one_learn_the_same() -> None:
    """What a real site runs: an executor of its own with one seat."""
    for protocol in (FedAvg(5), FedDC(2, 6)):
        flow = SOURCE.open(size(M, T), Streams(2))
        names = tuple(f"learner-{i}" for i in range(M))
        task = StreamTask(LEARNER, flow, Streams(2), names)
        federation = InProcess.of([Site(name) for name in names])
        for site in federation:  # tasks of their own, as on machines of their own: no joint answers
            install([site], StreamTask(LEARNER, flow, Streams(2), names))
        coordinator = Coordinator(federation, task, protocol.exchange(), steps=T)
        assert len({id(site.state["seat"][0]) for site in federation}) == M
        while not coordinator.done:
            coordinator.local_phase()
            coordinator.exchange_models()
        coordinator.finish()
        np.testing.assert_allclose(models_of(federation), run(protocol).models, rtol=1e-12, atol=1e-14)


def test_a_stopped_run_goes_on_to_the_same_end() -> None:
    expected = run(FedAvg(10)).models
    first = Prequential(SOURCE, LEARNER, FedAvg(10), learners=M, rounds=T, seed=2)
    for _ in range(30):
        first.advance()
    saved = copy.deepcopy((first.coordinator.state(), first.executor.state()))
    second = Prequential(SOURCE, LEARNER, FedAvg(10), learners=M, rounds=T, seed=2)
    second.coordinator.restore(saved[0])
    second.executor.restore(saved[1])
    while not second.done:
        second.advance()
    assert (second.result().models == expected).all()
    assert (second.result().losses == run(FedAvg(10)).losses).all()


def test_dynamic_averaging_without_tolerance_is_periodic_and_with_endless_tolerance_local() -> None:
    """Notes, section 9, item 2. Only where nobody moved in a whole period does dynamic averaging save its transfers."""
    for period in (1, 4):
        eager, periodic = run(DynamicAveraging(0.0, period)), run(FedAvg(period))
        np.testing.assert_allclose(eager.losses, periodic.losses, rtol=1e-9, atol=1e-12)
        moved = (periodic.losses.reshape(-1, period * M) > 0).any(axis=1)
        assert eager.transfers == 2 * M * moved.sum() > 0
    never = run(DynamicAveraging(1e12))
    assert (never.losses == run(Local()).losses).all()
    assert never.transfers == 0


def test_transfers_are_those_that_the_coordinator_counts() -> None:
    for protocol in (FedAvg(7), FedDC(2, 6), DynamicAveraging(0.02, 2), FedAvg(10, fraction=0.4)):
        prequential = Prequential(SOURCE, LEARNER, protocol, learners=M, rounds=T, seed=2)
        while not prequential.done:
            prequential.advance()
        result = prequential.result()
        assert result.transfers + result.final == prequential.coordinator.transfers > 0


@pytest.mark.parametrize(("reduction", "serial_rate"), [("mean", 0.1), ("sum", 0.1 / M)])
def test_averaging_after_each_round_is_one_learner_with_the_union_of_the_batches(
    reduction: str, serial_rate: float
) -> None:
    """Proposition 3 of Kamp et al., ECML PKDD 2018: with summed losses averaging divides the rate by m, with mean
    losses it only enlarges the batch."""
    together = stream(
        SOURCE,
        HingeSGD(0.1, reduction=reduction),
        FedAvg(1),
        learners=M,
        rounds=T,
        batch=4,
        seed=2,  # type: ignore[arg-type]
    )
    X, y = SOURCE.open(size(M, T, 4), Streams(2)).block(0, T)
    f = np.zeros(6)
    for t in range(T):
        x, label = X[t].reshape(-1, 6), y[t].reshape(-1)
        each = np.where((label * (x @ f)) < 1, label, 0.0) @ x
        f = f + serial_rate * (each if reduction == "sum" else each / len(label))
    np.testing.assert_allclose(together.models[0], f, rtol=1e-10)


def test_averages_of_unequal_batches_are_weighted_by_their_examples() -> None:
    """Weights are batch sizes: the weighted mean of all models is kept, the plain mean is not."""
    batch = (10, 1, 1, 1, 1)
    alone = stream(SOURCE, LEARNER, Local(), learners=M, rounds=T, batch=batch, seed=2).models
    once = stream(
        SOURCE, LEARNER, FedAvg(T, weighted_by_samples=True), learners=M, rounds=T, batch=batch, seed=2
    ).models
    np.testing.assert_allclose(once[0], np.average(alone, axis=0, weights=batch), rtol=1e-12)
    assert not np.allclose(once[0], alone.mean(axis=0))


def test_a_comparison_has_one_row_a_protocol_and_seed() -> None:
    told: list[tuple[str, int, int, int]] = []
    found = compare_streams(
        SOURCE, LEARNER, [Local(), FedAvg(5)], learners=M, rounds=T, seeds=(0, 1), progress=lambda *a: told.append(a)
    )
    frame = found.frame()
    assert frame[["protocol", "seed"]].to_numpy().tolist() == [
        ["Local", 0], ["Local", 1], ["FedAvg(5)", 0], ["FedAvg(5)", 1],
    ]  # fmt: skip
    assert frame["examples"].tolist() == [M * T] * 4
    table = found.table().set_index("protocol")
    values = frame.groupby("protocol")["loss"].apply(list)["Local"]
    assert table.loc["Local", "loss"] == pytest.approx(np.mean(values))
    # the t quantile for one degree of freedom is 12.706
    assert table.loc["Local", "loss_half_width"] == pytest.approx(12.706 * abs(values[0] - values[1]) / 2, rel=1e-4)
    curves = found.curves(points=7)
    last = curves[curves["round"] == T].set_index(["protocol", "seed"])
    assert last.loc[("FedAvg(5)", 1), "loss"] == pytest.approx(found.results["FedAvg(5)"][1].loss)
    assert last.loc[("FedAvg(5)", 1), "transfers"] == 2 * M * T // 5
    assert told[-1] == ("FedAvg(5)", 1, T, T)
    assert set(found.drifts()) == {0, 1}
    assert "FedAvg(5)" in repr(found)


def test_seeds_decide_everything() -> None:
    assert (run(FedAvg(5)).losses == run(FedAvg(5)).losses).all()
    assert (run(FedAvg(5)).losses != run(FedAvg(5), seed=3).losses).any()


def test_a_common_start_is_where_all_begin() -> None:
    start = np.arange(6.0)
    result = stream(SOURCE, LEARNER, Local(), learners=2, rounds=1, seed=2, start=start)
    X, y = SOURCE.open(size(2, 1), Streams(2)).block(0, 1)
    np.testing.assert_allclose(result.losses[0], np.maximum(0, 1 - y[0, :, 0] * (X[0, :, 0] @ start)), atol=1e-12)


def test_the_suggested_threshold_is_passed_by_half_of_the_learners_at_the_first_check() -> None:
    threshold = suggest_threshold(SOURCE, LEARNER, learners=8, period=6, seed=2)
    once = stream(SOURCE, LEARNER, DynamicAveraging(threshold, 6, augmentation="full"), learners=8, rounds=6, seed=2)
    assert once.syncs == (0, 1)
    alone = stream(SOURCE, LEARNER, Local(), learners=8, rounds=6, seed=2).models
    assert ((alone**2).sum(axis=1) > threshold).sum() == 4
    start = np.arange(6.0)
    near = suggest_threshold(SOURCE, LEARNER, learners=8, period=6, seed=2, start=start)
    assert near < (start**2).sum()
    right = SOURCE.open(size(1, 1), Streams(2)).block(0, 1)
    with pytest.raises(BadSetting, match="take a longer period"):  # a first model that is right by far: no loss
        suggest_threshold(
            SOURCE, LEARNER, learners=1, period=1, seed=2, start=1e6 * (right[1][0, 0, 0] * right[0][0, 0, 0])
        )


def test_what_is_refused() -> None:
    with pytest.raises(BadSetting, match="proximal"):
        run(FedProx(5))
    with pytest.raises(BadSetting, match=r"Serial\(\)"):
        run(Pooled())
    with pytest.raises(BadSetting, match="different protocols"):
        compare_streams(SOURCE, LEARNER, [Local(), Local()], learners=2, rounds=2)
    with pytest.raises(BadSetting, match="at least one seed"):
        compare_streams(SOURCE, LEARNER, [Local()], learners=2, rounds=2, seeds=())
    with pytest.raises(BadSetting, match="batches of one size"):
        stream(SOURCE, LEARNER, Serial(), learners=2, rounds=5, batch=(1, 2))
    with pytest.raises(Diverged):
        stream(SOURCE, LEARNER, Local(), learners=2, rounds=5, start=np.full(6, np.nan))
    task = StreamTask(LEARNER, SOURCE.open(size(1, 5), Streams(0)), Streams(0), ("learner-0",))
    with pytest.raises(Unsupported, match="losses they suffered"):
        task.score(np.zeros(6), samples([[0.0] * 6], [0]))


def test_passive_aggressive_learners_stop_when_they_are_right() -> None:
    result = stream(Disjunction(inputs=10, drift_every=None), PassiveAggressive(), Local(), learners=3, rounds=4000)
    assert result.losses[:500].sum() > 10
    assert result.losses[-500:].sum() < 0.01

"""Streams against outside truth: theorems of dynamic averaging at every event, and the measured table of the notes.

T1 to T8 are the checkable statements on averaging protocols after Kamp et al., ECML PKDD 2014, 2016 and 2018. The table
was measured with another program and other random numbers; losses are compared as ratios to periodic averaging with
b = 10, because streams differ from seed to seed by 10 % and all protocols follow the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from unpooled.combine import Array
from unpooled.training.protocols import DynamicAveraging, FedAvg, Local, Protocol
from unpooled.training.streams import (
    Disjunction,
    HiddenVariables,
    HingeSGD,
    PassiveAggressive,
    Prequential,
    Serial,
    StreamResult,
    SubsetAveraging,
    stream,
)
from unpooled.training.streams.checkerboard import Checkerboard
from unpooled.training.streams.kernel import Gaussian, KernelResult, Norma, Truncation, kernel_stream
from unpooled.training.streams.kernel.compression import Compression

PHASE = 1200


def small(protocol: Protocol, seed: int = 0) -> StreamResult:
    """Stream A, small: three phases."""
    source = Disjunction(inputs=30, drift_every=PHASE)
    return stream(source, PassiveAggressive(), protocol, learners=12, rounds=3 * PHASE, seed=seed)


# --- theorems at every event ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """All models (m, d) before and after what a protocol did in a round, and what it did."""

    round: int
    before: Array
    after: Array
    moved: Array
    weights: Array


def events(protocol: Protocol, *, batch: int | tuple[int, ...] = 1, rounds: int = 350) -> Iterator[Event]:
    source = HiddenVariables(inputs=12, hidden=6, drift_probability=0.01)
    run = Prequential(source, HingeSGD(0.05), protocol, learners=8, rounds=rounds, batch=batch, seed=3)
    coordinator = run.coordinator
    while not run.done:
        coordinator.local_phase()
        t, before = coordinator.step - 1, run.executor.stack.copy()
        memory = coordinator._memory
        since = memory["since"] if isinstance(memory, dict) else np.zeros(8)
        coordinator.exchange_models()
        after, moved = before.copy(), np.zeros(8, dtype=bool)
        for delivery in coordinator._pending:
            where = slice(None) if delivery.sites is None else delivery.sites
            after[where], moved[where] = delivery.rows, True
        yield Event(t, before, after, moved, run.size.batches * (t + 1 - since))


def divergence(models: Array) -> float:
    return float(((models - models.mean(axis=0)) ** 2).sum(axis=1).mean())


DYNAMIC = [
    DynamicAveraging(0.05, 5),
    DynamicAveraging(0.2, 1),
    DynamicAveraging(0.05, 5, augmentation="doubling"),
    DynamicAveraging(0.05, 5, augmentation="hedged"),
    DynamicAveraging(0.05, 5, augmentation="full"),
    DynamicAveraging(0.3, 5, schedule="inverse_sqrt"),
]


@pytest.mark.parametrize("protocol", DYNAMIC, ids=lambda p: p.label)
def test_t1_after_every_check_the_divergence_is_at_most_the_threshold(protocol: DynamicAveraging) -> None:
    some = 0
    for event in events(protocol):
        if (event.round + 1) % protocol.check_period:
            continue
        checks = (event.round + 1) // protocol.check_period
        delta = protocol.threshold / (checks**0.5 if protocol.schedule == "inverse_sqrt" else 1)
        assert divergence(event.after) <= delta * (1 + 1e-9)
        some += event.moved.any() and not event.moved.all()
    assert some > 3 or protocol.augmentation == "full"


@pytest.mark.parametrize("protocol", [*DYNAMIC, FedAvg(5)], ids=lambda p: p.label)
def test_t2_the_mean_of_all_models_is_kept_and_t3_nobody_is_driven_away(protocol: Protocol) -> None:
    """T3: whatever the target u, averages do not increase the sum of squared distances to it."""
    rng, happened = np.random.default_rng(0), 0
    for event in events(protocol):
        np.testing.assert_allclose(event.after.mean(axis=0), event.before.mean(axis=0), atol=1e-12)
        for u in rng.normal(size=(3, event.before.shape[1])):
            assert ((event.after - u) ** 2).sum() <= ((event.before - u) ** 2).sum() + 1e-9
        happened += event.moved.any()
    assert happened > 10


def test_a_mean_of_some_that_goes_to_all_does_not_keep_the_mean() -> None:
    changed = [
        np.abs(event.after.mean(axis=0) - event.before.mean(axis=0)).max()
        for event in events(SubsetAveraging(5, 0.5))
        if event.moved.any()
    ]
    assert min(changed) > 1e-6


@pytest.mark.parametrize("augmentation", ["random", "full"])
def test_with_unequal_rates_the_mean_weighted_by_examples_is_kept(augmentation: str) -> None:
    """Algorithm 2 of Kamp et al., 2018: weights are the examples since each learner last synchronised."""
    protocol = DynamicAveraging(0.05, 5, augmentation=augmentation, weighted_by_samples=True)  # type: ignore[arg-type]
    happened = 0
    for event in events(protocol, batch=(10, 10, 1, 1, 1, 1, 1, 1)):
        if event.moved.any():
            kept = [np.average(rows, axis=0, weights=event.weights) for rows in (event.before, event.after)]
            np.testing.assert_allclose(kept[0], kept[1], atol=1e-12)
            happened += not np.allclose(event.before.mean(axis=0), event.after.mean(axis=0), atol=1e-9)
    assert happened > 10


def test_unweighted_averages_lose_when_rates_differ_and_steps_add_up() -> None:
    """Notes, section 9, item 8: rates 10:1, updates summed over a batch. With the mean over a batch a fast learner does
    not get further than a slow one, and passive-aggressive learners then do better without weights: measured in
    benchmarks/streams.py, told in docs/streams.md."""

    def loss(weighted: bool, seed: int) -> float:
        return stream(
            Disjunction(drift_every=500), PassiveAggressive(reduction="sum"), FedAvg(20, weighted_by_samples=weighted),
            learners=8, rounds=1000, batch=(10, 10, 1, 1, 1, 1, 1, 1), seed=seed,
        ).loss  # fmt: skip

    for seed in (0, 1):
        assert loss(False, seed) > 1.3 * loss(True, seed)


@pytest.mark.parametrize("threshold", [0.1, 1.0])
def test_t6_full_synchronisations_are_bounded_by_the_loss(threshold: float) -> None:
    """|f - phi(f)| <= loss, because |x| >= 1 for the constant feature: eta is 1. The bound is loose."""
    result = small(DynamicAveraging(threshold, 5, augmentation="full"))
    assert result.syncs[0] == 0
    assert 0 < result.syncs[1] <= result.loss / threshold**0.5
    assert result.transfers == 2 * 12 * result.syncs[1]


def test_t5_the_excess_loss_grows_at_most_linearly_in_the_threshold() -> None:
    """L_dyn <= L_per + m T / (b gamma^2) Delta, gamma^2 >= 1 / |x|^2 >= 1 / 31, in the convention with the factor m."""
    periodic = small(FedAvg(5)).loss
    for threshold in (0.1, 10.0):
        excess = small(DynamicAveraging(threshold, 5)).loss - periodic
        assert excess <= 12 * 3 * PHASE / 5 * 31 * threshold


def test_small_drifting_disjunctions() -> None:
    """Section 9, item 6, in small: near silence at the end of each phase (T8; full silence needs longer phases, see the
    headline), bursts after drifts, and less loss with fewer transfers than long periods."""
    seed = 0
    dynamic, gentle = small(DynamicAveraging(0.3, 5), seed), small(DynamicAveraging(0.1, 5), seed)
    periods = {b: small(FedAvg(b), seed) for b in (5, 50, 150)}
    alone = small(Local(), seed)
    for phase in range(3):
        whole = dynamic.transfers_in(phase * PHASE, (phase + 1) * PHASE)
        assert dynamic.transfers_in(phase * PHASE, phase * PHASE + PHASE // 3) >= 0.9 * whole > 0
        assert dynamic.transfers_in((phase + 1) * PHASE - PHASE // 4, (phase + 1) * PHASE) <= 0.03 * whole
    for b in (50, 150):
        assert gentle.loss < periods[b].loss
    assert dynamic.loss < periods[150].loss
    assert gentle.loss < 1.03 * periods[5].loss
    assert gentle.transfers * 5 < periods[5].transfers
    assert small(Serial(), seed).loss < periods[5].loss < periods[50].loss < periods[150].loss < alone.loss


def test_a_small_noisy_stream_is_a_tie() -> None:
    """Section 9, item 7: where learners never become silent, dynamic averaging lies on the line of periods."""
    source, learner = HiddenVariables(), HingeSGD(0.01)
    shape = {"learners": 12, "rounds": 1500, "seed": 0}
    by_period = [stream(source, learner, FedAvg(b), **shape) for b in (50, 20, 10)]  # type: ignore[arg-type]
    dynamic = stream(source, learner, DynamicAveraging(0.03, 10), **shape)  # type: ignore[arg-type]
    line = np.interp(np.log(dynamic.transfers), [np.log(r.transfers) for r in by_period], [r.loss for r in by_period])
    assert by_period[0].transfers < dynamic.transfers < by_period[-1].transfers
    assert abs(dynamic.loss / line - 1) < 0.02


# --- the table of the notes, full size (section 6) --------------------------------------------------------------------

TABLE: dict[str, tuple[Protocol, float, int]] = {
    # cumulative loss of one seed over that of periodic b=10 (11 231), and transfers
    "none": (Local(), 14_775 / 11_231, 0),
    "periodic 1": (FedAvg(1), 11_199 / 11_231, 960_000),
    "periodic 50": (FedAvg(50), 11_395 / 11_231, 19_200),
    "periodic 250": (FedAvg(250), 12_700 / 11_231, 3_840),
    "subset": (SubsetAveraging(50, 0.3), 11_509 / 11_231, 12_600),
    "dynamic 0.1": (DynamicAveraging(0.1, 10), 11_333 / 11_231, 4_646),
    "dynamic 0.3": (DynamicAveraging(0.3, 10), 11_454 / 11_231, 3_248),
    "dynamic 1": (DynamicAveraging(1.0, 10), 11_582 / 11_231, 1_910),
    "dynamic 3": (DynamicAveraging(3.0, 10), 11_988 / 11_231, 1_048),
    "dynamic 10": (DynamicAveraging(10.0, 10), 12_394 / 11_231, 496),
    "full 1": (DynamicAveraging(1.0, 10, augmentation="full"), 11_611 / 11_231, 2_176),
}
SEEDS = (0, 1, 2)


def full_size(protocol: Protocol, seed: int) -> StreamResult:
    return stream(Disjunction(), PassiveAggressive(0.5), protocol, learners=32, rounds=15_000, seed=seed)


@pytest.mark.slow
def test_stream_a_is_the_table_of_the_notes() -> None:
    """Means over three seeds: losses within 10 % of the one seed printed, ratios within 3 %, transfers of dynamic
    averaging within 25 %, those of all others exactly. Losses are close to proportional from seed to seed."""
    periodic = [full_size(FedAvg(10), seed) for seed in SEEDS]
    base = np.mean([r.loss for r in periodic])
    assert base == pytest.approx(11_231, rel=0.1)
    assert {r.transfers for r in periodic} == {96_000}
    assert np.mean([full_size(Serial(), seed).loss for seed in SEEDS]) == pytest.approx(464, rel=0.1)
    for name, (protocol, ratio, transfers) in TABLE.items():
        found = [full_size(protocol, seed) for seed in SEEDS]
        assert np.mean([r.loss for r in found]) / base == pytest.approx(ratio, rel=0.03), name
        if isinstance(protocol, DynamicAveraging):
            assert np.mean([r.transfers for r in found]) == pytest.approx(transfers, rel=0.25), name
        else:
            assert {r.transfers for r in found} == {transfers}, name


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_stream_a_headline(seed: int) -> None:
    """At most 1.5 % more loss than periodic b=10 with at least 15 times fewer transfers; from threshold 0.3 on, silence
    in the last 1000 rounds of each phase. (At 0.1 a rare pair of learners still meets: 0 to 4 transfers.)"""
    periodic = full_size(FedAvg(10), seed)
    gentle = full_size(DynamicAveraging(0.1, 10), seed)
    assert gentle.loss <= 1.015 * periodic.loss
    assert gentle.transfers * 15 <= periodic.transfers
    for threshold in (0.3, 1.0, 3.0):
        result = full_size(DynamicAveraging(threshold, 10), seed)
        for start in (0, 5000, 10_000):
            assert result.transfers_in(start + 4000, start + 5000) == 0
            assert result.transfers_in(start, start + 1000) > 0
    for start in (0, 5000, 10_000):
        late, early = gentle.transfers_in(start + 4000, start + 5000), gentle.transfers_in(start, start + 1000)
        assert late <= 0.01 * early
    short, long = full_size(FedAvg(50), seed), full_size(FedAvg(250), seed)
    assert gentle.loss < 1.005 * short.loss  # under seed 0 it is 0.1 % above, on the mean of the seeds 0.4 % below
    assert 4 * gentle.transfers < short.transfers
    rare = full_size(DynamicAveraging(1.0, 10), seed)
    assert rare.loss < long.loss
    assert rare.transfers < long.transfers


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_stream_b_is_a_tie(seed: int) -> None:
    """Within 0.5 % of the line through the periods for small thresholds, and up to 2 % above it for 0.3."""

    def full(protocol: Protocol) -> StreamResult:
        return stream(HiddenVariables(), HingeSGD(0.01), protocol, learners=30, rounds=5000, seed=seed)

    by_period = [full(FedAvg(b)) for b in (250, 100, 50, 20, 10)]
    cost = [np.log(r.transfers) for r in by_period]
    assert [r.transfers for r in by_period] == [1200, 3000, 6000, 15_000, 30_000]
    for threshold, tolerance in ((0.01, 0.005), (0.03, 0.005), (0.1, 0.005), (0.3, 0.02)):
        result = full(DynamicAveraging(threshold, 10))
        line = np.interp(np.log(result.transfers), cost, [r.loss for r in by_period])
        assert abs(result.loss / line - 1) < tolerance
        assert result.transfers_in(4000, 5000) > 0
    losses = [full(Serial()).loss, *(r.loss for r in reversed(by_period)), full(Local()).loss]
    assert all(a < b for a, b in pairwise(losses))


# --- kernel learners: the checkerboard of section 5 -------------------------------------------------------------------


def board(
    protocol: Protocol, compression: Compression | None = None, *, rounds: int = 200, seed: int = 0
) -> KernelResult:
    settings = Norma(Gaussian(4.0), rate=0.5, decay=0.002, compression=compression)
    source = Checkerboard(3, drift_every=rounds // 2)
    return kernel_stream(source, settings, protocol, learners=4, rounds=rounds, seed=seed)


def test_small_checkerboard_in_order() -> None:
    alone, often = board(Local()), board(FedAvg(10))
    source = Checkerboard(3, drift_every=100, constant=True)
    linear = stream(source, HingeSGD(0.1), FedAvg(10), learners=4, rounds=200)
    dynamic = board(DynamicAveraging(2.0, 10))
    assert often.loss < alone.loss < linear.loss
    assert dynamic.loss < alone.loss
    assert alone.bytes == 0
    assert linear.bytes < dynamic.bytes < often.bytes
    assert board(FedAvg(10), Truncation(30)).loss > board(Local(), Truncation(30)).loss  # truncating averages hurts


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_checkerboard_in_order(seed: int) -> None:
    """The orderings of the table. Its fields' size is not told, so neither losses nor kilobytes can be."""
    alone, often, rarely = (board(p, rounds=1000, seed=seed) for p in (Local(), FedAvg(10), FedAvg(50)))
    near, far = (board(DynamicAveraging(delta, 10), rounds=1000, seed=seed) for delta in (2.0, 8.0))
    source = Checkerboard(3, drift_every=500, constant=True)
    linear = stream(source, HingeSGD(0.1), FedAvg(10), learners=4, rounds=1000, seed=seed)
    assert often.loss < rarely.loss < alone.loss < linear.loss
    assert often.loss <= 1.01 * near.loss < 1.01 * far.loss < 1.01 * alone.loss
    assert linear.bytes < far.bytes < near.bytes < often.bytes
    for budget in (Truncation(50), Truncation(150)):
        kept, shared = (board(p, budget, rounds=1000, seed=seed).loss for p in (Local(), FedAvg(10)))
        assert kept < shared

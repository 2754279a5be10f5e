"""Kernel learners: distances, averages, compression, bytes, and the same run in primal and dual form."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.streams.gaussian import Gaussian as GaussianStream
from unpooled.errors import BadSetting
from unpooled.training.protocols import DynamicAveraging, FedAvg, FedDC, Local, Protocol
from unpooled.training.streams import HingeSGD, stream
from unpooled.training.streams.checkerboard import Checkerboard
from unpooled.training.streams.kernel import (
    Expansion,
    Gaussian,
    KernelLearner,
    Linear,
    Norma,
    Projection,
    Truncation,
    compare_kernels,
    kernel_stream,
)
from unpooled.training.streams.kernel.compression import Compression, compressed
from unpooled.training.streams.kernel.expansion import distance, inner, mean, name_of, total
from unpooled.training.streams.kernel.products import Products
from unpooled.training.streams.kernel.synchronise import KernelCoordinator

KERNEL = Gaussian(2.0)
RNG = np.random.default_rng(4)


def model(owner: int, size: int, shared: Expansion | None = None) -> Expansion:
    """A model of `size` vectors of its own, and those of `shared`."""
    ids = np.array([name_of(owner, i) for i in range(size)])
    own = Expansion(ids, RNG.normal(size=(size, 3)), RNG.normal(size=size))
    if shared is None:
        return own
    return total([own, Expansion(shared.ids, shared.X, RNG.normal(size=len(shared)))])


def test_the_average_by_union_is_the_pointwise_mean_of_predictions() -> None:
    common = model(9, 6)
    models = [model(i, 5 + i, common) for i in range(4)]
    Z = RNG.normal(size=(50, 3))
    expected = np.mean([f.at(KERNEL, Z) for f in models], axis=0)
    average = mean(models)
    np.testing.assert_allclose(average.at(KERNEL, Z), expected, atol=1e-10)
    assert len(average) == 6 + 5 + 6 + 7 + 8
    assert (np.diff(average.ids) > 0).all()


def test_vectors_are_known_by_who_found_them_not_by_where_they_are() -> None:
    X = np.array([[0.5, 0.5]])
    one, two = (Expansion(np.array([name_of(i, 0)]), X, np.array([1.0])) for i in (0, 1))
    both = total([one, two])
    assert len(both) == 2
    assert len(total([one, one])) == 1
    assert both.at(KERNEL, X) == pytest.approx(2.0)


def test_distances_are_those_of_functions() -> None:
    """With the linear kernel they are Euclidean; in general a'Ka - 2 a'Kb + b'Kb."""
    common = model(9, 3)
    f, g = model(0, 600, common), model(1, 5, common)  # more rows than are computed at once
    a, b = f.a @ f.X, g.a @ g.X
    assert distance(Linear(), f, g) == pytest.approx(float((a - b) @ (a - b)), rel=1e-9)
    direct = f.a @ KERNEL(f.X, f.X) @ f.a - 2 * f.a @ KERNEL(f.X, g.X) @ g.a + g.a @ KERNEL(g.X, g.X) @ g.a
    assert distance(KERNEL, f, g) == pytest.approx(direct, rel=1e-9)
    assert distance(KERNEL, f, f) == 0


def test_kernel_values_computed_once_give_the_same_products() -> None:
    common = model(9, 6)
    f, g, h = model(2, 8, common), model(0, 5, common), model(1, 4)
    products = Products(KERNEL, 3)
    for _ in range(2):
        for first, second in ((f, g), (g, h), (f, f), (h, g)):
            assert products.inner(first, second) == pytest.approx(inner(KERNEL, first, second), rel=1e-9)
            assert products.distance(first, second) == pytest.approx(distance(KERNEL, first, second), abs=1e-9)
        products.forget_all_but([g])


@pytest.mark.parametrize("compression", [None, Truncation(12), Projection(12)])
def test_distances_kept_along_the_way_are_the_direct_ones(compression: Compression | None) -> None:
    settings = Norma(KERNEL, rate=0.4, decay=0.05, compression=compression)
    learner = KernelLearner(settings, 3, 2, tracked=True)
    reference = Expansion(np.array([1, 2, 3]), RNG.normal(size=(3, 2)), RNG.normal(size=3))
    square = inner(KERNEL, reference, reference)
    for t in range(80):
        if t == 30:
            learner.receive(reference, square, square, reference=True)
        if t == 60:  # a balancing average: the reference stays
            g = mean([learner.f, reference])
            learner.receive(g, inner(KERNEL, g, g), inner(KERNEL, g, reference), reference=False)
        x = RNG.normal(size=2)
        learner.learn(x, float(np.sign(x[0] * x[1])))
        assert learner.distance == pytest.approx(distance(KERNEL, learner.f, learner.r), rel=1e-7, abs=1e-10)
    assert learner.distance > 0.01


def test_untracked_learners_learn_the_same() -> None:
    settings = Norma(KERNEL, compression=Projection(9))
    kept, bare = (KernelLearner(settings, 0, 2, tracked=tracked) for tracked in (True, False))
    for _ in range(60):
        x, y = RNG.normal(size=2), float(RNG.choice([-1, 1]))
        assert kept.learn(x, y) == bare.learn(x, y)
    assert kept.error == pytest.approx(bare.error) != 0


def test_norma_is_what_its_paper_says() -> None:
    learner, settings = KernelLearner(Norma(KERNEL, rate=0.4, decay=0.05), 0, 2, tracked=False), (0.4, 0.05)
    seen: list[tuple[np.ndarray, float]] = []
    for t in range(40):
        x, y = RNG.normal(size=2), float(RNG.choice([-1, 1]))
        score = sum(a * float(KERNEL(x[None], z[None])[0, 0]) for z, a in seen)
        assert learner.learn(x, y) == pytest.approx(score, abs=1e-12)
        seen = [(z, (1 - settings[0] * settings[1]) * a) for z, a in seen]
        if y * score < 1:
            seen.append((x, settings[0] * y))
        assert len(learner.f) == len(seen), t


@pytest.mark.parametrize("compression", [Truncation(5), Projection(5)])
def test_compression_keeps_the_budget_and_reports_how_far_it_moved_the_model(compression: Compression) -> None:
    f = model(0, 12)
    smaller, error = compressed(KERNEL, f, compression)
    assert len(smaller) == 5
    assert error == pytest.approx(distance(KERNEL, f, smaller) ** 0.5, rel=1e-6)
    kept = set(np.sort(np.abs(f.a))[-5:])
    assert set(np.abs(f.a[np.isin(f.ids, smaller.ids)])) == kept
    assert compressed(KERNEL, smaller, compression) == (smaller, 0.0)


def test_projection_moves_the_model_least_of_all_on_the_vectors_kept() -> None:
    f = model(0, 12)
    truncated, large = compressed(KERNEL, f, Truncation(5))
    projected, small = compressed(KERNEL, f, Projection(5))
    assert small < large
    for _ in range(20):
        other = Expansion(projected.ids, projected.X, projected.a + 0.01 * RNG.normal(size=5))
        assert distance(KERNEL, f, other) ** 0.5 > small
    assert (projected.ids == truncated.ids).all()


PROTOCOLS = [
    Local(),
    FedAvg(7),
    DynamicAveraging(0.05, 2),
    DynamicAveraging(0.2, 3, augmentation="full"),
    DynamicAveraging(0.3, 1, schedule="inverse_sqrt"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.label)
def test_with_the_linear_kernel_it_is_the_linear_learner_under_the_same_protocol(protocol: Protocol) -> None:
    """Primal and dual: same losses, same violations, same transfers, same balancing sets. FedAvg's extra average at the
    end of a run is left out here, and 70 is a multiple of 7."""
    shape = {"learners": 5, "rounds": 70, "seed": 6}
    primal = stream(GaussianStream(), HingeSGD(0.05, decay=0.1), protocol, **shape)  # type: ignore[arg-type]
    dual = kernel_stream(GaussianStream(), Norma(Linear(), 0.05, 0.1), protocol, **shape)  # type: ignore[arg-type]
    np.testing.assert_allclose(dual.losses, primal.losses, atol=1e-9)
    assert (dual.sent == primal.sent).all()
    assert (dual.received == primal.received).all()
    np.testing.assert_allclose(dual.models @ dual.vectors, primal.models, atol=1e-9)
    assert isinstance(protocol, Local) or dual.transfers > 0
    if isinstance(protocol, DynamicAveraging) and protocol.augmentation == "random":
        assert primal.syncs[0] > 0  # some were balanced among a few


@pytest.mark.parametrize("protocol", PROTOCOLS[1:], ids=lambda p: p.label)
def test_each_vector_crosses_each_link_once_and_coefficients_every_time(protocol: Protocol) -> None:
    logs = []
    result = kernel_stream(
        Checkerboard(2), Norma(KERNEL), protocol, learners=3, rounds=70, look=lambda t, c: logs.append(c.links.log)
    )
    log = logs[-1]
    for learner in range(3):
        for up in (True, False):
            crossed = np.concatenate([s.new for s in log if s.learner == learner and s.up is up])
            assert len(np.unique(crossed)) == len(crossed)
        own = np.concatenate([s.new for s in log if s.learner == learner and not s.up])
        assert not (own >> 32 == learner).any()  # nobody is sent what it found itself
        assert all((s.new >> 32 == learner).all() for s in log if s.learner == learner and s.up)
    vectors, coefficients = sum(len(s.new) for s in log), sum(s.coefficients for s in log)
    assert result.bytes == vectors * 2 * 8 + coefficients * 16 == result.moved.sum()
    assert result.transfers == len(log) > 0
    assert result.curve()["bytes"].iloc[-1] == result.bytes


def test_dynamic_averaging_keeps_the_divergence_below_its_threshold() -> None:
    """T1 of the notes, in the kernel's Hilbert space, after every check."""
    delta = 0.3
    seen: list[float] = []

    def look(t: int, coordinator: KernelCoordinator) -> None:
        models = [learner.f for learner in coordinator.learners]
        average = mean(models)
        seen.append(float(np.mean([distance(KERNEL, f, average) for f in models])))

    kernel_stream(
        Checkerboard(2), Norma(KERNEL, rate=0.3), DynamicAveraging(delta), learners=4, rounds=80, seed=1, look=look
    )
    assert 0 < max(seen) <= delta + 1e-9


def test_balancing_keeps_the_mean_of_all_models() -> None:
    """T2 of the notes: one check, at the end, after which the mean of all is that of learners who never met."""
    shape = {"learners": 4, "rounds": 80, "seed": 1}
    settings, Z = Norma(KERNEL, rate=0.3), RNG.random((30, 2)) * 2
    never = kernel_stream(Checkerboard(2), settings, Local(), **shape)  # type: ignore[arg-type]
    gone = np.sort(np.diag(never.models @ KERNEL(never.vectors, never.vectors) @ never.models.T))  # from reference 0
    one_violates = DynamicAveraging(float(gone[-2:].mean()), 80)
    once = kernel_stream(Checkerboard(2), settings, one_violates, **shape)  # type: ignore[arg-type]
    assert once.syncs == (1, 0)
    means = [r.models.mean(axis=0) @ KERNEL(r.vectors, Z) for r in (once, never)]
    np.testing.assert_allclose(means[0], means[1], atol=1e-10)


def test_what_is_refused() -> None:
    for protocol in (FedAvg(5, fraction=0.5), FedDC(1, 5), DynamicAveraging(1.0, augmentation="hedged")):
        with pytest.raises(BadSetting, match="Kernel models are not synchronised by"):
            kernel_stream(Checkerboard(), Norma(), protocol, learners=2, rounds=2)
    with pytest.raises(BadSetting, match="gamma"):
        Gaussian(0.0)
    with pytest.raises(BadSetting, match="below 1"):
        Norma(rate=2.0, decay=0.5)
    with pytest.raises(BadSetting, match="budget"):
        Truncation(0)
    with pytest.raises(BadSetting, match="different protocols"):
        compare_kernels(Checkerboard(), Norma(), [Local(), Local()], learners=2, rounds=2)
    with pytest.raises(BadSetting, match="at least one seed"):
        compare_kernels(Checkerboard(), Norma(), [Local()], learners=2, rounds=2, seeds=())


def test_the_checkerboard_exchanges_its_colours() -> None:
    from unpooled.seeds import Streams
    from unpooled.training.streams.source import size

    flow = Checkerboard(3, drift_every=40, constant=True).open(size(2, 100), Streams(0))
    X, y = flow.block(0, 100)
    sign = np.where(np.floor(X[..., :2]).sum(axis=-1) % 2 == 0, 1.0, -1.0)
    changed = np.array([1.0 if t < 40 or t >= 80 else -1.0 for t in range(100)])
    assert (y == sign * changed[:, None, None]).all()
    assert (X[..., 2] == 1).all()
    assert X[..., :2].min() >= 0
    assert X[..., :2].max() < 3

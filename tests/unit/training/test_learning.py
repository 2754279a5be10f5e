"""Any module, any loss, any optimizer: what works where, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from tests.contract.federations import assert_same_result, held_out, net, sites, train, training
from unpooled.combine import Array
from unpooled.errors import BadData, Diverged, Unsupported
from unpooled.sites.site import Samples, Site, samples
from unpooled.training.observation import executors_of
from unpooled.training.protocols import FedAvg, FedDC, Local, Pooled, Protocol
from unpooled.training.result import Result
from unpooled.training.train import run as run_to_the_end

both = pytest.mark.parametrize("executor", ["reference", "vectorised"])


def regression_sites(n: int = 12, m: int = 3, outputs: int | None = None) -> tuple[list[Site], Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m * n, 3))
    slopes = rng.normal(size=3 if outputs is None else (3, outputs))
    y = X @ slopes + 0.3 + 0.1 * rng.normal(size=(m * n,) if outputs is None else (m * n, outputs))
    parts = [slice(i * n, (i + 1) * n) for i in range(m)]
    return [Site(f"s{i}", samples(X[p], y[p])) for i, p in enumerate(parts)], X, y


@both
@pytest.mark.parametrize("outputs", [None, 2])
def test_regression_finds_the_least_squares_line(executor: str, outputs: int | None) -> None:
    """Averaging each step is gradient descent on all samples, whose limit has a closed form."""
    members, X, y = regression_sites(outputs=outputs)
    case: dict[str, Any] = {"loss": "mse", "model": lambda: nn.Linear(3, outputs or 1).double(), "executor": executor}
    result = train(members, FedAvg(1), steps=400, lr=0.2 * (outputs or 1), test=samples(X, y), **case)
    wanted = LinearRegression().fit(X, y)
    weight = result.model.weight.detach().numpy()  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(weight, np.atleast_2d(wanted.coef_), atol=1e-8)
    error = y - wanted.predict(X)
    assert result.final("rmse") == pytest.approx(np.sqrt((error**2).mean()))
    assert result.final("mae") == pytest.approx(np.abs(error).mean())


def test_one_output_with_binary_cross_entropy_finds_the_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    members = [Site(f"s{i}", samples(X[i::3], y[i::3])) for i in range(3)]
    case: dict[str, Any] = {"loss": "binary_cross_entropy", "model": lambda: nn.Linear(2, 1).double()}
    result = train(members, FedAvg(1), steps=500, lr=2.0, executor="vectorised", test=samples(X, y), **case)
    wanted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(result.model.weight.detach().numpy(), wanted.coef_, atol=1e-5)  # type: ignore[union-attr,operator]
    assert result.final() == pytest.approx(wanted.score(X, y))


def worst(output: Tensor, target: Tensor) -> Tensor:
    """Not a mean over examples."""
    return functional.cross_entropy(output, target, reduction="none").max()


def total(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target, reduction="sum") + 0.01 * output.square().sum()


class Custom(nn.Module):
    """Parameters of its own, a branch on shape, and an operation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64))
        self.mix = nn.Parameter(torch.eye(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        out = (x * self.scale) @ self.mix
        if out.ndim == 2:
            out = out.clone()
            out += x.pow(2).mean(dim=1, keepdim=True)
        return out


@pytest.mark.parametrize("loss", [worst, total])
@pytest.mark.parametrize("model", [net, Custom])
def test_any_module_and_any_loss(model: Callable[[], nn.Module], loss: Any) -> None:
    case: dict[str, Any] = {"model": model, "loss": loss, "lr": 0.01, "batch_size": 3, "steps": 6}
    fast, slow = (train(sites([4, 2, 5]), FedDC(1, 3), executor=e, **case) for e in ("vectorised", "reference"))
    assert_same_result(fast, slow, rtol=1e-9, atol=1e-12)


def test_the_loss_that_is_no_mean_was_the_one_used() -> None:
    """One step by hand: the gradient is that of the worst sample alone."""
    site = sites([5])[0]
    result = train([site], Local(), loss=worst, steps=1, executor="reference")
    model = training([site], Local()).recipe.module
    own = site.require_train()
    losses = functional.cross_entropy(model(torch.tensor(own.X)), torch.tensor(own.y), reduction="none")
    losses[losses.argmax()].backward()
    flat = torch.cat([(p - 0.1 * p.grad).detach().reshape(-1) for p in model.parameters()])  # type: ignore[operator]
    np.testing.assert_allclose(result.rows[0], flat.numpy(), rtol=1e-12)  # type: ignore[index]


# --- what only the reference can do -----------------------------------------------------------------------------------


def test_lbfgs_works_on_the_reference_executor() -> None:
    case: dict[str, Any] = {"optimizer": "lbfgs", "lr": 0.5, "executor": "reference", "steps": 8}
    result = train(sites([10, 12]), FedAvg(4), max_iter=5, **case)
    plain = train(sites([10, 12]), FedAvg(4), lr=0.5, executor="reference", steps=8)
    trained = [r.final("train_loss", "local_mean") for r in (result, plain)]
    assert trained[0] < 0.5 * trained[1]


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).double()


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 3)).double()


def functional_dropout() -> nn.Module:
    class Sneaky(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return functional.dropout(super().forward(x), 0.5, training=self.training)

    return Sneaky(3, 3).double()


def running() -> nn.Module:
    class Running(nn.Linear):
        """Keeps a statistic by hand, as no layer of torch does."""

        def __init__(self) -> None:
            super().__init__(3, 3)
            self.register_buffer("seen", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            self.seen.mul_(0.9).add_(0.1 * x.detach().mean(dim=0))  # type: ignore[operator,union-attr]
            return super().forward(x) + self.seen

    return Running().double()


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "lbfgs": ({"optimizer": "lbfgs"}, 'LBFGS .*use executor="reference", or one of'),
    "batch norm": ({"model": batch_norm}, r"Layer '1' \(BatchNorm1d\) keeps running.*\"reference\", or GroupNorm"),
    "dropout": ({"model": dropout}, r"Layer '1' \(Dropout\) draws random numbers.*executor=\"reference\", or p=0"),
    "statistics kept by hand": ({"model": running}, "Running changes its buffer 'seen' .*\"reference\""),
    "functional dropout": ({"model": functional_dropout}, 'Sneaky cannot be trained .*: use executor="reference"'),
}  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS)
def test_the_vectorised_executor_names_the_remedy_for_what_it_cannot_do(limit: str) -> None:
    settings, text = LIMITS[limit]
    with pytest.raises(Unsupported, match=text):
        train(sites([4, 4]), FedAvg(1), executor="vectorised", **settings)


@pytest.mark.parametrize("limit", LIMITS)
def test_auto_falls_back_and_says_why(limit: str) -> None:
    settings, text = LIMITS[limit]
    run = training(sites([4, 4]), FedAvg(1), executor="auto", **settings)
    assert run.executor == "reference"
    with pytest.raises(Unsupported, match=text):
        raise Unsupported(run.executor_reason)


def test_auto_says_what_it_measured() -> None:
    run = training(sites([4, 4]), FedAvg(1), executor="auto")
    assert run.executor in ("reference", "vectorised")
    assert "one local step of all 2 sites: vectorised " in run.executor_reason
    assert training(sites([4]), FedAvg(1), executor="reference").executor_reason == "asked for"


@pytest.mark.parametrize("executor", ["auto", "reference"])
def test_measuring_leaves_no_trace(executor: str) -> None:
    """The trial steps of `auto` change neither models nor buffers, nor the traffic."""
    case: dict[str, Any] = {"executor": executor, "model": batch_norm, "batch_size": 2}
    wanted = train(sites([4, 4]), FedDC(1, 3), **{**case, "executor": "reference"})
    found = train(sites([4, 4]), FedDC(1, 3), **case)
    assert np.array_equal(found.rows, wanted.rows)  # type: ignore[arg-type]
    assert found.traffic == wanted.traffic


# --- buffers ----------------------------------------------------------------------------------------------------------


def statistics(buffers: str, protocol: Protocol) -> list[Tensor]:
    run = training(sites([4, 6, 5]), protocol, model=batch_norm, buffers=buffers, executor="reference")
    while not run.done:
        run.advance()
    (executor,) = executors_of(run.federation)
    return [kept["module"]["1.running_mean"] for kept in executor.state().values()]


def test_running_statistics_travel_and_are_averaged() -> None:
    a, b, c = statistics("travel", FedAvg(2))
    assert torch.equal(a, b)
    assert torch.equal(b, c)


def test_running_statistics_stay_where_they_are() -> None:
    a, b, _ = statistics("stay", FedAvg(2))
    assert not torch.allclose(a, b)
    alone, _, _ = statistics("stay", Local())
    assert not torch.allclose(a, alone), "they follow the model, which was averaged"


def test_counters_stay_integers() -> None:
    result = train(sites([4, 6]), FedAvg(2), model=batch_norm, executor="reference")
    assert result.model.state_dict()["1.num_batches_tracked"].dtype is torch.int64


def test_buffers_that_stay_cost_nothing() -> None:
    travel, stay = (
        train(sites([4, 6]), FedAvg(2), model=batch_norm, buffers=b, executor="reference") for b in ("travel", "stay")
    )
    models = 2 * (6 + 7)  # up: 6 events; down: those and the first model
    saved = travel.traffic.total_bytes("train") - stay.traffic.total_bytes("train")
    assert saved == models * 8 * 8


# --- schedule ---------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("protocol", [FedDC(1, 4), FedAvg(3), FedAvg(3, fraction=0.5), Pooled()])
def test_a_schedule_follows_the_global_step(protocol: Protocol, executor: str) -> None:
    """Each step t is taken with lr(t): with steps of 0 but for one, only that one moves the models."""
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.1 if step == 5 else 0.0

    case: dict[str, Any] = {"executor": executor, "steps": 9, "batch_size": 2}
    result = train(sites([4, 6, 5]), protocol, lr=schedule, **case)
    shorter = train(sites([4, 6, 5]), protocol, lr=schedule, **{**case, "steps": 5})
    start = training(sites([4]), Local()).recipe.module
    flat = torch.cat([p.detach().reshape(-1) for p in start.parameters()]).numpy()
    np.testing.assert_allclose(shorter.rows, np.tile(flat, (len(shorter.rows), 1)), rtol=1e-14)  # type: ignore[arg-type]
    assert np.abs(result.rows - flat).max() > 1e-3  # type: ignore[operator]
    assert set(asked) == set(range(9))


# --- what stops a run -------------------------------------------------------------------------------------------------


def explosive(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target) * output.abs().sum().pow(8)


def linear() -> nn.Module:
    return nn.Linear(3, 3).double()


@both
def test_a_loss_that_is_no_number_stops_the_run_naming_site_and_step(executor: str) -> None:
    members = sites([4, 4, 4])
    bad = members[1].require_train()
    members[1].train = Samples(np.full_like(bad.X, 1e200), bad.y)
    run = training(members, FedAvg(2), steps=8, executor=executor, loss=explosive, model=linear)
    with pytest.raises(Diverged, match=r"training loss at site 'b' is (nan|inf) in local steps 1 to 2: lower lr, or"):
        run.advance()
    alone = training(members[:1], FedAvg(1), steps=8, lr=1e99, executor=executor, loss=explosive, model=linear)
    alone.advance()
    with pytest.raises(Diverged, match=r"site 'a' is (nan|inf) in local step 2: lower lr"):
        alone.advance()


def test_what_was_measured_before_a_run_stopped_is_kept() -> None:
    run = training(sites([4]), FedAvg(1), steps=8, lr=1e6, executor="reference", loss=explosive, evaluate_every=1)
    with pytest.raises(Diverged):
        run_to_the_end(run)
    assert run.coordinator.step >= 1
    assert {row[0] for row in run.result.history} == set(range(1, run.coordinator.step + 1))


@pytest.mark.parametrize("executor", ["auto", "reference", "vectorised"])
def test_an_empty_site_is_named(executor: str) -> None:
    members = sites([4, 4])
    members[1].train = samples(np.zeros((0, 3)), np.zeros(0, dtype=int))
    with pytest.raises(BadData, match=r"Site 'b': it has no training samples: leave it out, or give it at least one\."):
        training(members, FedAvg(1), executor=executor)
    with pytest.raises(BadData, match="Site 'b': it has no training samples"):
        training([members[0], Site("b")], FedAvg(1), executor=executor)


def test_samples_that_do_not_fit_the_model_are_refused_by_name() -> None:
    wide = Site("z", samples(np.ones((4, 5)), np.zeros(4, dtype=int)))
    with pytest.raises(BadData, match=r"Site 'z': its samples of shape \(5,\) do not go through the model"):
        train([*sites([4]), wide], FedAvg(1), executor="vectorised")


@pytest.mark.parametrize("executor", ["reference", "vectorised", "auto"])
def test_a_class_that_the_model_has_no_output_for_is_refused_by_name(executor: str) -> None:
    rng = np.random.default_rng(0)
    members = [Site(name, samples(rng.normal(size=(4, 5)), [0, 1, 2, top])) for name, top in (("a", 2), ("b", 3))]
    with pytest.raises(BadData, match=r"Site 'b': it holds class number 3, but the model has outputs for 0 to 2 only"):
        train(members, FedAvg(1), model=lambda: nn.Linear(5, 3).double(), executor=executor, test=members[0].train)


def test_samples_of_different_shapes_that_fit_one_model_need_the_reference() -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).double()

    rng = np.random.default_rng(0)
    members = [Site(f"s{k}", samples(rng.normal(size=(4, 1, k, k)), [0, 1, 0, 1])) for k in (5, 6)]
    with pytest.raises(Unsupported, match="Sites hold samples of different shapes"):
        train(members, FedAvg(1), model=model, executor="vectorised", test=members[0].train)
    train(members, FedAvg(1), model=model, executor="reference", test=members[0].train)


def test_images_and_whole_number_inputs() -> None:
    rng = np.random.default_rng(0)
    images = [Site(n, samples(rng.normal(size=(4, 1, 6, 6)), rng.integers(0, 3, 4))) for n in "ab"]
    words = [Site(n, Samples(rng.integers(0, 9, (4, 5)), rng.integers(0, 3, 4))) for n in "ab"]
    cases: list[tuple[list[Site], Callable[[], nn.Module]]] = [
        (images, lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)).double()),
        (words, lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)).double()),
    ]
    for members, model in cases:
        fast, slow = (
            train(members, FedDC(1, 3), model=model, executor=e, steps=4, test=members[0].train)
            for e in ("vectorised", "reference")
        )
        assert_same_result(fast, slow, rtol=1e-9, atol=1e-12)


def test_a_result_knows_its_models() -> None:
    result: Result = train(sites([4, 6]), FedAvg(4), executor="reference")
    assert list(result.models) == ["a", "b"]
    row = torch.cat([v.reshape(-1) for v in result.models["b"].values()]).numpy()
    assert np.array_equal(row, result.rows[1])  # type: ignore[index]
    with torch.no_grad():
        predicted = result.model(torch.tensor(held_out().X)).argmax(dim=1).numpy()
    assert result.final() == pytest.approx((predicted == held_out().y).mean())
    assert not result.model.training
    with pytest.raises(KeyError, match="aggregate nothing"):
        result.final("nothing")

"""Metrics against scikit-learn, whole or in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import nn

from tests.contract.federations import sites, train, training
from unpooled.combine import Array
from unpooled.errors import BadData
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training import evaluation
from unpooled.training.evaluation import Evaluated, merged, metrics, score
from unpooled.training.layout import layout_of, row_of
from unpooled.training.protocols import FedAvg, Local, Pooled
from unpooled.training.recipe import recipe
from unpooled.training.train import initialised


class Echo(nn.Module):
    """Answers its input: logits or predictions chosen by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.none


def measure(outputs: Array, y: Array, loss: str = "cross_entropy") -> Evaluated:
    made = recipe(Echo(), loss=loss, lr=0.1)
    layout = layout_of(made.module)
    return score(made, layout, row_of(made.module, layout).numpy(), Samples(outputs, y))


@settings(deadline=None)
@given(n=st.integers(1, 60), classes=st.integers(2, 5), seed=st.integers(0, 99))
def test_classification(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, y = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    found, predicted = metrics(measure(logits, y)), logits.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted))
    recalls = sk.recall_score(y, predicted, labels=np.unique(y), average=None, zero_division=0)
    assert found["balanced_accuracy"] == pytest.approx(recalls.mean())
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(sk.log_loss(y, probabilities, labels=range(classes)))
    confusion = sk.confusion_matrix(y, predicted, labels=range(classes))
    assert np.array_equal(measure(logits, y).confusion, confusion)  # type: ignore[arg-type]


@settings(deadline=None)
@given(n=st.integers(1, 60), outputs=st.integers(1, 3), seed=st.integers(0, 99))
def test_regression(n: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, y = rng.normal(size=(n, outputs)), rng.normal(size=n) if outputs == 1 else rng.normal(size=(n, outputs))
    found = metrics(measure(predicted, y, "mse"))
    wanted = y.reshape(n, outputs)
    assert found["loss"] == pytest.approx(sk.mean_squared_error(wanted, predicted))
    assert found["rmse"] == pytest.approx(np.sqrt(sk.mean_squared_error(wanted, predicted)))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(wanted, predicted))


@pytest.mark.parametrize("shape", [(40, 1), (40,)])
def test_one_output_and_two_classes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=shape), rng.integers(0, 2, 40)
    found = metrics(measure(logits, y, "binary_cross_entropy"))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, logits.ravel() > 0))
    assert found["loss"] == pytest.approx(sk.log_loss(y, 1 / (1 + np.exp(-logits.ravel()))))


def test_a_class_that_the_model_does_not_know_counts_as_missed() -> None:
    confusion = measure(np.eye(3)[[0, 1, 2]], np.array([0, 1, 2])).confusion
    assert confusion is not None
    assert confusion.trace() == 3

    def lenient(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return output.mean()

    made = recipe(Echo(), loss=lenient, lr=0.1)
    layout = layout_of(made.module)
    found = score(made, layout, row_of(made.module, layout).numpy(), Samples(np.eye(2), np.array([0, 3])))
    assert metrics(found)["accuracy"] == 0.5


def test_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    whole = measure(logits, y)
    by_site = merged([measure(logits[:7], y[:7]), measure(logits[7:], y[7:])])
    monkeypatch.setattr(evaluation, "CHUNK", 8)
    for parts in (by_site, measure(logits, y)):
        assert metrics(parts) == pytest.approx(metrics(whole))
        assert np.array_equal(parts.confusion, whole.confusion)  # type: ignore[arg-type]


def test_sites_that_know_different_classes_add_up() -> None:
    few, many = measure(np.eye(2), np.array([0, 1])), measure(np.eye(4)[[3]], np.array([3]))
    assert merged([few, many]).confusion.tolist() == np.diag([1, 1, 0, 1]).tolist()  # type: ignore[union-attr]


# --- over a federation ------------------------------------------------------------------------------------------------


def sites_with_tests() -> list[Site]:
    members = sites([4, 5, 6])
    for site, tests in zip(members, (3, 7, 0), strict=True):
        held = sites([tests + 1], seed=tests)[0].require_train()
        site.test = Samples(held.X[:tests], held.y[:tests]) if tests else None
    return members


@pytest.mark.parametrize("protocol", [FedAvg(3), Local(), Pooled()])
def test_sites_test_the_aggregate_on_their_own_samples(protocol: FedAvg | Local | Pooled) -> None:
    from tests.contract.federations import net
    from unpooled.training.train import Training, run

    members = sites_with_tests()
    made = recipe(initialised(net, 0), lr=0.1, executor="reference")
    result = run(Training(InProcess.of(members), made, protocol, steps=5, evaluate_every=5))
    X = np.concatenate([s.test.X for s in members if s.test is not None])
    y = np.concatenate([s.test.y for s in members if s.test is not None])
    with torch.no_grad():
        predicted = result.model(torch.tensor(X)).argmax(dim=1).numpy()
    assert result.final() == pytest.approx(sk.accuracy_score(y, predicted))
    assert set(result.per_site) >= {("a", "aggregate"), ("b", "aggregate")}
    assert ("c", "aggregate") not in result.per_site
    assert result.traffic.total_bytes("evaluate") > 0


def test_local_models_mean_and_worst() -> None:
    run_ = training(sites([4, 5, 6]), Local(), steps=5)
    result = train(sites([4, 5, 6]), Local(), steps=5)
    test = run_.evaluator.test
    assert test is not None
    accuracies, losses = [], []
    for name in result.names:
        module = result.model
        module.load_state_dict(result.models[name])
        with torch.no_grad():
            logits = module(torch.tensor(test.X))
        accuracies.append(sk.accuracy_score(test.y, logits.argmax(dim=1)))
        losses.append(float(nn.functional.cross_entropy(logits, torch.tensor(test.y))))
    assert result.final(model="local_mean") == pytest.approx(np.mean(accuracies))
    assert result.final(model="local_min") == pytest.approx(min(accuracies))
    assert result.final("loss", "local_min") == pytest.approx(max(losses)), "the worst loss is the largest"


def test_nothing_to_test_on_is_refused() -> None:
    from tests.contract.federations import net
    from unpooled.training.train import Training

    made = recipe(initialised(net, 0), lr=0.1)
    with pytest.raises(BadData, match=r"nothing to test on: give test=\(X, y\), or load the sites with"):
        Training(InProcess.of(sites([4])), made, FedAvg(1), steps=3)


def test_samples_are_checked() -> None:
    with pytest.raises(BadData, match="X holds 2 samples and y 1"):
        samples([[1.0], [2.0]], [0])
    with pytest.raises(BadData, match=r"X has a missing or infinite value, first at index \(1, 0\)"):
        samples([[1.0], [np.nan]], [0, 1])
    with pytest.raises(BadData, match="X holds <U1 where numbers belong"):
        samples([["a"]], [0])
    with pytest.raises(BadData, match="y holds <U1 where class numbers"):
        samples([[1.0]], ["a"])

"""Proposition 3 of Kamp et al., 2018, for summed and for mean losses, on the executors that train."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.contract.federations import net, sites, train
from tests.oracle.by_hand import flat
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.batches import Batches
from unpooled.training.learning_rate import suggest_lr
from unpooled.training.protocols import FedAvg, FedDC
from unpooled.training.train import initialised

M, B, STEPS = 4, 3, 7
runs = pytest.mark.parametrize(("executor", "steps"), [("reference", 1), ("reference", STEPS), ("vectorised", STEPS)])


def summed(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target, reduction="sum")


LOSSES: dict[str, Any] = {"sum": summed, "mean": functional.cross_entropy}


def serial(loss: str, lr: float, steps: int = STEPS) -> Array:
    """One learner that takes each step on the union of the batches that the sites draw."""
    members = sites([9] * M)
    batches = [Batches(Streams(0), site.name, 9, B) for site in members]
    model = initialised(net, 0)
    for t in range(steps):
        drawn = [(site.require_train(), batch(t)) for site, batch in zip(members, batches, strict=True)]
        X = torch.tensor(np.concatenate([own.X[index] for own, index in drawn]))
        y = torch.tensor(np.concatenate([own.y[index] for own, index in drawn]))
        model.zero_grad()
        LOSSES[loss](model(X), y).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= lr * parameter.grad  # type: ignore[operator]
    return flat(model)


def averaged(loss: str, lr: float, period: int = 1, steps: int = STEPS, executor: str = "reference") -> Array:
    case: dict[str, Any] = {"loss": LOSSES[loss], "batch_size": B, "lr": lr, "steps": steps, "executor": executor}
    found = train(sites([9] * M), FedAvg(period), **case).aggregate_row
    assert found is not None
    return found


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@runs
def test_with_a_summed_loss_averaging_divides_the_learning_rate(steps: int, executor: str) -> None:
    close(averaged("sum", 0.1, steps=steps, executor=executor), serial("sum", 0.1 / M, steps))


@runs
def test_with_a_mean_loss_the_learning_rate_stays(steps: int, executor: str) -> None:
    close(averaged("mean", 0.1, steps=steps, executor=executor), serial("mean", 0.1, steps))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_suggested_rate_gives_the_serial_steps(loss: Any) -> None:
    close(averaged(loss, suggest_lr(0.02, sites=M, loss=loss)), serial(loss, 0.02))
    other = averaged(loss, suggest_lr(0.02, sites=M, loss="mean" if loss == "sum" else "sum"))
    assert np.abs(other - serial(loss, 0.02)).max() > 1e-3


def test_hops_do_not_change_that() -> None:
    case: dict[str, Any] = {"loss": summed, "batch_size": B, "lr": 0.02 * M, "steps": STEPS, "executor": "reference"}
    close(train(sites([9] * M), FedDC(1, 1), **case).aggregate_row, serial("sum", 0.02))


def test_several_local_steps_agree_to_first_order_only() -> None:
    """Half the rate, a quarter of the difference: it is of second order, and there is one, so no rate is suggested."""
    gaps = [np.abs(averaged("mean", lr, 4, 4) - serial("mean", lr, 4)).max() for lr in (0.02, 0.01, 0.005)]
    assert gaps[2] > 1e-7
    for larger, smaller in pairwise(gaps):
        assert abs(larger / smaller - 4) < 0.2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"aggregate_period": 2}, "With 2 local steps between averagings no learning rate equals a serial one"),
    ({"optimizer": "Adam"}, "Only for plain SGD .* not for Adam"),
    ({"loss": "average"}, "loss must be 'mean' or 'sum'"),
    ({"sites": 0}, "sites must be a whole number"),
    ({"lr": 0.0}, "lr must be a finite number above 0"),
]


@pytest.mark.parametrize(("settings", "text"), REFUSED)
def test_where_nothing_is_known_nothing_is_suggested(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        suggest_lr(**{"lr": 0.1, "sites": 3, **settings})


def test_the_model_here_is_not_linear() -> None:
    """Else the tests above would hold for a trivial reason."""
    assert isinstance(net()[1], nn.Tanh)

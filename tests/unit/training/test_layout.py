"""A model as one row of numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.contract.federations import assert_same_result, net, sites, train
from unpooled.errors import BadSetting, Unsupported
from unpooled.training.layout import layout_of, row_of, unflatten, write_row
from unpooled.training.protocols import FedAvg, FedDC, Local


class Tied(nn.Module):
    """The last layer uses the weight of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)
        self.last.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(x)))


def frozen() -> nn.Module:
    model = net()
    model[0].weight.requires_grad_(False)  # type: ignore[index]
    return model


def test_columns_are_in_the_order_of_named_parameters() -> None:
    layout = layout_of(net())
    assert layout.layers == {
        "0.weight": slice(0, 12),
        "0.bias": slice(12, 16),
        "2.weight": slice(16, 28),
        "2.bias": slice(28, 31),
    }
    assert layout.width == layout.model_width == layout.parameter_width == 31
    assert layout.dtype is torch.float64


def test_a_row_survives_the_way_into_a_module_and_back() -> None:
    model, other = nn.Sequential(net(), nn.BatchNorm1d(3).double()), nn.Sequential(net(), nn.BatchNorm1d(3).double())
    layout = layout_of(model)
    row = torch.arange(layout.width, dtype=torch.float64)
    write_row(other, layout, row)
    assert torch.equal(row_of(other, layout), row)
    for name, value in unflatten(row, {**layout.parameters, **layout.buffers}).items():
        assert torch.equal(other.state_dict()[name], value)


def test_some_layers_of_a_row_leave_the_others_alone() -> None:
    model = net()
    before = row_of(model, layout_of(model)).clone()
    write_row(model, layout_of(model), torch.full((31,), 7.0, dtype=torch.float64), ["0.bias"])
    after = row_of(model, layout_of(model))
    assert (after[12:16] == 7).all()
    assert torch.equal(after[:12], before[:12])
    assert torch.equal(after[16:], before[16:])


def test_tied_weights_are_one_part_of_the_row() -> None:
    layout = layout_of(Tied())
    assert list(layout.parameters) == ["first.weight", "first.bias", "last.bias"]
    assert layout.width == 9 + 3 + 3


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_tied_weights_stay_tied_and_learn_from_both_uses(executor: str) -> None:
    result = train(sites([4, 5]), FedDC(1, 3), model=lambda: Tied().double(), executor=executor)
    assert torch.equal(result.model.first.weight, result.model.last.weight)  # type: ignore[union-attr]
    slow = train(sites([4, 5]), FedDC(1, 3), model=lambda: Tied().double(), executor="reference")
    assert_same_result(result, slow, rtol=1e-9)


def test_frozen_parameters_are_no_columns() -> None:
    assert list(layout_of(frozen()).parameters) == ["0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_frozen_parameters_stay_and_are_not_sent(executor: str) -> None:
    result = train(sites([4, 4]), FedAvg(2), model=frozen, executor=executor)
    assert torch.equal(result.model[0].weight, result.recipe.module[0].weight)  # type: ignore[index]
    assert not torch.equal(result.model[0].bias, result.recipe.module[0].bias)  # type: ignore[index]
    assert result.traffic.table(["train"])[0, 1] == 6 * (9 + 19 * 8) + 9 + 1


def test_buffers_follow_and_counters_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert list(layout_of(model).buffers) == ["1.running_mean", "1.running_var"]
    assert layout_of(model, buffers_travel=False).buffers == {}
    assert layout_of(model).width == layout_of(model, buffers_travel=False).width + 4


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).double()), r"mixes torch\.float32, torch\.float64"),
        (lambda: nn.Linear(3, 3).half(), r"parameters are torch\.float16: cast it with \.float\(\)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("executor", ["reference", "vectorised", "auto"])
def test_types_that_cannot_be_one_row_are_refused(model: object, text: str, executor: str) -> None:
    with pytest.raises(Unsupported, match=text):
        train(sites([4]), Local(), model=model, executor=executor)  # type: ignore[arg-type]


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(BadSetting, match="Flatten has no trainable parameter: there is nothing to learn"):
        train(sites([4]), Local(), model=nn.Flatten())

"""Relative flatness: four forms agree, scaling layers changes nothing, and a quadratic loss has its closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.connectivity.nets import Residual, mlp, seeded
from unpooled.connectivity.flatness import relative_flatness
from unpooled.errors import BadSetting, Unsupported


@pytest.fixture
def data() -> Any:
    return torch.randn(40, 12, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 5


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_the_four_forms_agree(layer: str, data: Any) -> None:
    model = mlp(0, (12, 8, 6, 5))
    exact = relative_flatness(model, layer, data, form="hessian").value
    assert exact > 0
    assert relative_flatness(model, layer, data, form="outputs").value == pytest.approx(exact, rel=1e-9)
    drawn = relative_flatness(model, layer, data, draws=400)
    assert abs(drawn.value - exact) < 4 * drawn.standard_error < 0.5 * exact
    if layer == "4":
        assert relative_flatness(model, layer, data, form="softmax").value == pytest.approx(exact, rel=1e-9)
    else:
        with pytest.raises(Unsupported, match="for the last layer"):
            relative_flatness(model, layer, data, form="softmax")


def test_a_layer_scaled_up_and_the_next_one_down_changes_nothing(data: Any) -> None:
    model, scaled = mlp(1, (12, 8, 6, 5)).double(), mlp(1, (12, 8, 6, 5)).double()
    with torch.no_grad():
        scaled[2].weight.mul_(5)  # type: ignore[index, union-attr]
        scaled[2].bias.mul_(5)  # type: ignore[index, union-attr]
        scaled[4].weight.div_(5)  # type: ignore[index, union-attr]
    for layer in "024":
        before, after = (relative_flatness(one, layer, data, form="outputs").value for one in (model, scaled))
        assert after == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize("form", ["outputs", "hessian"])
def test_one_output_and_squared_loss(form: str, data: Any) -> None:
    """kappa = 2 |w|^2 E |phi|^2."""
    model = nn.Sequential(seeded(lambda: nn.Linear(12, 1), 0))
    wanted = 2 * float(model[0].weight.detach().double().square().sum()) * float(data[0].square().sum(1).mean())
    found = relative_flatness(model, "0", (data[0], torch.randn(40)), form=form).value
    assert found == pytest.approx(wanted, rel=1e-6)


def test_a_convolution_by_products_and_by_its_whole_hessian() -> None:
    X, y = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    model = Residual(norm=False)
    exact = relative_flatness(model, "stem", (X, y), form="hessian").value
    drawn = relative_flatness(model, "stem", (X, y), draws=300)
    assert abs(drawn.value - exact) < 4 * drawn.standard_error
    with pytest.raises(Unsupported, match="take the form 'products'"):
        relative_flatness(model, "stem", (X, y), form="outputs")


def test_bad_settings_name_what_there_is(data: Any) -> None:
    with pytest.raises(BadSetting, match="there are 0, 2, 4"):
        relative_flatness(mlp(0, (12, 8, 6, 5)), "1", data)
    with pytest.raises(BadSetting, match="Did you mean 'outputs'"):
        relative_flatness(mlp(0, (12, 8, 6, 5)), "0", data, form="output")


@pytest.mark.parametrize("classes", [True, False])
def test_samples_may_be_taken_some_at_a_time(data: Any, classes: bool) -> None:
    """The Hessian of a mean is the mean of Hessians, also where the last batch is smaller."""
    X, y = data
    given = (X, y) if classes else (X, torch.nn.functional.one_hot(y, 10).double())
    model = mlp(0, (X.shape[1], 12, 10))
    whole = relative_flatness(model, "0", given, draws=6, batch_size=len(X))
    parts = relative_flatness(model, "0", given, draws=6, batch_size=17)
    assert parts.value == pytest.approx(whole.value, rel=1e-10)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-8)

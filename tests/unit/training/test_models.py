"""The models that configs can name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unpooled as up
from unpooled.errors import BadSetting
from unpooled.training.models import CNN, MODELS, ResNet


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_thin_resnet_has_the_number_of_parameters_of_the_paper() -> None:
    # FedDC's reference code: three stages of 16, 32 and 64 channels, two blocks each, 175,818 parameters.
    assert parameters(ResNet().build((3, 32, 32), 10)) == 175_818


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 5, 7)])
@pytest.mark.parametrize("model", [CNN(), CNN(halve="stride"), ResNet(widths=(4, 8), blocks=1)], ids=repr)
def test_images_of_any_size_become_one_number_a_class(model: CNN | ResNet, shape: tuple[int, int, int]) -> None:
    assert model.build(shape, 4)(torch.zeros(2, *shape)).shape == (2, 4)


def test_striding_and_pooling_differ_in_cost_and_not_in_size_for_even_images() -> None:
    pool, stride = CNN().build((1, 32, 32), 2), CNN(halve="stride").build((1, 32, 32), 2)
    assert [p.shape for p in pool.parameters()] == [p.shape for p in stride.parameters()]


@pytest.mark.parametrize("model", [CNN((4, 8), halve="stride"), ResNet(widths=(4, 8), blocks=1)], ids=repr)
def test_both_executors_train_it_alike(model: CNN | ResNet) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.random((12, 1, 8, 8), dtype=np.float32), rng.integers(0, 2, 12)
    sites = up.split(X, y, sites=3, samples=4, seed=0)
    ends = [
        up.train(
            lambda: model.build((1, 8, 8), 2), sites, up.FedDC(1, 3), steps=5, lr=0.1, executor=executor, test=(X, y)
        ).model.state_dict()
        for executor in ("reference", "vectorised")
    ]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][name], rtol=1e-4, atol=1e-5)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(BadSetting, match="multiples of groups"):
        ResNet(widths=(6,))
    with pytest.raises(BadSetting, match="needs images"):
        ResNet().build((30,), 2)
    with pytest.raises(BadSetting, match="'pool' or 'stride'"):
        CNN(halve="half")  # type: ignore[arg-type]
    assert set(MODELS) == {"linear", "mlp", "cnn", "resnet"}

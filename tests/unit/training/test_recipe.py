"""Settings of a site's training, and what is said of those that cannot be."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
import torch
from torch import nn

from unpooled.errors import BadSetting
from unpooled.training.recipe import LOSSES, OPTIMIZERS, recipe
from unpooled.training.train import initialised

MODEL = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"loss": "crossentropy"}, "There is no loss 'crossentropy'; there are .* Did you mean 'cross_entropy'?"),
        ({"optimizer": "adamm"}, "There is no optimizer 'adamm'; there are .* Did you mean 'adam'?"),
        ({"optimizer_state": "keep"}, "There is no optimizer_state 'keep'; there are reset, stay, travel"),
        ({"buffers": "reset"}, "There is no buffers 'reset'; there are travel, stay"),
        ({"executor": "vectorized"}, "Did you mean 'vectorised'?"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.0}, "batch_size must be a whole number of at least 1, got 2.0"),
        ({"lr": 0.0}, "lr must be above 0, got 0.0"),
        ({"lr": -1}, "lr must be above 0, got -1"),
        ({"lr": float("nan")}, "lr must be above 0, got nan"),
        ({"momentun": 0.9}, "The optimizer cannot be made with these settings: .*momentun"),
        ({"momentum": -1.0}, "The optimizer cannot be made with these settings: Invalid momentum value"),
    ],
)
def test_bad_settings(given: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        recipe(MODEL, **{"lr": 0.1, **given})


NAMED: list[dict[str, Any]] = [
    {"optimizer": "SGD"},
    {"optimizer": torch.optim.Adam},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": functools.partial(torch.optim.SGD, momentum=0.9)},
]


@pytest.mark.parametrize("given", NAMED)
def test_optimizers_by_name_class_or_partial(given: dict[str, Any]) -> None:
    made = recipe(MODEL, lr=0.5, **given)
    optimizer = made.new_optimizer(MODEL.parameters())
    assert optimizer.param_groups[0]["lr"] == 0.5
    for name in ("weight_decay", "momentum"):
        if name in given:
            assert optimizer.param_groups[0][name] == given[name]


def test_there_are_the_losses_and_optimizers_that_configs_name() -> None:
    assert set(LOSSES) == {"cross_entropy", "binary_cross_entropy", "mse"}
    assert {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lbfgs"} <= set(OPTIMIZERS)


def test_a_recipe_describes_itself_the_same_each_time() -> None:
    def words(**given: Any) -> dict[str, Any]:
        return json.loads(recipe(nn.Linear(2, 2), lr=0.1, **given).describe())  # type: ignore[no-any-return]

    assert words() == words()
    assert words(momentum=0.9)["optimizer"] == "SGD(momentum=0.9)"
    assert words()["model"] == "Linear of 6 parameters"
    assert words(seed=1) != words(seed=2)
    assert words(loss="mse") != words()
    assert words(executor="reference") == words(executor="vectorised"), "each site takes its own"


def test_a_schedule_is_asked_for_the_global_step() -> None:
    made = recipe(MODEL, lr=lambda t: 1.0 / (1 + t))
    assert [made.rate(t) for t in (0, 1, 3)] == [1.0, 0.5, 0.25]
    assert recipe(MODEL, lr=0.1).rate(99) == 0.1


# --- initialised ------------------------------------------------------------------------------------------------------


def test_a_seed_gives_one_model_and_leaves_the_global_stream_alone() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.LayerNorm(3))
    before = torch.get_rng_state()
    for make in (lambda: nn.Linear(4, 3), module):
        one, again, other = (list(initialised(make, seed).parameters())[0] for seed in (1, 1, 2))  # noqa: RUF015
        assert torch.equal(one, again)
        assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_that_was_given_keeps_its_weights() -> None:
    model = nn.Linear(4, 3)
    weights = model.weight.clone()
    fresh = initialised(model, 1)
    assert torch.equal(model.weight, weights)
    assert not torch.equal(fresh.weight, weights)  # type: ignore[arg-type]


class Stubborn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (3, "model must be a torch.nn.Module or a function that makes one, got 3"),
        (lambda: 3, "model must be a torch.nn.Module or a function that makes one, got"),
        (nn.Sequential(Stubborn()), r"Layer '0' \(Stubborn\) cannot draw new weights for each seed: give a function"),
    ],
)
def test_models_that_cannot_be_drawn(model: Any, text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        initialised(model, 0)
    assert isinstance(initialised(Stubborn, 0), Stubborn)

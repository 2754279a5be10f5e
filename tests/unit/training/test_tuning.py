"""How a learning rate is chosen from what was tried."""

from __future__ import annotations

from typing import Any

import pytest

from unpooled.errors import BadSetting
from unpooled.training.tuning import Trial, Tune, choose


def trial(lr: float, seed: int = 0, error: str | None = None, protocol: str = "A", **values: float) -> Trial:
    return Trial(protocol, seed, lr, values, error)


def test_the_best_mean_over_tuning_seeds_wins() -> None:
    tried = [trial(0.1, 0, accuracy=0.9), trial(0.1, 1, accuracy=0.5), trial(0.3, 0, accuracy=0.8)]
    assert choose([*tried, trial(0.3, 1, accuracy=0.7)], "accuracy") == 0.3


def test_lower_is_better_for_errors() -> None:
    assert choose([trial(0.1, rmse=2.0), trial(0.3, rmse=3.0)], "rmse") == 0.1


def test_equal_accuracy_is_told_apart_by_loss_and_then_the_smaller_rate_wins() -> None:
    tied = [trial(0.1, accuracy=0.8, loss=0.7), trial(0.3, accuracy=0.8, loss=0.5), trial(0.9, accuracy=0.8, loss=0.5)]
    assert choose(tied, "accuracy") == 0.3


def test_a_rate_that_failed_under_one_seed_is_out() -> None:
    tried = [trial(0.1, accuracy=0.4), trial(0.1, 1, accuracy=0.4), trial(9.0, accuracy=0.99)]
    assert choose([*tried, trial(9.0, 1, error="diverged")], "accuracy") == 0.1
    with pytest.raises(BadSetting, match=r"None of the learning rates \[9.0\] could be tried to the end: diverged"):
        choose([trial(9.0, error="diverged")], "accuracy")


def test_each_protocol_and_seed_chooses_from_its_own_trials() -> None:
    results = {("A", 0): (0.9, 0.1), ("A", 1): (0.1, 0.2), ("B", 0): (0.1, 0.9)}
    tried = [
        trial(rate, seed, protocol=label, accuracy=accuracy)
        for (label, seed), found in results.items()
        for rate, accuracy in zip((0.1, 0.3), found, strict=True)
    ]
    alone, joint = Tune(lr=[0.1, 0.3]), Tune(lr=[0.1, 0.3], seeds=[0, 1])
    assert (alone.chosen(tried, "A", 0), alone.chosen(tried, "A", 1), alone.chosen(tried, "B", 0)) == (0.1, 0.3, 0.3)
    assert (joint.chosen(tried, "A", 0), joint.chosen(tried, "A", 7)) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": []}, "different numbers above 0"),
        ({"lr": [0.1, 0.1]}, "different numbers above 0"),
        ({"lr": [0.0]}, "different numbers above 0"),
        ({"lr": [0.1], "validation_fraction": 1.0}, "between 0 and 1"),
        ({"lr": [0.1], "steps": 0}, "at least 1"),
        ({"lr": [0.1], "seeds": []}, "tune.seeds"),
        ({"lr": [0.1], "metric": "acuracy"}, "one of accuracy, balanced_accuracy"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        Tune(**settings)

"""Sweeps over settings of pairs: what is asked for is trained, what fails is listed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unpooled.connectivity import PairSettings, connect, instability, sweep, train_pair
from unpooled.errors import BadSetting


def make() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))


@pytest.fixture
def rows(digits: Any) -> Any:
    X, y = digits
    return (X[:300], y[:300]), (X[1200:], y[1200:])


def test_a_row_is_what_connect_says_of_that_pair(rows: Any) -> None:
    base = PairSettings(epochs=3, same_init=True)
    found = sweep(make, *rows, {"lr": [0.05], "optimizer": ["sgd"]}, base=base, seeds=[4])
    pair = train_pair(make, *rows[0], PairSettings(epochs=3, same_init=True, lr=0.05, seed=4))
    wanted = connect(pair.a, pair.b, rows[1], cuts=("full", "layer"))
    table = found.table()
    assert table["full"].item() == pytest.approx(wanted.barrier(metric="error"))
    layers = wanted.barriers.query("kind == 'layer' and metric == 'error' and reference == 'mean'")
    assert table["highest_layer"].item() == pytest.approx(layers.groupby("part")["barrier"].mean().max())
    assert table["distance"].item() == pytest.approx(wanted.layers.set_index("layer").loc["all", "distance"])


def test_what_diverges_is_listed_and_the_rest_goes_on(rows: Any) -> None:
    found = sweep(make, *rows, {"lr": [0.05, 1e38]}, base=PairSettings(epochs=2), seeds=[0, 1])
    assert found.diverged["lr"].tolist() == [1e38, 1e38]
    assert found.table()["seeds"].tolist() == [2]


@pytest.mark.parametrize(
    ("grid", "word"),
    [({"learning_rate": [0.1]}, "no setting"), ({"split": ["half"]}, "halves"), ({"lr": []}, "at least one value")],
)
def test_bad_grids_are_refused_before_training(grid: dict[str, Any], word: str, rows: Any) -> None:
    def never() -> torch.nn.Module:
        raise AssertionError("a model was made")

    with pytest.raises(BadSetting, match=word):
        sweep(never, *rows, grid)


def test_models_that_part_later_are_more_stable(rows: Any) -> None:
    """With these settings the whole training has 10 steps an epoch; parting at the start leaves the larger barrier."""
    found = instability(make, *rows, [0, 200], base=PairSettings(epochs=20, same_init=True, lr=0.3), seeds=[0, 1, 2])
    early, late = (found.loc[found["spawn_at"] == step, "instability"].mean() for step in (0, 200))
    assert late < early
    assert ((found["instability"] < 2.0) == found["stable"]).all()


@pytest.mark.parametrize("settings", [{"label_noise": 1.5}, {"label_noise": -0.1}, {"optimizer": "adm"}, {"rows": -1}])
def test_dials_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        PairSettings(**settings)


def test_noise_and_fewer_rows_are_the_same_for_both_models(rows: Any) -> None:
    """With noise the training labels cannot be learned from the images; with none of it they can."""
    (X, y), test = rows
    clean, noisy = (
        sweep(make, (X, y), test, {"label_noise": [share]}, base=PairSettings(epochs=10, lr=0.05), seeds=[0]).table()
        for share in (0.0, 1.0)
    )
    assert clean["end"].item() < 30
    assert noisy["end"].item() > 75
    with pytest.raises(BadSetting, match="301"):
        train_pair(make, X, y, PairSettings(rows=301))


def test_adam_is_adam(rows: Any) -> None:
    """One step of Adam moves each weight by the rate, whatever its gradient."""
    (X, y), _ = rows
    settings = PairSettings(epochs=1, rows=32, lr=0.01, optimizer="adam", same_init=True)
    pair = train_pair(make, X, y, settings)
    moved = pair.a.state_dict()["2.bias"] - pair.starts[0]["2.bias"]
    assert torch.allclose(moved.abs(), torch.full_like(moved, 0.01), atol=1e-5)

"""Which layers to share: the ends of the scale are known protocols, scores are of final models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import unpooled as up
from tests.unit.connectivity.nets import mlp
from unpooled.errors import BadData, BadSetting
from unpooled.sharing import which_layers

SETTINGS: dict[str, Any] = {"steps": 40, "lr": 0.1, "batch_size": 16, "seeds": [0]}


@pytest.fixture(scope="module")
def world() -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return up.split(X[:300], y[:300], sites=3, how="classes", classes_per_site=2, seed=0), (X[1200:], y[1200:])


def by_hand(state: Any, X: Any, y: Any) -> float:
    model = mlp(0, (64, 16, 10))
    model.load_state_dict(state)
    return float((model(torch.from_numpy(X)).argmax(1).numpy() == y).mean())


@pytest.mark.parametrize(("label", "protocol"), [("all", up.FedAvg(10)), ("nothing", up.Local())])
def test_all_is_averaging_and_nothing_is_training_alone(label: str, protocol: Any, world: Any) -> None:
    sites, (X, y) = world
    found = which_layers(mlp(0, (64, 16, 10)), sites, test=(X, y), **SETTINGS)
    assert list(found.values["share"]) == ["nothing", "0", "2", "head", "body", "all"]
    row = found.values.set_index("share").loc[label]
    settings = {**SETTINGS, "seed": 0, "test": (X, y)}
    del settings["seeds"]
    alone = up.train(mlp(0, (64, 16, 10)), sites, protocol, **settings)
    own = [
        by_hand(alone.models[site.name], X[mine], y[mine])
        for site in sites
        if (mine := np.isin(y, np.unique(site.train.y))).any()
    ]
    assert row["own"] == pytest.approx(np.mean(own))
    assert row["own_worst"] == pytest.approx(min(own))
    everyone = np.mean([by_hand(state, X, y) for state in alone.models.values()])
    assert row["everyone"] == pytest.approx(everyone)


def test_bytes_grow_with_what_is_shared(world: Any) -> None:
    sites, test = world
    found = which_layers(mlp(0, (64, 16, 10)), sites, {"last": ["2"], "all": "all"}, test=test, **SETTINGS)
    table = found.table().set_index("share")
    assert table.loc["last", "parameters"] == 170
    assert table.loc["all", "parameters"] == 64 * 16 + 16 + 170
    assert table.loc["last", "megabytes"] < table.loc["all", "megabytes"]
    assert found.figure().axes[0].get_ylabel() == "layers shared"


def test_whose_accuracy_counts_decides_what_to_share() -> None:
    """Five sites with two classes each, as measured for section 3.3: alone is best at home, averaging for everybody."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    sites = up.split(X[:1200], y[:1200], sites=5, how="classes", classes_per_site=2, seed=0)
    settings = {**SETTINGS, "steps": 200, "aggregate_period": 20, "batch_size": 32}
    model, test = mlp(0, (64, 64, 64, 10)), (X[1200:], y[1200:])
    table = which_layers(model, sites, {"nothing": [], "all": "all"}, test=test, **settings).table()
    alone, together = table.to_dict("records")
    assert alone["own"] > together["own"] + 0.05
    assert alone["everyone"] < together["everyone"] - 0.05


def test_bad_input_before_training(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sites, test = world
    monkeypatch.setattr("unpooled.sharing.train", lambda *a, **k: pytest.fail("training began"))
    model = mlp(0, (64, 16, 10))
    for settings, error, word in [
        ({"shares": {"x": ["3"]}}, BadSetting, "the layers are 0, 2"),
        ({"own": "clases"}, BadSetting, "classes"),
        ({"own": "sites"}, BadData, "holds no test samples"),
        ({"own": {}}, BadData, "no test samples for site-00"),
    ]:
        with pytest.raises(error, match=word):
            which_layers(model, sites, test=test, **{**SETTINGS, **settings})
    with pytest.raises(BadSetting, match="one seed"):
        which_layers(model, sites, test=test, **{**SETTINGS, "seeds": []})

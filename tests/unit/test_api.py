"""The library in a few calls: what the README shows, and what people bring of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

import unpooled as up

RNG_ROWS = 90


def blobs(labels: Any = (0, 1)) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two clouds of points, well apart: a linear model tells them without error. `labels` names them."""
    rng = np.random.default_rng(5)
    which = np.arange(RNG_ROWS) % 2
    X = rng.normal(size=(RNG_ROWS, 3)) + 6.0 * which[:, None] - 3.0
    return X.astype(np.float32), np.asarray(labels)[which]


def arrays(y: Any, X: Any, sites: int = 3, rows: int = 20) -> dict[str, tuple[Any, Any]]:
    """The first rows as one pair of arrays a site."""
    return {f"clinic-{i}": (X[i * rows : (i + 1) * rows], y[i * rows : (i + 1) * rows]) for i in range(sites)}


def test_the_example_of_the_readme() -> None:
    digits = load_digits()
    X, y = (digits.data / 16).astype(np.float32), digits.target
    X_test, y_test = X[1000:], y[1000:]
    sites = up.split(X[:1000], y[:1000], sites=10, samples=20, seed=0)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    result = up.train(model, sites, up.FedDC(1, 10), steps=60, lr=0.1, seed=0, test=(X_test, y_test))

    frame = result.frame()
    assert list(frame.columns) == ["step", "model", "metric", "value", "bytes", "messages"]
    assert set(frame["model"]) == {"aggregate", "local_mean", "local_min"}
    assert frame["bytes"].is_monotonic_increasing
    assert result.final() > 0.3  # of ten classes, after a few steps
    assert list(result.models) == list(sites.names)
    assert set(result.models["site-00"]) == set(model.state_dict())
    X0 = torch.from_numpy(X_test)
    hits = result.model(X0).argmax(dim=1).numpy() == y_test
    assert hits.mean() == pytest.approx(result.final())
    last = result.traffic.total_bytes("begin", "train", "rows") - frame["bytes"].max()
    assert last == pytest.approx(
        10 * 4 * 1210, rel=0.02
    )  # the last aggregate, delivered after the last look: 10 models
    assert isinstance(result.figure("accuracy"), Figure)
    assert isinstance(result.figure("loss", against="bytes"), Figure)
    assert "FedDC(1, 10): accuracy 0." in repr(result)

    protocols = [up.FedDC(1, 10), up.FedAvg(10), up.Local(), up.Pooled()]
    table = up.compare(model, sites, protocols, seeds=range(2), steps=20, lr=0.1, test=(X_test, y_test))
    assert [*table.results] == ["FedDC(1, 10)", "FedAvg(10)", "Local", "Pooled"]
    assert all([*by_seed] == [0, 1] for by_seed in table.results.values())
    shown = table.table()
    assert list(shown.columns) == ["protocol", "model", "mean", "half_width", "seeds"]
    assert (shown["seeds"] == 2).all()
    assert set(table.frame()["seed"]) == {0, 1}
    for against in ("steps", "bytes", "final"):
        assert isinstance(table.figure("accuracy", against=against), Figure)
    assert "FedAvg(10)" in repr(table)


def test_a_run_does_not_change_the_callers_model_and_depends_on_nothing_else() -> None:
    X, y = blobs()
    model = nn.Linear(3, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sites = up.split(X, y, sites=3, seed=0)
    first = up.train(model, sites, up.FedAvg(2), steps=6, lr=0.1, batch_size=4, test=(X, y), executor="vectorised")
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - a global state that must not matter
    second = up.train(model, sites, up.FedAvg(2), steps=6, lr=0.1, batch_size=4, test=(X, y), executor="vectorised")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    pd.testing.assert_frame_equal(first.frame(), second.frame())
    other = up.train(
        model, sites, up.FedAvg(2), steps=6, lr=0.1, batch_size=4, test=(X, y), executor="vectorised", seed=1
    )
    assert not first.frame().equals(other.frame())


class Own(nn.Module):
    """A module of one's own: not a Sequential, and with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layer(x).tanh()


def squared_margin(output: Tensor, target: Tensor) -> Tensor:
    """A loss of one's own: squared distance to the one-hot target."""
    return ((output - (target[:, None] == torch.arange(2)).to(output.dtype)) ** 2).mean()


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_module_loss_and_optimizer_of_ones_own(executor: str) -> None:
    X, y = blobs()
    result = up.train(
        Own,
        up.split(X, y, sites=3),
        up.FedDC(1, 4),
        steps=40,
        lr=0.05,
        loss=squared_margin,
        optimizer=torch.optim.Adam,
        betas=(0.8, 0.9),
        test=(X, y),
        executor=executor,
    )
    assert result.final() == 1.0
    assert result.executor == executor
    assert isinstance(result.model, Own)


def test_a_learning_rate_may_depend_on_the_step() -> None:
    X, y = blobs()
    asked: list[int] = []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.1 / (1 + step)

    up.train(nn.Linear(3, 2), up.split(X, y, sites=2), up.Local(), steps=5, lr=rate, test=(X, y), executor="reference")
    assert {0, 1, 2, 3, 4} <= set(asked)


LABELS: dict[str, Any] = {"numbers": (0, 1), "signs": (-1, 1), "text": ("well", "ill"), "truth": (False, True)}


@pytest.mark.parametrize("way", ["arrays", "split"])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_with_a_central_test_set(kind: str, way: str) -> None:
    X, y = blobs(LABELS[kind])
    sites = arrays(y, X) if way == "arrays" else up.split(X[:60], y[:60], sites=3)
    test = (X[60:], y[60:])
    result = up.train(nn.Linear(3, 2), sites, up.FedAvg(2), steps=30, lr=0.3, test=test, executor="reference")
    assert result.final() == 1.0


@pytest.mark.parametrize("way", ["arrays", "split"])
def test_a_float_target_is_a_regression(way: str) -> None:
    X, _ = blobs()
    y = X @ np.array([1.0, -2.0, 0.5], dtype=np.float32)
    sites = arrays(y, X) if way == "arrays" else up.split(X[:60], y[:60], sites=3)
    model = nn.Linear(3, 1)
    result = up.train(model, sites, up.FedAvg(2), steps=200, lr=0.03, test=(X[60:], y[60:]), executor="reference")
    assert result.final("rmse") < 0.2 * float(np.std(y))
    assert "rmse" in repr(result)


def test_sites_from_a_folder_are_tested_at_the_sites(tmp_path: Path) -> None:
    X, y = blobs(("well", "ill"))
    for i in range(3):
        rows = slice(30 * i, 30 * i + 30)
        frame = pd.DataFrame(X[rows], columns=["age", "pressure", "pulse"]).assign(state=y[rows])
        frame.to_csv(tmp_path / f"clinic-{i}.csv", index=False)
    sites = up.load_sites(tmp_path, target="state", test_fraction=0.3)
    result = up.train(nn.Linear(3, 2), sites, up.FedDC(1, 5), steps=30, lr=0.3, executor="reference")
    per_site = result.sites()
    assert list(per_site.columns) == ["site", "model", "metric", "value"]
    assert set(per_site["site"]) == {"clinic-0", "clinic-1", "clinic-2"}
    assert set(per_site["model"]) == {"aggregate", "local"}
    assert result.final() == 1.0
    assert result.traffic.total_bytes("evaluate") > 0
    assert result.traffic.total_bytes("moments") > 0  # the federated statistics are counted too


def test_compare_may_split_anew_for_each_seed() -> None:
    X, y = blobs()
    seen: list[int] = []

    def sites(seed: int) -> Any:
        seen.append(seed)
        return up.split(X[:60], y[:60], sites=3, samples=5, seed=seed), (X[60:], y[60:])

    table = up.compare(nn.Linear(3, 2), sites, [up.Local()], seeds=(4, 9), steps=3, lr=0.1, executor="reference")
    assert seen == [4, 9]
    one, two = (table.results["Local"][seed].frame() for seed in (4, 9))
    assert not one.equals(two)


@pytest.mark.parametrize("fails", [False, True])
def test_threads_are_put_back(fails: bool) -> None:
    X, y = blobs()
    before = torch.get_num_threads()
    during: list[int] = []
    settings: dict[str, Any] = {"steps": 3, "lr": 0.1, "test": (X, y), "executor": "reference", "threads": before + 1}

    def watch(progress: Any) -> None:
        during.append(torch.get_num_threads())
        if fails:
            raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            up.train(nn.Linear(3, 2), up.split(X, y, sites=2), up.FedAvg(1), progress=watch, **settings)
    else:
        up.train(nn.Linear(3, 2), up.split(X, y, sites=2), up.FedAvg(1), progress=watch, **settings)
    assert during[0] == before + 1
    assert torch.get_num_threads() == before


ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "sites that are none": ({"sites": 3}, r"sites must come from split\(\.\.\.\) or load_sites"),
    "arrays without labels": ({"sites": {"a": np.zeros((3, 3))}}, "a dict from name to arrays"),
    "no site": ({"sites": {}}, "at least one site"),
    "no model": ({"model": 3}, "model must be a torch.nn.Module"),
    "no test": ({"test": None}, r"give test=\(X, y\)"),
    "test that is one array": ({"test": np.zeros((4, 3))}, r"test must be a pair of arrays \(X, y\)"),
    "steps": ({"steps": 0}, "steps must be a whole number of at least 1"),
    "learning rate": ({"lr": -1.0}, "lr must be above 0"),
    "loss": ({"loss": "crossentropy"}, "Did you mean 'cross_entropy'"),
    "optimizer": ({"optimizer": "adm"}, "Did you mean"),
    "optimizer setting": ({"momentun": 0.9}, "momentun"),
    "executor": ({"executor": "fast"}, "There is no executor 'fast'"),
    "unseen class": ({"test": (np.zeros((1, 3)), ["other"])}, "class 'other' .* unseen at training"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_used_is_refused_in_one_line(case: str) -> None:
    X, y = blobs(("well", "ill"))
    settings: dict[str, Any] = {
        "model": nn.Linear(3, 2),
        "sites": up.split(X, y, sites=3),
        "steps": 3,
        "lr": 0.1,
        "test": (X, y),
        "executor": "reference",
    }
    changes, needed = ERRORS[case]
    with pytest.raises(up.UnpooledError, match=needed) as found:
        up.train(protocol=up.FedAvg(1), **{**settings, **changes})
    assert "\n" not in str(found.value)


def test_compare_refuses_protocols_twice_none_and_no_seed() -> None:
    X, y = blobs()
    settings: dict[str, Any] = {"steps": 2, "lr": 0.1, "test": (X, y)}
    sites = up.split(X, y, sites=2)
    for protocols, seeds, needed in (
        ([up.Local(), up.Local()], [0], "different protocols"),
        ([], [0], "got none"),
        ([up.Local()], [], "at least one seed"),
    ):
        with pytest.raises(up.UnpooledError, match=needed):
            up.compare(nn.Linear(3, 2), sites, protocols, seeds=seeds, **settings)


def test_compare_chooses_a_rate_for_each_protocol_and_never_looks_at_the_test_rows() -> None:
    X, y = blobs()
    sites = up.split(X[:60], y[:60], sites=3, samples=12, seed=0)
    protocols, tune = [up.FedAvg(2), up.Local()], up.Tune(lr=[1e-9, 0.5], steps=4)
    model = nn.Linear(3, 2)
    found = [
        up.compare(model, sites, protocols, seeds=[0, 1], steps=6, tune=tune, test=test)
        for test in ((X[60:], y[60:]), (X[60:], 1 - y[60:]))
    ]
    tuning = found[0].tuning
    assert tuning is not None
    assert len(tuning) == 2 * 2 * 2  # protocols, seeds, rates
    taken = tuning[tuning["chosen_for"].map(len) > 0]
    assert taken.groupby(["protocol", "seed"]).size().tolist() == [1] * 4
    assert set(taken[taken["protocol"] == "FedAvg(2)"]["lr"]) == {0.5}
    pd.testing.assert_frame_equal(tuning, found[1].tuning)
    assert found[0].results["FedAvg(2)"][0].final() == 1 - found[1].results["FedAvg(2)"][0].final()
    tests = found[0].differences(reference="Local")
    assert tests[["protocol", "reference", "seeds"]].to_numpy().tolist() == [["FedAvg(2)", "Local", 2]]


def test_compare_with_a_grid_refuses_what_does_not_go_together() -> None:
    X, y = blobs()
    sites = up.split(X, y, sites=3, samples=12, seed=0)
    made = {"seeds": [0], "steps": 2, "test": (X, y)}
    for settings, said in (
        ({"lr": 0.1, "tune": up.Tune(lr=[0.1])}, "lr beside tune"),
        ({}, "neither lr nor tune"),
    ):
        with pytest.raises(up.UnpooledError, match=said):
            up.compare(nn.Linear(3, 2), sites, [up.Local()], **made, **settings)
    with pytest.raises(up.UnpooledError, match="leave seeds out of tune"):
        up.compare(nn.Linear(3, 2), lambda s: sites, [up.Local()], **made, tune=up.Tune(lr=[0.1], seeds=[0]))


def test_a_figure_against_something_else_is_refused() -> None:
    X, y = blobs()
    result = up.train(nn.Linear(3, 2), up.split(X, y, sites=2), up.Local(), steps=2, lr=0.1, test=(X, y))
    with pytest.raises(up.UnpooledError, match="against must be one of steps, bytes, final"):
        result.figure(against="time")


def test_import_waits_with_torch_until_it_is_needed() -> None:
    code = """
import sys
import unpooled as up
assert "torch" not in sys.modules, "import unpooled"
up.load_sites, up.split, up.Policy, up.Site, up.describe_sites, up.UnpooledError
assert "torch" not in sys.modules, "sites"
up.train
assert "torch" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_name_that_is_offered_is_there() -> None:
    assert set(up.__all__) <= set(dir(up))
    assert all(hasattr(up, name) for name in up.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = up.trian  # type: ignore[attr-defined]

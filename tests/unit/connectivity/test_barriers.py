"""Barriers: identities, hand-computed references, errors from the same samples, and nothing left changed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.connectivity.nets import Pair, Residual, Transformer, mlp, seeded
from unpooled.connectivity import REFERENCES, connect
from unpooled.connectivity.barriers import Curve
from unpooled.connectivity.moments import Moments
from unpooled.errors import BadData, BadSetting, Unsupported


def test_a_model_and_itself_have_no_barrier(pair: Pair) -> None:
    found = connect(pair.a, copy.deepcopy(pair.a), pair.data, cuts=("full", "layer", "window", "random_order"))
    assert found.barriers["barrier"].abs().max() < 1e-12
    assert (found.barriers.query("reference == 'default'")["barrier"] == 0).all()
    assert (found.barriers["standard_error"] < 1e-12).all()
    assert (found.layers["distance"] == 0).all()
    assert any("No full barrier" in note for note in found.notes)


def test_all_layers_together_are_the_full_barrier_from_both_defaults(pair: Pair) -> None:
    found = connect(pair.a, pair.b, pair.data, cuts=("full", "from_input", "from_output", "random_order"))
    table = found.barriers[(found.barriers["part"] == "all") & (found.barriers["reference"] == "mean")]
    assert len(table) == 4 * 2 * 2
    assert table.groupby("metric")["barrier"].nunique().tolist() == [1, 1]
    assert found.barrier(metric="error") > 30


@pytest.fixture(scope="module")
def found(pair: Pair) -> Any:
    return connect(pair.a, pair.b, pair.data, groups={"ends": ["0", "6"]})


def test_the_null_model_compares_layers_with_the_whole(found: Any) -> None:
    table = found.barriers[(found.barriers["metric"] == "error") & (found.barriers["reference"] == "mean")]
    single = table[table["kind"] == "layer"]["barrier"]
    assert len(single) == 4 * 2
    assert found.null_model("error") == pytest.approx(4 * single.mean() / found.barrier(metric="error"))
    assert "ends" in set(found.barriers["part"])


def test_references_agree_with_their_definitions(found: Any) -> None:
    cells = (
        found.cells[found.cells["metric"] == "loss"]
        .set_index(["kind", "part", "default", "alpha"])["value"]
        .sort_index()
    )
    a, b = (cells["full", "all", "a", alpha] for alpha in (0.0, 1.0))
    for default, own in (("a", 0.0), ("b", 1.0)):
        curve = cells["layer", "2", default]
        alphas, values = curve.index.to_numpy(), curve.to_numpy()
        wanted = {
            "mean": curve[0.5] - (a + b) / 2,
            "chord": (values - (1 - alphas) * a - alphas * b).max(),
            "worse": values.max() - max(a, b),
            "default": curve[0.5] - (a, b)[int(own)],
            "hybrid-chord": (values - (1 - alphas) * curve[0.0] - alphas * curve[1.0]).max(),
        }
        assert set(wanted) == set(REFERENCES)
        for reference, value in wanted.items():
            barrier = found.barrier("2", default=default, metric="loss", reference=reference)
            assert barrier == pytest.approx(value, abs=1e-12), (default, reference)


def test_a_layer_without_influence_shows_the_artefact_of_the_mean_and_the_flag() -> None:
    def curve(default: str) -> Curve:
        moments, random = Moments(1, 3), torch.Generator().manual_seed(0)
        ends = torch.rand(50, generator=random) / 100 + torch.tensor([[0.1], [2.1]])
        moments.add(ends[[0 if default == "a" else 1, 0, 1]][None].double())
        return Curve(moments, {0.0: 0, 0.5: 0, 1.0: 0}, default)

    for default, sign in (("a", -1), ("b", 1)):
        rows = {row["reference"]: row for row in curve(default).rows(("loss",))}
        assert rows["mean"]["barrier"] == pytest.approx(sign, abs=0.01)
        assert rows["default"]["barrier"] == 0
        assert rows["hybrid-chord"]["barrier"] == 0
        assert all(row["unequal_ends"] for row in rows.values())


def test_unequal_ends_of_a_line_as_the_paper_s_reviewers_had_it() -> None:
    """Losses 0.1 to 2.1, linear: nothing at half, 1.0 for the greatest against the mean, 0 against chord and worse."""
    moments = Moments(1, 5)
    line = torch.tensor([0.6, 1.1, 1.6, 0.1, 2.1], dtype=torch.float64)
    moments.add((line[:, None] + torch.zeros(5, 4))[None])
    curve = Curve(moments, {0.0: 3, 0.25: 0, 0.5: 1, 0.75: 2, 1.0: 4}, "a")
    rows = {row["reference"]: row["barrier"] for row in curve.rows(("loss",))}
    assert [round(rows[name], 12) for name in ("mean", "chord", "worse")] == [0, 0, 0]
    assert rows["default"] == pytest.approx(1.0)


def test_standard_errors_are_those_of_paired_differences(pair: Pair, found: Any) -> None:
    X, y = pair.data
    with torch.no_grad():
        middle = copy.deepcopy(pair.a)
        for own, other in zip(middle.parameters(), pair.b.parameters(), strict=True):
            own.lerp_(other, 0.5)
        wrong = [(model(X).argmax(1) != y).double().numpy() * 100 for model in (middle, pair.a, pair.b)]
    paired = wrong[0] - (wrong[1] + wrong[2]) / 2
    rows = found.barriers.set_index(["kind", "default", "metric", "reference"])
    row = rows.loc[("full", "a", "error", "mean")]
    assert row["barrier"] == pytest.approx(paired.mean())
    assert row["standard_error"] == pytest.approx(paired.std(ddof=1) / np.sqrt(len(y)))


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    scores = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e6
    whole, pieces = Moments(2, 3), Moments(2, 3)
    whole.add(scores)
    for piece in scores.split(7, dim=2):
        pieces.add(piece)
    weights = np.array([1.0, -0.5, -0.5])
    sums = np.einsum("v,mvn->mn", weights, scores.numpy())
    for metric, wanted in enumerate(sums.std(axis=1, ddof=1) / np.sqrt(50)):
        assert pieces.error(weights, metric) == pytest.approx(wanted)
        assert whole.error(weights, metric) == pytest.approx(wanted)


def _state(model: nn.Module) -> Any:
    return {name: value.clone() for name, value in model.state_dict().items()}, [m.training for m in model.modules()]


@pytest.mark.parametrize("norms", ["keep", "interpolate", "recalibrate", "batch"])
def test_weights_and_mode_stay_bit_for_bit(norms: str, digits: Any) -> None:
    a, b = (seeded(lambda: Residual(norm=True), seed) for seed in (0, 1))
    a.train()
    b.norm.eval()
    b.first.weight.requires_grad_(False)
    before = [_state(model) for model in (a, b)]
    data, inputs = (digits[0][:50], digits[1][:50]), digits[0][50:120]
    found = connect(a, b, data, norms=norms, calibration=inputs, points=3)
    for (weights, modes), model in zip(before, (a, b), strict=True):
        now, modes_now = _state(model)
        assert modes_now == modes
        assert all(torch.equal(weights[name], now[name]) for name in weights)
    assert not b.first.weight.requires_grad
    assert "calls" not in str(found.layers["layer"].tolist())
    assert np.isfinite(found.barriers["barrier"]).all()


def test_recalibrated_statistics_are_those_of_one_pass(digits: Any) -> None:
    """A batch norm right after the input layer: its statistics are known."""
    net = seeded(lambda: nn.Sequential(nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10)), 0)
    other = seeded(lambda: nn.Sequential(nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10)), 1)
    X, y = digits[0][:64], digits[1][:64]
    taken = connect(net, other, (X, y), norms="recalibrate", calibration=X, batch_size=64, points=3)
    same = copy.deepcopy(net)
    with torch.no_grad():
        hidden = net[0](X)  # type: ignore[index, operator]
        same[1].running_mean.copy_(hidden.mean(0))  # type: ignore[index, union-attr, operator]
        same[1].running_var.copy_(hidden.var(0))  # type: ignore[index, union-attr, operator]
        loss = float(nn.functional.cross_entropy(same.eval()(X), y))
    assert taken.barriers["end_a"].iloc[0] == pytest.approx(loss, rel=1e-5)


def test_half_precision_is_averaged_in_single(digits: Any) -> None:
    a, b = (mlp(seed).bfloat16() for seed in (0, 1))
    data = digits[0][:40], digits[1][:40]
    found, plain = (connect(a, b, data, metrics=["loss"], engine=engine, points=3) for engine in ("fast", "plain"))
    assert found.barriers["barrier"].to_numpy() == pytest.approx(plain.barriers["barrier"].to_numpy(), abs=0.02)
    assert all(p.dtype == torch.bfloat16 for p in a.parameters())


def test_a_function_of_the_whole_model_gives_the_same_barriers(pair: Pair, found: Any) -> None:
    X, y = pair.data

    def evaluate(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            return {"loss": float(nn.functional.cross_entropy(model(X), y))}

    other = connect(pair.a, pair.b, evaluate=evaluate, cuts=("full", "layer"), points=3)
    assert other.barrier("4", default="b") == pytest.approx(found.barrier("4", default="b"), abs=1e-6)
    assert other.barriers["standard_error"].isna().all()


def test_several_metrics_in_one_pass(pair: Pair) -> None:
    brier = lambda output, target: ((output.softmax(1) - nn.functional.one_hot(target, 10)) ** 2).sum(1)  # noqa: E731
    found = connect(pair.a, pair.b, pair.data, cuts=("full",), metrics={"brier": brier, "zero": lambda o, t: t * 0.0})
    assert found.facts["metrics"] == ["brier", "zero"]
    assert found.barrier(metric="zero") == 0
    assert found.barrier(metric="brier") > 0.1


def test_tied_weights_are_one_layer() -> None:
    a, b = (seeded(Transformer, seed) for seed in (0, 1))
    tokens = torch.randint(12, (20, 5), generator=torch.Generator().manual_seed(0))
    found = connect(a, b, (tokens, tokens), cuts=("layer",), points=3)
    assert "embed = head" in found.layers["layer"].tolist()
    assert "head" not in found.layers["layer"].tolist()


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "points": ({"points": 4}, BadSetting, "points must be odd"),
    "kind": ({"cuts": ["ful"]}, BadSetting, "Did you mean 'full'"),
    "window": ({"window": 9, "cuts": ("window",)}, BadSetting, "window must be between 1 and the number of layers, 4"),
    "policy": ({"norms": "kept"}, BadSetting, "Did you mean 'keep'"),
    "calibration": ({"norms": "recalibrate"}, BadSetting, "give calibration="),
    "group": ({"groups": {"g": ["9"]}}, BadSetting, "Group 'g': no layer is called '9'"),
    "rule": ({"layers": "modul"}, BadSetting, "There is no rule 'modul'"),
    "metric": ({"metrics": ["los"]}, BadSetting, "Did you mean 'loss'"),
    "engine": ({"engine": "quick"}, BadSetting, "there are auto, fast, plain"),
    "memory": ({"memory": 0}, BadSetting, "memory must be a whole number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_settings_are_refused_before_work(name: str, pair: Pair) -> None:
    settings, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        connect(pair.a, pair.b, pair.data, **settings)


def test_bad_models_and_data_are_refused(pair: Pair) -> None:
    X, y = pair.data
    with pytest.raises(
        Unsupported, match=r"'2.weight' is 32 x 32 .float32. in the first model and 16 x 32 .float32. in the second"
    ):
        connect(pair.a, mlp(0, (64, 32, 16, 32, 10)), pair.data)
    with pytest.raises(Unsupported, match=r"The first model has '6.weight', the second has not"):
        connect(pair.a, mlp(0, (64, 32, 32, 32)), pair.data)
    with pytest.raises(BadSetting, match="give model="):
        connect(pair.a.state_dict(), pair.b.state_dict(), pair.data)
    with pytest.raises(BadData, match="X has 3 rows and y has 597"):
        connect(pair.a, pair.b, (X[:3], y))
    with pytest.raises(BadData, match="no finite numbers"):
        connect(pair.a, pair.b, (X * float("nan"), y))
    with pytest.raises(BadSetting, match="not both"):
        connect(pair.a, pair.b, pair.data, evaluate=lambda model: {"loss": 1.0})
    diverged = copy.deepcopy(pair.b)
    with torch.no_grad():
        diverged[0].weight.fill_(float("nan"))  # type: ignore[index, union-attr, operator]
    assert any("diverged" in note for note in connect(pair.a, diverged, pair.data, points=3).notes)

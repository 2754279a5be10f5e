"""Subspaces against what they promise: spans, complements, lengths, and the four defects of the public scripts.

Each defect has a test that the defective version would not pass: aliased snapshots, one-sided coefficients, moving
apart instead of together, and unequal lengths (Adilova et al., ICLR 2024, Figure 6, as coded).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.connectivity.conftest import digits
from unpooled.connectivity import connect
from unpooled.connectivity.pairs import PairSettings, TrainedPair, train_pair
from unpooled.connectivity.spans import Trajectory, span_of
from unpooled.connectivity.subspaces import subspaces
from unpooled.errors import BadData, BadSetting

__all__ = ["digits"]
LAYER = ("2.weight", "2.bias")


def _net(bias: bool = True) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in pairwise((64, 16, 16, 10)):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _trajectories(pair: TrainedPair) -> list[Trajectory]:
    return [Trajectory(pair.starts[k], [states[1 + k] for states in pair.snapshots]) for k in (0, 1)]


@pytest.fixture(scope="module")
def halves(digits: Any) -> TrainedPair:
    """One start, disjoint halves of the rows, a snapshot an epoch."""
    X, y = digits
    settings = PairSettings(same_init=True, split="halves", lr=0.05, epochs=12, snapshot_every=1)
    return train_pair(_net, X[:800], y[:800], settings)


@pytest.fixture(scope="module")
def few(digits: Any) -> tuple[Tensor, Tensor]:
    return digits[0][1200:1500], digits[1][1200:1500]


def _displacements(pair: TrainedPair, names: tuple[str, ...]) -> Tensor:
    rows = []
    for k in (0, 1):
        for states in pair.snapshots:
            rows.append(torch.cat([(states[1 + k][n].double() - pair.starts[k][n].double()).flatten() for n in names]))
    return torch.stack(rows)


def test_the_basis_is_that_of_a_singular_value_decomposition(halves: TrainedPair) -> None:
    span = span_of(_trajectories(halves), LAYER)
    basis = torch.cat([span.basis[name] for name in LAYER], dim=1)
    matrix = _displacements(halves, LAYER)
    _, values, wanted = torch.linalg.svd(matrix, full_matrices=False)
    assert span.rank == 24  # true copies; the aliased arrays of the public scripts have rank 2
    assert span.columns == 24
    assert span.parameters == 16 * 16 + 16
    assert torch.allclose(basis @ basis.T, torch.eye(24, dtype=torch.float64), atol=1e-12)
    assert span.singular_values.numpy() == pytest.approx(values.numpy(), rel=1e-6)
    for k in (1, 3, 24):  # the first directions span what the first singular vectors span
        assert torch.allclose(basis[:k].T @ basis[:k], wanted[:k].T @ wanted[:k], atol=1e-6)
    assert span_of(_trajectories(halves), LAYER, energy=0.5).rank < 3
    assert span_of(_trajectories(halves), LAYER, columns="steps").rank == 24


def test_null_samples_are_orthogonal_to_every_displacement(halves: TrainedPair) -> None:
    span = span_of(_trajectories(halves), LAYER)
    matrix = _displacements(halves, LAYER)
    for seed in range(5):
        null = span.null_sample(torch.Generator().manual_seed(seed))
        drawn = torch.cat([null[name] for name in LAYER])
        assert float((matrix @ drawn).abs().max()) < 1e-10 * float(matrix.norm() * drawn.norm())
        inside = span.sample(torch.Generator().manual_seed(seed))
        assert float(torch.cat(list(span.without(inside).values())).norm()) < 1e-10


def test_first_defect_aliased_snapshots_are_refused(halves: TrainedPair) -> None:
    model = _net()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    live = [model.state_dict() for _ in range(3)]
    with pytest.raises(BadData, match=r"share the memory of '0\.weight'"):
        span_of([Trajectory(start, live)], LAYER)
    late = [{name: tensor.clone() for name, tensor in state.items()} for state in live]  # copied when all was over
    with pytest.raises(BadData, match="All 3 snapshots of a trajectory are equal"):
        span_of([Trajectory(start, late)], LAYER)


def test_second_defect_coefficients_prefer_no_side(halves: TrainedPair) -> None:
    """Of 400 unit draws in rank 24 the mean is about 0.05 long; with coefficients from [0, 1) it is 0.87."""
    span = span_of(_trajectories(halves), LAYER)
    total = torch.zeros(24, dtype=torch.float64)
    for seed in range(400):
        drawn = span.coefficients(span.sample(torch.Generator().manual_seed(seed)))
        total += drawn / drawn.norm() / 400
    assert float(total.norm()) < 0.1


def test_third_defect_toward_is_toward_the_other_model(halves: TrainedPair, few: Any) -> None:
    found = subspaces(halves.a, halves.b, few, trajectories=_trajectories(halves), kinds=("toward", "away"))
    rows = found.losses.set_index(["part", "default", "kind", "metric", "length"])["mean"].sort_index()
    barriers = connect(halves.a, halves.b, few).barriers
    wanted = barriers[barriers["reference"] == "mean"].set_index(["kind", "part", "default", "metric"]).sort_index()
    for part, kind in (("all", "full"), ("0", "layer"), ("2", "layer"), ("4", "layer")):
        for default in "ab":
            row = wanted.loc[(kind, part, default, "loss")]
            assert rows[part, default, "toward", "loss", 0.5] == pytest.approx(row["at_half"], abs=1e-5)
            assert rows[part, default, "toward", "loss", 1.0] == pytest.approx(row["at_swap"], abs=1e-5)
            assert rows[part, default, "away", "loss", 1.0] != pytest.approx(row["at_swap"], abs=1e-2)


def test_fourth_defect_all_directions_have_one_length_and_stay_in_their_layer(halves: TrainedPair, few: Any) -> None:
    here = {name: tensor.double().clone() for name, tensor in halves.a.state_dict().items()}

    def moved(model: nn.Module) -> dict[str, float]:
        squares = {n: float((t.double() - here[n]).square().sum()) for n, t in model.state_dict().items()}
        return {
            "all": sum(squares.values()) ** 0.5,
            **{k: (squares[f"{k}.weight"] + squares[f"{k}.bias"]) ** 0.5 for k in "024"},
        }

    pair = halves.a, halves.b
    for length, settings in ((0.5, {"shares": (0.5,)}), (2.0, {"radii": (2.0,)})):
        found = subspaces(*pair, evaluate=moved, trajectories=_trajectories(halves), ladder=(1,), **settings)  # type: ignore[arg-type]
        rows = found.losses[found.losses["default"] == "a"]
        apart = found.spaces.set_index("part")["distance"]
        assert set(rows["kind"]) == {"toward", "away", "shrink", "grow", "training", "complement", "isotropic", "top-1"}
        for part, own in rows.groupby("part"):
            wanted = length * apart[part] if "shares" in settings else length
            mine = own[own["metric"] == part]
            assert mine["mean"].to_numpy() == pytest.approx(wanted, rel=1e-6)
            assert mine["std"].to_numpy() == pytest.approx(0, abs=1e-5)
            assert mine["radius"].to_numpy() == pytest.approx(wanted)
            if part != "all":
                others = own[~own["metric"].isin([part, "all"])]
                assert (others["mean"] == 0).all()


def test_the_way_to_the_other_lies_in_the_subspace_of_both_from_one_start(halves: TrainedPair, few: Any) -> None:
    both = subspaces(halves.a, halves.b, few, trajectories=_trajectories(halves), kinds=("toward",)).spaces
    assert both["way_outside"].max() < 1e-6
    assert both["part"].tolist() == ["all", "0", "2", "4"]
    one = subspaces(halves.a, halves.b, few, trajectories=_trajectories(halves)[:1], kinds=("toward",)).spaces
    assert one["way_outside"].min() > 0.1


def test_scaling_a_network_without_biases_changes_its_loss_and_not_its_errors(digits: Any, few: Any) -> None:
    X, y = digits
    settings = PairSettings(epochs=3, snapshot_every=1)
    pair = train_pair(lambda: _net(bias=False), X[:300], y[:300], settings)
    found = subspaces(*(pair.a, pair.b), few, trajectories=_trajectories(pair), kinds=("shrink", "grow"), shares=(0.3,))
    whole = found.losses[found.losses["part"] == "all"].set_index("metric")
    assert whole.loc["error", "rise"].abs().max() == 0
    assert whole.loc["loss", "rise"].abs().min() > 1e-3


def test_the_training_subspace_is_the_fragile_one_and_its_complement_harmless(halves: TrainedPair, few: Any) -> None:
    """The opposite of the published panel, which came of the four defects: see docs/connectivity.md."""
    found = subspaces(halves.a, halves.b, few, trajectories=_trajectories(halves), shares=(1.0,)).losses
    rise = found[(found["metric"] == "loss") & (found["part"] == "all")].groupby("kind")["rise"].mean()
    assert rise["complement"] < rise["isotropic"] < rise["training"]
    assert rise["training"] > 3 * rise["isotropic"]
    assert rise["toward"] < rise["away"]


def test_draws_are_named_and_engines_agree(halves: TrainedPair, few: Any) -> None:
    data = few[0][:50], few[1][:50]
    asked: dict[str, Any] = {
        "trajectories": _trajectories(halves),
        "shares": (1.0,),
        "kinds": ("complement", "training"),
    }
    fast, again, plain, other = (
        subspaces(halves.a, halves.b, data, **asked, **more).losses["mean"].to_numpy()
        for more in ({}, {}, {"engine": "plain"}, {"seed": 1})
    )
    assert fast.tolist() == again.tolist()
    assert fast == pytest.approx(plain, rel=1e-4)
    assert fast.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"draws": 10}, "at least 30"),
        ({"kinds": ("towards",)}, "Did you mean 'toward'"),
        ({"shares": (0.0,)}, "above 0"),
        ({"columns": "differences"}, "There are no columns 'differences'"),
        ({"tolerance": 1e-9}, "tolerance must be"),
        ({"trajectories": ()}, "at least one trajectory"),
    ],
)
def test_bad_settings(halves: TrainedPair, few: Any, settings: Any, words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        subspaces(halves.a, halves.b, few, **{"trajectories": _trajectories(halves), **settings})


def test_a_layer_that_is_equal_has_no_way_and_one_that_did_not_move_no_subspace(few: Any) -> None:
    model = _net()
    other = {name: tensor + (name in LAYER) for name, tensor in model.state_dict().items()}
    path = [Trajectory(model.state_dict(), [other])]
    found = subspaces(model, other, few, trajectories=path)
    assert set(found.losses["part"]) == {"all", "2"}
    with pytest.raises(BadData, match="Nothing moved in"):
        span_of(path, ("0.weight",))

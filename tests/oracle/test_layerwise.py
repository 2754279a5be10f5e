"""Averaging some layers only: exact limiting cases, and training written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.contract.federations import assert_equal_result, net, normed, sites, train
from tests.contract.programs import quick
from tests.oracle.by_hand import run_by_hand
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.layout import layout_of
from unpooled.training.protocols import FedAvg, FedBN, FedDC, FedPer, Local, PartialAvg, Protocol, RotatingAvg
from unpooled.training.train import initialised

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

executors = pytest.mark.parametrize("executor", ["reference", "vectorised"])
FIRST, LAST, ALL = [("0.weight", "0.bias"), ("2.weight", "2.bias"), ("0", "2")]
COLUMNS = {name: np.arange(part.start, part.stop) for name, part in layout_of(net()).layers.items()}
STEPS = 11


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def columns(names: tuple[str, ...]) -> Array:
    return np.concatenate([COLUMNS[name] for name in names])


def averaged(rows: Array, names: tuple[str, ...], weights: list[int] | None = None) -> Array:
    rows, where = rows.copy(), columns(names)
    rows[:, where] = np.average(rows[:, where], axis=0, weights=weights)
    return rows


def by_hand(sizes: list[int], names_at: Callable[[int], tuple[str, ...]], weights: list[int] | None = None) -> Array:
    """Every third step those layers become their mean."""

    def event(t: int, rows: Array) -> Array:
        return averaged(rows, names_at(t), weights) if t % 3 == 2 or t == STEPS - 1 else rows

    return run_by_hand(sites(sizes), lambda: initialised(net, 0), STEPS, event)


@executors
@pytest.mark.parametrize("daisy", [None, 2])
@pytest.mark.parametrize("share", ["all", ALL, (*FIRST, *LAST)])
def test_sharing_all_layers_is_federated_averaging(share: Any, daisy: int | None, executor: str) -> None:
    members, case = sites([4, 7, 2]), {"executor": executor, "batch_size": 3}
    whole = FedAvg(3) if daisy is None else FedDC(daisy, 3)
    assert_equal_result(
        train(members, PartialAvg(3, share, daisy_period=daisy), **case),  # type: ignore[arg-type]
        train(members, whole, **case),  # type: ignore[arg-type]
    )


@executors
def test_sharing_no_layer_is_training_alone(executor: str) -> None:
    members, case = sites([4, 7, 2]), {"executor": executor, "batch_size": 3}
    assert_equal_result(
        train(members, PartialAvg(3, ()), **case),  # type: ignore[arg-type]
        train(members, Local(), **case),  # type: ignore[arg-type]
    )


@executors
@pytest.mark.parametrize(
    ("protocol", "names", "weights"),
    [
        (PartialAvg(3, "head"), LAST, None),
        (PartialAvg(3, "body"), FIRST, None),
        (PartialAvg(3, ("2.bias", "0.weight")), ("0.weight", "2.bias"), None),
        (PartialAvg(3, ("0",), weighted_by_samples=True), FIRST, [4, 7, 2]),
        (FedPer(3), FIRST, [4, 7, 2]),
        (FedPer(3, head=("0",), weighted_by_samples=False), LAST, None),
    ],
)
def test_some_layers_by_hand(protocol: Protocol, names: tuple[str, ...], weights: Any, executor: str) -> None:
    wanted = by_hand([4, 7, 2], lambda t: names, weights)
    found = train(sites([4, 7, 2]), protocol, executor=executor)
    close(found.rows, wanted)
    shared = columns(names)
    close(found.aggregate_row[shared], wanted[0, shared])  # type: ignore[index]


@executors
def test_private_layers_never_leave_their_site(executor: str) -> None:
    """After the first model, 4 events of 11 steps carry the body (16 numbers), each way, and nothing else."""
    whole, body = (train(sites([4, 7]), p, executor=executor).traffic for p in (FedAvg(3), PartialAvg(3, "body")))
    head = 8 * len(columns(LAST))
    names = sum(map(len, FIRST))
    up, down = whole.table(["train"])[:, 1] - body.table(["train"])[:, 1], whole.table(["train"])[:, 3]
    assert (up == 4 * head).all()
    named = 4 * 2 * (names - 1)  # each event names its layers twice: in what is asked for, and in what is delivered
    assert (down - body.table(["train"])[:, 3] == 4 * head - named).all()


@executors
@pytest.mark.parametrize("groups", [(), (("0",), ("2",)), (("2", "0.bias"), ("0.weight",), ("0",))])
def test_groups_take_turns(groups: tuple[tuple[str, ...], ...], executor: str) -> None:
    """Events after steps 2, 5 and 8 and after the last one, 10: groups 0, 1, 2 and 3, modulo their number."""
    full = [tuple(n for n in COLUMNS if any(n == w or n.startswith(w + ".") for w in g)) for g in groups]
    full = full or [FIRST, LAST]
    wanted = by_hand([4, 7, 2], lambda t: full[t // 3 % len(full)])
    close(train(sites([4, 7, 2]), RotatingAvg(3, groups), executor=executor).rows, wanted)


def test_a_head_is_all_that_the_last_module_owns() -> None:
    """A head that normalises takes its running statistics along, although buffers come last in a row."""

    def model() -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3)).double()

    case: dict[str, Any] = {"model": model, "executor": "reference"}
    members = sites([4, 7, 5])
    for share, named in (("head", ("2",)), ("body", ("0", "1"))):
        assert_equal_result(train(members, PartialAvg(3, share), **case), train(members, PartialAvg(3, named), **case))


@executors
def test_one_group_of_all_layers_is_federated_averaging(executor: str) -> None:
    members, case = sites([4, 7, 2]), {"executor": executor, "batch_size": 3}
    assert_equal_result(
        train(members, RotatingAvg(3, (ALL,)), **case),  # type: ignore[arg-type]
        train(members, FedAvg(3), **case),  # type: ignore[arg-type]
    )


@executors
def test_shared_layers_hop_and_private_ones_stay(executor: str) -> None:
    """The whole of each model may change in training, but a private layer is only ever trained at its own site."""

    def event(t: int, rows: Array) -> Array:
        if t % 3 == 2 or t == STEPS - 1:
            return averaged(rows, FIRST)
        rows, where = rows.copy(), columns(FIRST)
        rows[:, where] = rows[Streams(0).generator("exchange", t).permutation(3)][:, where]
        return rows

    wanted = run_by_hand(sites([4, 7, 2]), lambda: initialised(net, 0), STEPS, event)
    close(train(sites([4, 7, 2]), PartialAvg(3, "body", daisy_period=1), executor=executor).rows, wanted)


# --- normalisation ---------------------------------------------------------------------------------------------------


class Misnamed(nn.Module):
    """Names say nothing: `bn` is linear, `linear` normalises."""

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.linear, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(torch.tanh(self.linear(self.bn(x))))
        return out

    def reset_parameters(self) -> None:
        """Nothing of its own to draw."""


@pytest.mark.parametrize(("buffers", "statistics"), [("travel", ("running_mean", "running_var")), ("stay", ())])
def test_what_a_normalisation_layer_owns_is_told_by_its_type(buffers: str, statistics: tuple[str, ...]) -> None:
    layout = layout_of(Misnamed(), buffers_travel=buffers == "travel")
    assert layout.norms == ("linear.weight", "linear.bias", *(f"linear.{n}" for n in statistics))
    assert layout_of(nn.GroupNorm(2, 4)).norms == ("weight", "bias")
    assert layout_of(net()).norms == ()


@pytest.mark.parametrize("buffers", ["travel", "stay"])
def test_fedbn_shares_all_but_normalisation(buffers: str) -> None:
    case: dict[str, Any] = {"model": Misnamed, "executor": "reference", "buffers": buffers}
    members = sites([4, 7, 5])
    found = train(members, FedBN(3), **case)
    one, *others = found.models.values()
    for name in one:
        alike = all(torch.equal(one[name], other[name]) for other in others)
        assert alike == (not name.startswith("linear.") or name.endswith("num_batches_tracked")), name
    same = train(members, PartialAvg(3, ("bn", "norm")), **case)
    assert_equal_result(found, same)


@executors
def test_fedbn_with_hops_keeps_normalisation_at_home(executor: str) -> None:
    """With one site there is nothing to average: all as alone. With two, only the normalisation differs at the end."""
    case: dict[str, Any] = {"model": normed, "executor": executor}
    close(train(sites([5]), FedBN(3, daisy_period=1), **case).rows, train(sites([5]), Local(), **case).rows)
    rows = train(sites([5, 6]), FedBN(3, daisy_period=1), **case).rows
    assert rows is not None
    differ = np.flatnonzero(rows[0] != rows[1])
    norm = layout_of(normed()).layers
    assert set(differ) <= {*range(norm["1.weight"].start, norm["1.bias"].stop)}
    assert len(differ) > 4


def test_a_model_without_normalisation_is_refused_before_work() -> None:
    with pytest.raises(BadSetting, match="The model has no normalisation layer"):
        train(sites([4, 4]), FedBN(3), model=net)


def test_a_frozen_head_stays_as_it_is_and_at_home() -> None:
    """The first phase of FedBABU: freeze the head, average the rest."""

    def frozen() -> nn.Module:
        model = initialised(net, 0)
        model[2].requires_grad_(False)  # type: ignore[index]
        return model

    found = train(sites([4, 7, 2]), FedAvg(3), model=frozen(), executor="reference")
    start = frozen().state_dict()
    for state in found.models.values():
        assert not torch.equal(state["0.weight"], start["0.weight"])
    assert found.layout.model_layers == FIRST


# --- what cannot be --------------------------------------------------------------------------------------------------

BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: PartialAvg(3, "haed"), "share must be a list of names.*Did you mean 'head'"),
    (lambda: PartialAvg(0, "head"), "aggregate_period must be"),
    (lambda: PartialAvg(3, "head", daisy_period=0), "daisy_period must be"),
    (lambda: RotatingAvg(3, ((),)), "one is empty"),
    (lambda: RotatingAvg(0), "aggregate_period must be"),
    (lambda: FedBN(0), "aggregate_period must be"),
    (lambda: FedBN(3, daisy_period=0), "daisy_period must be"),
    (lambda: FedPer(0), "period must be"),
    (lambda: train(sites([4, 4]), PartialAvg(3, ("0", "4"))), "No layer is called '4'; there are 0.weight, 0.bias,"),
    (lambda: train(sites([4, 4]), RotatingAvg(3, (("0",), ("1",)))), "No layer is called '1'"),
    (lambda: train(sites([4, 4]), FedPer(3, head=("0", "2"))), r"no layer besides its head \(0.weight, 0.bias, 2"),
    (lambda: train(sites([4, 4]), FedBN(3), model=lambda: nn.LayerNorm(3).double()), "normalisation layers only"),
]


@pytest.mark.parametrize(("make", "text"), BAD)
def test_settings_without_meaning_are_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        make()

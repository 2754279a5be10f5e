"""Rows that nobody has written out are the rows that they stand for, and looking at them changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.contract.federations import assert_equal_result, net, sites, train
from tests.contract.programs import quick
from unpooled.combine import coordinate_median, mean
from unpooled.sites.ledger import Ledger
from unpooled.sites.site import Site
from unpooled.training.executors import VectorisedExecutor
from unpooled.training.protocols import FedAvg, MiniBatch, Protocol
from unpooled.training.recipe import recipe
from unpooled.training.unwritten import Product, Summed, Unwritten, combined

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")


def rows(dtype: torch.dtype = torch.float64, *, start: bool = True) -> tuple[Unwritten, np.ndarray]:
    """Five sites, a weight (2, 3), a bias (4,), a weight (3, 2) as a product, a bias (2,) as rows; the same by hand."""
    random = torch.Generator().manual_seed(0)
    first = torch.randn(18, generator=random, dtype=dtype) if start else None
    moves = [torch.randn(5, *shape, generator=random, dtype=dtype) for shape in ((2, 3), (4,))]
    left, right = (torch.randn(5, *shape, generator=random, dtype=dtype) for shape in ((7, 3), (7, 2)))
    product = Product(left.transpose(1, 2), right)
    multiplied = np.einsum("mnp,mnq->mpq", left.numpy(), right.numpy())
    summed = Summed(right)
    by_hand = -0.5 * np.concatenate([m.reshape(5, -1) for m in (*moves, multiplied, right.sum(1))], axis=1)
    return Unwritten(first, [*moves, product, summed], -0.5), by_hand if first is None else first.numpy() + by_hand


@pytest.mark.parametrize("start", [True, False])
def test_they_are_the_array_that_they_stand_for(start: bool) -> None:
    unwritten, by_hand = rows(start=start)
    assert (len(unwritten), unwritten.shape, unwritten.ndim) == (5, by_hand.shape, by_hand.ndim)
    assert (unwritten.dtype, unwritten.nbytes) == (by_hand.dtype, by_hand.nbytes)
    np.testing.assert_allclose(np.asarray(unwritten), by_hand, rtol=1e-13)
    np.testing.assert_array_equal(unwritten[[3, 1]], np.asarray(unwritten)[[3, 1]])
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(unwritten)[0] = 0


@pytest.mark.parametrize("weights", [None, np.array([1, 2, 0, 4, 3])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_their_mean_is_that_of_the_written_rows(dtype: torch.dtype, weights: np.ndarray | None) -> None:
    unwritten, by_hand = rows(dtype)
    exact = np.average(by_hand.astype(np.float64), axis=0, weights=weights)
    before = combined(mean, unwritten, weights)
    rounding = 16 * np.finfo(by_hand.dtype).eps
    np.testing.assert_allclose(before, exact, rtol=rounding, atol=rounding)
    assert before.dtype == by_hand.dtype
    np.asarray(unwritten)
    assert np.array_equal(combined(mean, unwritten, weights), before)


def test_other_combiners_get_the_rows() -> None:
    unwritten, by_hand = rows()
    np.testing.assert_allclose(combined(coordinate_median, unwritten, None), np.median(by_hand, axis=0), rtol=1e-13)


def test_a_step_from_one_model_writes_no_row_until_asked() -> None:
    executor, everyone = VectorisedExecutor(recipe(net(), lr=0.1), sites([4, 4, 4])), slice(None)
    model = np.array(executor.rows(everyone)[0])
    executor.load(everyone, np.broadcast_to(model, (3, len(model))))
    executor.train(everyone, 0, 1)
    kept = executor.rows(everyone)
    assert isinstance(kept, Unwritten)
    seen = executor.models(everyone)
    np.testing.assert_array_equal(np.asarray(kept), seen)
    executor.load(everyone, np.zeros((3, len(model))))
    executor.train(everyone, 1, 1)
    np.testing.assert_array_equal(np.asarray(kept), seen)


def test_gradients_of_weights_are_left_as_factors() -> None:
    executor, everyone = VectorisedExecutor(recipe(net(), lr=0.1), sites([4, 4, 4])), slice(None)
    shapes = tuple(executor.layout.parameters.values())
    found, _ = executor._moves_of(executor.data.groups(everyone)[0], 0)
    wanted, _ = executor._gradients_of(executor.data.groups(everyone)[0], torch.arange(3), 0)
    for shape, move, gradient in zip(shapes, found, wanted, strict=True):
        assert isinstance(move, Product if len(shape) == 2 else Summed)
        whole = move.written() if isinstance(move, (Product, Summed)) else move
        torch.testing.assert_close(whole, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("protocol", [FedAvg(1), FedAvg(1, weighted_by_samples=True), FedAvg(3), MiniBatch()], ids=str)
def test_looking_and_ledgers_change_no_bit(protocol: Protocol, tmp_path: Path) -> None:
    """A look writes the rows; so does a ledger, which hashes what each site sends."""
    members = sites([4, 4, 4, 4])
    written_down = [Site(s.name, s.train, None, s.policy, Ledger(tmp_path / f"{s.name}.jsonl")) for s in members]
    blind, looked = (train(members, protocol, executor="vectorised", evaluate_every=e) for e in (11, 1))
    assert np.array_equal(blind.rows, looked.rows)  # type: ignore[arg-type]
    assert_equal_result(train(written_down, protocol, executor="vectorised"), blind)

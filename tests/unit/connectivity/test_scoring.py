"""Scores of outputs: those of torch, whatever the layout, and the outputs stay as they were."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unpooled.connectivity.scoring import cross_entropy, error, loss_and_error, samples

SHAPES = {"one": (1, 5), "many": (40, 5), "one class": (6, 1), "positions": (7, 3, 5), "none": (1, 1, 1)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_loss_and_error_are_those_of_torch_and_the_outputs_stay(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(len(shape))
    output = (3 * torch.randn(shape, generator=random)).to(dtype)
    target = torch.randint(shape[-1], shape[:-1], generator=random)
    before = output.clone()
    wide = output.double().flatten(0, -2)
    loss = functional.cross_entropy(wide, target.flatten(), reduction="none").view(len(target), -1).mean(1)
    wrong = 100 * (output.argmax(-1) != target).double().view(len(target), -1).mean(1)
    for values in (loss_and_error(output, target), (cross_entropy(output, target), error(output, target))):
        torch.testing.assert_close(values[0].double(), loss, rtol=1e-5, atol=1e-6)
        assert torch.equal(values[1].double(), wrong)
    assert torch.equal(output, before)


def test_ties_and_outputs_that_are_no_numbers_count_as_torch_counts_them() -> None:
    nan, inf = torch.nan, torch.inf
    output = torch.tensor([[1.0, 1, 0], [0, 1, 1], [nan, 0, 0], [0, nan, 0], [0, inf, 0], [0, inf, inf], [2, 1, 0]])
    for target in torch.tensor([[0] * 7, [1] * 7, [2] * 7]):
        assert torch.equal(loss_and_error(output, target)[1], error(output, target))
    assert error(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])).tolist() == [0, 100, 100, 0]  # a dead network
    assert loss_and_error(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]))[1].tolist() == [0, 100, 100, 0]


def test_models_at_once_are_scored_as_one_by_one(alike: torch.nn.Module) -> None:
    X, y = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    scored = samples((X, y), ["error", "loss"], dtype=torch.float32, device=torch.device("cpu"))
    outputs: Tensor = torch.stack([alike(X), 2 * alike(X), torch.zeros(6, 10)]).detach()
    together = scored.scores_of([outputs[:, 2:5], outputs[:, 2:5] + 1], 2, 5)
    for found, more in zip(together, (0, 1), strict=True):
        for one, output in zip(found, outputs[:, 2:5], strict=True):
            assert torch.equal(one, scored.scores(output + more, 2, 5))

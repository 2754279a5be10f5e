"""A traced and shortened program computes what the function it was made of computes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.contract.federations import assert_same_result, train
from unpooled.errors import Unsupported
from unpooled.sites.site import Samples, Site
from unpooled.training.executors.vectorised import VectorisedExecutor
from unpooled.training.layout import layout_of
from unpooled.training.protocols import FedDC, Local
from unpooled.training.recipe import LOSSES, recipe

SITES, BATCH = 3, 4


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(5, 12)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).chunk(3, dim=-1)
        weights = functional.softmax(q @ k.transpose(-2, -1) / 2.0, dim=-1)
        return self.out((weights @ v).mean(dim=1))


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h.mul_(2.0).add_(1.0)
        h[:, 0] = h[:, 1]
        functional.relu_(h)
        y = self.second(h)
        y += y.detach().mean()
        return y


class Shared(nn.Module):
    """The same subexpression twice, double transposes, a product by one: what the clean-up looks for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
        self.constant = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.tanh(x @ self.weight)
        b = torch.tanh(x @ self.weight)
        c = (self.weight.t() @ x.t()).t() * 1
        return (a * b).t().t() + c.view(c.shape) * self.constant


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step, self.out = nn.Linear(5 + 4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 4)
        for t in range(x.shape[1]):
            h = torch.tanh(self.step(torch.cat([x[:, t], h], dim=1)))
        return self.out(h)


def residual() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 3))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)), (5,)),
    "norm": (residual, (5,)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3),
        ),
        (2, 8, 8),
    ),
    "attention": (Attention, (6, 5)),
    "multihead": (lambda: Multihead(), (6, 4)),
    "recurrent": (Recurrent, (3, 5)),
    "embedding": (lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 3)), (3,)),
    "in place": (InPlace, (5,)),
    "shared": (Shared, (5,)),
    "dropout of 0": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.0), nn.Linear(4, 3)), (5,)),
    "batch statistics": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)),
        (5,),
    ),
}  # fmt: skip


class Multihead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.attend(x, x, x, need_weights=False)[0][:, 0])


def problem(model: str, loss: str = "cross_entropy") -> tuple[nn.Module, list[Site]]:
    make, shape = MODELS[model]
    generator = torch.Generator().manual_seed(1)
    module = make().double()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    members = []
    for i in range(SITES):
        if model == "embedding":
            X = torch.randint(0, 9, (BATCH, *shape), generator=generator)
        else:
            X = torch.randn((BATCH, *shape), generator=generator, dtype=torch.float64)
        y = torch.randint(0, 3, (BATCH,), generator=generator)
        target = functional.one_hot(y, 3).double() if loss == "mse" else y
        members.append(Site(f"s{i}", Samples(X.numpy(), target.numpy())))
    return module, members


def gradients_by_autograd(module: nn.Module, rows: Tensor, members: list[Site], loss: str) -> tuple[Tensor, Tensor]:
    """One site after the other, by torch's own autograd."""
    gradients, losses = [], []
    for row, site in zip(rows, members, strict=True):
        own = copy.deepcopy(module).train()
        trainable = [p for p in own.parameters() if p.requires_grad]
        torch.nn.utils.vector_to_parameters(row, trainable)
        data = site.require_train()
        value = LOSSES[loss](own(torch.from_numpy(data.X)), torch.from_numpy(data.y))
        gradients.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, trainable)]))
        losses.append(value.detach())
    return torch.stack(gradients), torch.stack(losses)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("model", MODELS)
def test_one_step_of_plain_descent_is_the_gradient_of_autograd(model: str, loss: str) -> None:
    """Twice, from different models at each site: a program must not remember what it was traced on."""
    module, members = problem(model, loss)
    executor = VectorisedExecutor(recipe(module, loss=loss, lr=1.0), members)
    width = layout_of(module).parameter_width
    for seed in (2, 3):
        rows = torch.randn((SITES, width), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 2
        executor.load(slice(None), rows.numpy().copy())
        found_losses = torch.from_numpy(executor.train(slice(None), 0, 1).copy())
        stepped = torch.from_numpy(np.array(executor.rows(slice(None))))[:, :width]
        wanted, losses = gradients_by_autograd(module, rows, members, loss)
        torch.testing.assert_close(rows - stepped, wanted, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(found_losses, losses, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("model", MODELS)
def test_one_model_for_all_sites_is_no_special_case(model: str) -> None:
    """The first step from one common model may take a short cut."""
    module, members = problem(model)
    width = layout_of(module).parameter_width
    row = torch.randn(width, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 2
    executor = VectorisedExecutor(recipe(module, lr=1.0), members)
    rows = row.expand(SITES, width)
    executor.load(slice(None), rows.numpy())
    executor.train(slice(None), 0, 1)
    wanted, _ = gradients_by_autograd(module, rows, members, "cross_entropy")
    stepped = torch.from_numpy(np.array(executor.rows(slice(None))))[:, :width]
    torch.testing.assert_close(rows - stepped, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_runs_of_every_architecture_agree_with_the_reference(model: str) -> None:
    module, members = problem(model)
    case: dict[str, Any] = {"steps": 4, "lr": 0.05, "test": members[0].train, "batch_size": 3}
    from unpooled.sites.transports.in_process import InProcess
    from unpooled.training.train import Training, run

    fast, slow = (
        run(
            Training(
                InProcess.of([Site(s.name, s.train) for s in members]),
                recipe(module, lr=case["lr"], batch_size=case["batch_size"], executor=executor),
                FedDC(1, 3),
                steps=case["steps"],
                test=case["test"],
            )
        )
        for executor in ("vectorised", "reference")
    )
    assert_same_result(fast, slow, rtol=1e-9, atol=1e-11)


def test_the_module_that_was_given_is_left_as_it_was() -> None:
    module, members = problem("cnn")
    module.eval()
    before = copy.deepcopy(module.state_dict())
    run_on(module, members)
    for name, value in before.items():
        assert torch.equal(module.state_dict()[name], value)


def run_on(module: nn.Module, members: list[Site]) -> None:
    VectorisedExecutor(recipe(module, lr=0.1), members).train(slice(None), 0, 2)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y if y.sum() > 0 else -y  # depends on the numbers: no one program fits all sites


def test_a_model_that_branches_on_its_numbers_is_refused_not_frozen() -> None:
    members = [Site("a", Samples(torch.randn(4, 5).numpy(), torch.tensor([0, 1, 2, 0]).numpy()))]
    with pytest.raises(Unsupported, match=r'Branching cannot be trained for all sites at once .*executor="reference"'):
        train(members, Local(), model=Branching, executor="vectorised", test=members[0].train)

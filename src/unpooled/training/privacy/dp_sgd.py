"""DP-SGD at a site: each sample's gradient is clipped, and noise is added to their sum, in every local step.

M. Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, Algorithm 1.
paper -> here: C clip, sigma noise, L the expected batch size, N a site's samples, q = L / N the sampling rate.
Sampling: in each step every sample takes part with probability q by itself (Poisson), which is what the accountant of
the sampled Gaussian mechanism assumes; other training of this library draws batches of a fixed size. With a full
batch q is 1. Division is by L, not by the number drawn. The relation is add or remove one sample; N counts as public.

What is sent is made of noisy gradients alone, so sending, however often and to whomever, costs nothing more: the
account counts local steps, up to the last model that left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from unpooled.combine import Array
from unpooled.errors import Unsupported
from unpooled.seeds import Streams
from unpooled.sites.site import Site
from unpooled.training.batches import Batches, Indices
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Executor, Seats
from unpooled.training.executors.reference import Bench, ReferenceExecutor
from unpooled.training.layout import unflatten
from unpooled.training.privacy.account import Account
from unpooled.training.privacy.executor import AccountedExecutor
from unpooled.training.privacy.settings import DPSGD
from unpooled.training.randomness import torch_stream
from unpooled.training.recipe import Loss, Recipe


def clipped_sum(module: nn.Module, loss: Loss, X: Tensor, y: Tensor, clip: float) -> tuple[dict[str, Tensor], float]:
    """The sum over samples of gradients cut to length `clip` over all parameters jointly, and the sum of the losses."""
    parameters = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    if not len(X):
        return {name: torch.zeros_like(p) for name, p in parameters.items()}, 0.0

    def of_one(values: Mapping[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
        return loss(functional_call(module, dict(values), (x[None],)), target[None])

    each, losses = vmap(grad_and_value(of_one), in_dims=(None, 0, 0), randomness="different")(parameters, X, y)
    norms = torch.sqrt(sum((g.reshape(len(X), -1).double() ** 2).sum(dim=1) for g in each.values()))
    shares = clip / torch.clamp(norms, min=clip)
    return {n: torch.tensordot(shares.to(g.dtype), g, dims=1) for n, g in each.items()}, float(losses.sum())


def secrets_of(sites: Sequence[Site], recipe: Recipe) -> dict[str, Streams]:
    """By site's name, the streams of its coins and its noise: its own where it has put them."""
    return {site.name: site.state.get("noise", recipe.streams) for site in sites}


def coins(secret: Streams, batches: Batches, step: int) -> Indices:
    """Positions of the samples that take part in a step, each with probability L / N by itself."""
    if batches.full:
        return np.arange(batches.samples)
    thrown = secret.generator("site", batches.site, "poisson", step).random(batches.samples)
    return np.flatnonzero(thrown < batches.size / batches.samples)


def standard_noise(secret: Streams, site: str, step: int, width: int) -> Array:
    """Standard normal numbers (width,) for the sum of gradients of a step."""
    return secret.generator("site", site, "noise", step).standard_normal(width)


class PerSample(ReferenceExecutor):
    """The reference executor with steps of DP-SGD."""

    def __init__(self, recipe: Recipe, sites: Sequence[Site], setting: DPSGD) -> None:
        super().__init__(recipe, sites)
        self.setting, self._secrets = setting, secrets_of(sites, recipe)

    def _step(self, bench: Bench, step: int) -> float:
        for group in bench.optimizer.param_groups:
            group["lr"] = self.recipe.rate(step)
        secret, expected = self._secrets[bench.site], bench.batches.size
        drawn = torch.from_numpy(coins(secret, bench.batches, step))
        X, y = bench.X[drawn], bench.y[drawn]
        with torch_stream(self.recipe.streams.torch_seed("site", bench.site, "layers", step)):
            gradients, loss = clipped_sum(bench.module, self.recipe.loss, X, y, self.setting.clip)
        normal = standard_noise(secret, bench.site, step, self.layout.parameter_width)
        noise = unflatten(torch.from_numpy(normal).to(self.layout.dtype), self.layout.parameters)
        for parameter, name in zip(bench.parameters, self.layout.parameters, strict=True):
            noisy = gradients[name] + self.setting.noise * self.setting.clip * noise[name]
            parameter.grad = noisy / expected
        self._add_what_depends_on_no_sample(bench)
        bench.optimizer.step()
        return loss / expected

    def _add_what_depends_on_no_sample(self, bench: Bench) -> None:
        """The gradient of a proximal term, and a correction that came with the model."""
        row = torch.cat([p.detach().reshape(-1) for p in bench.parameters])
        extra = torch.zeros_like(row)
        if self.recipe.proximal and bench.anchor is not None:
            extra += self.recipe.proximal * (row - bench.anchor[: len(row)])
        if bench.correction is not None:
            extra += bench.correction
        for parameter, part in zip(bench.parameters, unflatten(extra, self.layout.parameters).values(), strict=True):
            assert parameter.grad is not None
            parameter.grad += part


class DPSGDExecutor(AccountedExecutor):
    """`inner` trains by DP-SGD, and here the local steps that sent models rest on are counted."""

    def __init__(self, inner: Executor, recipe: Recipe, sites: Sequence[Site], setting: DPSGD) -> None:
        sizes = [len(site.require_train()) for site in sites]
        rates = [1.0 if recipe.batch_size is None else min(1.0, recipe.batch_size / n) for n in sizes]
        super().__init__(inner, sites, Account(sites, setting.noise, rates, setting.delta, setting.budget))
        self._steps = np.zeros(self.seats, dtype=np.int64)

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        """Local steps, each of which is one noisy answer, to be paid for when a model leaves."""
        self._steps[seats] += steps
        return super().train(seats, step, steps)

    def charges(self, seats: Seats, steps: int) -> Array:
        """All local steps so far, and those to come."""
        return np.asarray(self._steps[seats] + steps)

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        """Models as they are, counted."""
        own = np.asarray(self.inner.rows(seats, layers))
        self._must_be_finite(seats, own, "model")
        self.account.send(seats, self.charges(seats, 0))
        return own

    def outgoing(self, seats: Seats) -> Array:
        """What leaves is the model itself."""
        return self.inner.models(seats)

    def state(self) -> dict[str, Any]:
        """Also the steps taken."""
        return {**super().state(), "steps": self._steps.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        self._steps[:] = state["steps"]


def refuse_what_mixes_samples(recipe: Recipe) -> None:
    """Raise `Unsupported` where no sample has a gradient of its own, before any work starts."""
    for name, layer in recipe.module.named_modules():
        statistics = isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats
        if statistics or isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise Unsupported(
                f"Layer '{name}' ({type(layer).__name__}) mixes the samples of a batch, so no sample has a gradient of "
                "its own to clip: use GroupNorm."
            )
    if isinstance(recipe.new_optimizer([torch.zeros(1, requires_grad=True)]), torch.optim.LBFGS):
        raise Unsupported("LBFGS computes gradients many times in one step, which DP-SGD cannot: use another one.")

"""Relative flatness of a layer, in four forms that agree.

Petzka, Kamp, Adilova, Sminchisescu, Boley, "Relative flatness and generalization", NeurIPS 2021. For the weights W,
rows w_s, of one layer and H_{s,s'} the blocks of the Hessian of the mean loss, kappa = sum over s, s' of <w_s, w_s'> Tr
H_{s,s'}. Larger is sharper; scaling a layer up and the next one down (ReLU, bias along) changes nothing. Biases are not
part of W. Convolutions are matrices (out, in x kernel).

- hessian: the definition, (d m)^2 second derivatives; for small layers, and for tests.
- outputs: E_x[ |phi|^2 Tr(W W^T M(x)) ], M the Hessian by the layer's output; exact, d backward passes, `nn.Linear`.
- softmax: E_x[ |phi|^2 (sum p_s |w_s|^2 - |sum p_s w_s|^2) ], the last layer under cross-entropy; no derivatives.
- products: E[D^T H D], D = (W u) z^T with independent signs u and z; any layer, one Hessian-vector product a draw.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vjp
from torch.nn import functional

from unpooled.connectivity.alike import fitted
from unpooled.connectivity.checkpoints import Checkpoint, open_checkpoint
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Plan, Prepared
from unpooled.connectivity.scoring import samples
from unpooled.errors import BadSetting, Unsupported, did_you_mean, positive
from unpooled.seeds import Streams

FORMS = ("products", "outputs", "softmax", "hessian")
LARGEST = 4096
"""Weights of a layer up to which the whole Hessian is computed."""
BATCH = 256
"""Samples at a time in the form "products"."""


@dataclass(frozen=True)
class Flatness:
    """kappa of one layer, its standard error over draws (0 where it is exact), and the form it was computed in."""

    value: float
    standard_error: float
    form: str


def relative_flatness(
    model: nn.Module,
    layer: str,
    data: tuple[Any, Any],
    *,
    form: str = "products",
    draws: int = 200,
    seed: int = 0,
    batch_size: int = BATCH,
) -> Flatness:
    """kappa of the module called `layer`, for cross-entropy (whole-number targets) or the mean squared error.

    Computed in double precision, in evaluation mode, on a copy; the form "products" takes `batch_size` samples at a
    time, which bounds its memory and changes nothing else. Raises `BadSetting` for a layer or form that does not
    exist, `Unsupported` where the form cannot be used for this layer.
    """
    positive(draws=draws, batch_size=batch_size)
    if form not in FORMS:
        raise BadSetting(f"There is no form '{form}'; there are {', '.join(FORMS)}.{did_you_mean(form, FORMS)}")
    owners = [name for name, part in model.named_modules() if isinstance(getattr(part, "weight", None), Tensor)]
    if layer not in owners:
        raise BadSetting(f"No layer with weights is called '{layer}'; there are {', '.join(owners)}.")
    model = copy.deepcopy(model).double().eval()
    device = next(model.parameters()).device
    scored = samples(data, dtype=torch.float64, device=device)
    whole = not scored.y.dtype.is_floating_point
    problem = _Problem(model, layer, scored.X, scored.y, whole)
    if form == "products":
        return problem.by_products(draws, seed, batch_size)
    exact: dict[str, Callable[[], float]] = {
        "outputs": problem.by_outputs,
        "softmax": problem.by_softmax,
        "hessian": problem.by_hessian,
    }
    return Flatness(exact[form](), 0.0, form)


def prepared(
    a: Checkpoint, b: Checkpoint, data: tuple[Any, Any], *, model: nn.Module, draws: int = 200, seed: int = 0
) -> Prepared[pd.DataFrame]:
    """kappa of every layer of both models that has a matrix or kernel, in the form "products"; and its cost.

    A product with the Hessian is counted as four passes.
    """
    positive(draws=draws)
    models = {which: copy.deepcopy(model) for which in "ab"}
    for which, weights in (("a", a), ("b", b)):
        models[which].load_state_dict(dict(fitted(open_checkpoint(weights), model)))
    parts = [(name, part) for name, part in model.named_modules() if isinstance(getattr(part, "weight", None), Tensor)]
    layers = [name for name, part in parts if part.weight.dim() > 1]
    count = 2 * len(layers)
    first = next(model.parameters())
    X = samples(data, dtype=torch.float64, device=first.device).X
    timed = copy.deepcopy(model).double().eval()
    start = time.perf_counter()
    few = X[:BATCH]
    with torch.no_grad():
        timed(few)
    seconds = (time.perf_counter() - start) * 4 * draws * count * len(X) / len(few)
    plan = Plan(count * draws, 4.0 * draws * count, len(X), len(few), "products", "", seconds)

    def run(told: Told) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for which, one in models.items():
            for layer in layers:
                found = relative_flatness(one, layer, data, draws=draws, seed=seed)
                rows.append({"model": which, "layer": layer, "flatness": found.value, "draws": draws})
                rows[-1]["standard_error"] = found.standard_error
                told(len(rows), count)
        return pd.DataFrame(rows)

    return Prepared(plan, run)


@dataclass(frozen=True, eq=False)
class _Problem:
    model: nn.Module
    layer: str
    X: Tensor
    y: Tensor
    whole: bool

    @property
    def weight(self) -> Tensor:
        found: Tensor = self.model.get_submodule(self.layer).weight  # type: ignore[assignment]
        if found.dim() < 2:
            raise Unsupported(f"'{self.layer}' has a vector of weights: relative flatness is for matrices and kernels.")
        return found.detach()

    def loss(self, output: Tensor) -> Tensor:
        """The mean loss, over positions too where a sample has several."""
        if self.whole:
            return functional.cross_entropy(output.flatten(0, -2), self.y.flatten())
        return (output.view(self.y.shape) - self.y).square().mean()

    def at(self, weight: Tensor) -> Tensor:
        """The mean loss with other weights in the layer."""
        return self.loss(functional_call(self.model, {f"{self.layer}.weight": weight}, (self.X,)))

    def by_hessian(self) -> float:
        weight = self.weight
        if weight.numel() > LARGEST:
            raise Unsupported(f"'{self.layer}' has {weight.numel()} weights, too many for 'hessian': take 'products'.")
        rows = weight.flatten(1)
        d, m = rows.shape
        blocks = jacrev(grad(self.at))(weight).detach().reshape(d, m, d, m)
        return float(((rows @ rows.T) * blocks.diagonal(dim1=1, dim2=3).sum(-1)).sum())

    def by_products(self, draws: int, seed: int, batch_size: int) -> Flatness:
        """The Hessian of a mean is the mean of Hessians: samples are taken some at a time, each with all draws."""
        weight = self.weight
        rows = weight.flatten(1)
        random = torch.Generator().manual_seed(Streams(seed).torch_seed("flatness", self.layer))
        signs = [
            tuple(2.0 * torch.randint(2, rows.shape[1:], generator=random).double().to(rows.device) - 1 for _ in "uz")
            for _ in range(draws)
        ]
        values = torch.zeros(draws, dtype=torch.float64)
        for X, y in zip(torch.split(self.X, batch_size), torch.split(self.y, batch_size), strict=True):
            part = replace(self, X=X, y=y)
            back = vjp(grad(part.at), weight)[1]  # the Hessian is symmetric, so this is its product with a vector
            for place, (u, z) in enumerate(signs):
                step = torch.outer(rows @ u, z).view_as(weight)
                values[place] += float((step * back(step)[0].detach()).sum()) * len(X) / len(self.X)
        error = float(values.std()) / math.sqrt(draws) if draws > 1 else float("nan")
        return Flatness(float(values.mean()), error, "products")

    def by_outputs(self) -> float:
        phi, output, outer = self._taken_apart()
        rows = self.weight
        gram = rows @ rows.T
        slope = torch.autograd.grad(outer, output, create_graph=True)[0]
        total = torch.zeros(len(phi), dtype=torch.float64, device=phi.device)
        for s in range(len(rows)):
            if not slope.requires_grad:
                break  # the loss is linear in the outputs
            second = torch.autograd.grad(slope[:, s].sum(), output, retain_graph=True)[0]
            total += second @ gram[s]
        return float((phi.square().sum(1) * total).sum())

    def by_softmax(self) -> float:
        phi, output, _ = self._taken_apart()
        if not self.whole or not torch.equal(output, self.model(self.X)):
            raise Unsupported("The form 'softmax' is for the last layer under cross-entropy: take 'outputs'.")
        rows, p = self.weight, output.detach().softmax(1)
        spread = p @ rows.square().sum(1) - (p @ rows).square().sum(1)
        return float((phi.square().sum(1) * spread).mean())

    def _taken_apart(self) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's input (n, m) and output (n, d), and the loss as a function of that output."""
        part = self.model.get_submodule(self.layer)
        seen: list[tuple[Tensor, Tensor]] = []

        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            fresh = output.detach().requires_grad_()
            seen.append((inputs[0].detach(), fresh))
            return fresh.clone()

        handle = part.register_forward_hook(hook)
        try:
            outer = self.loss(self.model(self.X))
        finally:
            handle.remove()
        if not isinstance(part, nn.Linear) or len(seen) != 1 or seen[0][0].dim() != 2:
            raise Unsupported(f"'{self.layer}' is no linear layer used once on (n, m): take the form 'products'.")
        return *seen[0], outer

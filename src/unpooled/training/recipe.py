"""How a site trains: model, loss, optimizer, batch, and what happens to optimizer state when a model arrives."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unpooled import errors
from unpooled.errors import BadSetting, did_you_mean
from unpooled.seeds import Streams
from unpooled.training.privacy.settings import Privacy

if TYPE_CHECKING:
    from unpooled.training.blueprint import Blueprint

Loss = Callable[[Tensor, Tensor], Tensor]
OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""Called as factory(parameters, lr=...); a class of torch.optim or functools.partial of one."""
StatePolicy = Literal["reset", "stay", "travel"]
BufferPolicy = Literal["travel", "stay"]


def _binary(output: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(output.reshape(target.shape), target.to(output.dtype))


def _squared(output: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(output.reshape(target.shape), target)


LOSSES: dict[str, Loss] = {
    "cross_entropy": functional.cross_entropy,
    "binary_cross_entropy": _binary,
    "mse": _squared,
}
"""Losses by the name that configs use; each is the mean over the batch."""
OPTIMIZERS: dict[str, OptimizerFactory] = {
    name.lower(): cls
    for name, cls in vars(torch.optim).items()
    if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer
}
"""Every optimizer of torch.optim by its name in lower case."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a site needs to train; made by `recipe`, handed to a site where the training is set up.

    `lr` may depend on the global step (not on the model or the site). `batch_size` None uses all local samples in
    each step. `optimizer_state`: `reset` clears it whenever a model arrives (default), `stay` keeps it at the site,
    `travel` sends it with the model (and counts it). `buffers`: floating-point buffers `travel` with the model or
    `stay`; integer counters always stay. `proximal` is mu of FedProx: (mu / 2) |w - w_ref|^2 is added to the loss,
    w_ref being the last aggregate that the site received (the initial model before it). `corrected` says that a vector
    sent with the model is added to each gradient (SCAFFOLD). `privacy` is what a site does so that its answers
    tell less; with `secure_sum` no single model leaves, only sums under masks. With `sealed_hops` models that hop are
    sealed for the site that receives them. A recipe made of the library's own parts has a `blueprint`, from which real
    sites build it.
    """

    module: nn.Module
    loss: Loss
    optimizer: OptimizerFactory
    lr: float | Callable[[int], float]
    batch_size: int | None
    optimizer_state: StatePolicy
    buffers: BufferPolicy
    executor: str
    streams: Streams
    proximal: float = 0.0
    privacy: Privacy | None = None
    corrected: bool = False
    secure_sum: bool = False
    sealed_hops: bool = False
    blueprint: Blueprint | None = None

    def rate(self, step: int) -> float:
        """The learning rate of a global step."""
        return self.lr(step) if callable(self.lr) else self.lr

    def new_optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimizer over `parameters`."""
        return self.optimizer(list(parameters), lr=self.rate(0))

    @property
    def plain_descent(self) -> bool:
        """Whether a local step is the gradient times the rate and nothing else."""
        optimizer = self.new_optimizer([torch.zeros(1, requires_grad=True)])
        extras = ("momentum", "weight_decay", "maximize")
        return type(optimizer) is torch.optim.SGD and not any(optimizer.param_groups[0][name] for name in extras)

    @property
    def model_class(self) -> str:
        """The kind of the model where it has a name, or else the name of its class."""
        return type(self.module).__name__ if self.blueprint is None else self.blueprint.model_class

    @property
    def parameters(self) -> int:
        """How many numbers of the model are trained."""
        return sum(p.numel() for p in self.module.parameters())

    def describe(self) -> str:
        """The recipe in words, one JSON object: what a site is told, and what it can check.

        The executor is not in it: each site takes its own, and all give the same result.
        """
        ours: dict[str, Any] = {
            **({"proximal": self.proximal} if self.proximal else {}),
            **({"corrected": True} if self.corrected else {}),
            **({"sealed_hops": True} if self.sealed_hops else {}),
        }
        if self.blueprint is not None:
            return json.dumps({"blueprint": self.blueprint.plain(), **ours}, sort_keys=True)
        return json.dumps(
            {
                "model": _named(self.module),
                "loss": _named(self.loss),
                "optimizer": _named(self.optimizer),
                "lr": _named(self.lr) if callable(self.lr) else self.lr,
                "batch_size": self.batch_size,
                "optimizer_state": self.optimizer_state,
                "buffers": self.buffers,
                "seed": self.streams.root,
                **({"privacy": str(self.privacy)} if self.privacy else {}),
                **({"secure_sum": True} if self.secure_sum else {}),
                **ours,
            },
            sort_keys=True,
        )


def recipe(
    module: nn.Module,
    *,
    loss: str | Loss = "cross_entropy",
    optimizer: str | OptimizerFactory = "sgd",
    lr: float | Callable[[int], float],
    batch_size: int | None = None,
    optimizer_state: StatePolicy = "reset",
    buffers: BufferPolicy = "travel",
    executor: str = "auto",
    privacy: Privacy | None = None,
    secure_sum: bool = False,
    sealed_hops: bool = False,
    seed: int = 0,
    **optimizer_settings: Any,
) -> Recipe:
    """A checked `Recipe`; raises `BadSetting` that names what was found and what is possible."""
    loss_function: Loss = _choose("loss", loss, LOSSES) if isinstance(loss, str) else loss
    factory: OptimizerFactory = (
        _choose("optimizer", optimizer.lower(), OPTIMIZERS) if isinstance(optimizer, str) else optimizer
    )
    if batch_size is not None:
        errors.positive(batch_size=batch_size)
    if not callable(lr) and not lr > 0:
        raise BadSetting(f"lr must be above 0, got {lr!r}.")
    _choose("optimizer_state", optimizer_state, dict.fromkeys(("reset", "stay", "travel")))
    _choose("buffers", buffers, dict.fromkeys(("travel", "stay")))
    _choose("executor", executor, dict.fromkeys(("auto", "reference", "vectorised")))
    if optimizer_settings:
        factory = functools.partial(factory, **optimizer_settings)
    made = Recipe(module, loss_function, factory, lr, batch_size, optimizer_state, buffers, executor, Streams(seed))
    made = replace(made, privacy=privacy, secure_sum=secure_sum, sealed_hops=sealed_hops)
    try:
        made.new_optimizer([torch.zeros(1, requires_grad=True)])
    except (TypeError, ValueError) as error:
        raise BadSetting(f"The optimizer cannot be made with these settings: {error}.") from error
    return made


def _choose(what: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise BadSetting(f"There is no {what} '{name}'; there are {', '.join(known)}.{did_you_mean(name, known)}")
    return known[name]


def _named(thing: object) -> str:
    if isinstance(thing, functools.partial):
        settings = ", ".join(f"{k}={v!r}" for k, v in sorted(thing.keywords.items()))
        return f"{_named(thing.func)}({settings})"
    if isinstance(thing, nn.Module):
        return f"{type(thing).__name__} of {sum(p.numel() for p in thing.parameters())} parameters"
    return str(getattr(thing, "__qualname__", type(thing).__name__))

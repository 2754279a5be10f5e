"""Pairs of models to compare: what they have in common is chosen, everything else is drawn from named streams.

Frankle, Dziugaite, Roy, Carbin, "Linear mode connectivity and the lottery ticket hypothesis", ICML 2020 (copies that
part after some steps); Adilova et al., ICLR 2024 (one initialisation, other orders or other data). SGD with
momentum, or Adam, on samples in memory: enough for the questions asked here, and reproducible to the bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unpooled.connectivity.checkpoints import Weights
from unpooled.errors import BadSetting, Diverged, above_zero, did_you_mean, not_negative, positive
from unpooled.seeds import Streams

SPLITS = ("all", "halves", "labels")
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True, eq=False)
class TrainedPair:
    """Two models; `starts` are the weights that each began with, `snapshots` copies (epoch, weights of both)."""

    a: nn.Module
    b: nn.Module
    starts: tuple[Weights, Weights]
    snapshots: tuple[tuple[int, Weights, Weights], ...]


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """What a pair has in common.

    `same_init`: one initialisation. `spawn_at`: so many steps in one, before the second is copied from the first.
    `split`: both see "all" rows, disjoint "halves", or the first and the second half of the "labels". `lr` may differ.
    `optimizer` is "sgd" or "adam". Two dials make data harder, the same for both models: `label_noise` is the share of
    training labels that are drawn anew from the labels at hand, `rows` how many training rows there are (0 is all).
    """

    same_init: bool = False
    spawn_at: int = 0
    split: str = "all"
    lr: float | tuple[float, float] = 0.02
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    label_noise: float = 0.0
    rows: int = 0
    epochs: int = 40
    batch_size: int = 32
    snapshot_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        positive(epochs=self.epochs, batch_size=self.batch_size)
        not_negative(spawn_at=self.spawn_at, snapshot_every=self.snapshot_every, momentum=self.momentum)
        not_negative(weight_decay=self.weight_decay, label_noise=self.label_noise, rows=self.rows)
        if self.label_noise > 1:
            raise BadSetting(f"label_noise is a share of the labels, from 0 to 1; got {self.label_noise}.")
        if self.optimizer not in OPTIMIZERS:
            hint = did_you_mean(self.optimizer, OPTIMIZERS)
            raise BadSetting(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {self.optimizer!r}.{hint}")
        for rate in self.rates:
            above_zero(lr=rate)
        if self.split not in SPLITS:
            hint = did_you_mean(self.split, SPLITS)
            raise BadSetting(f"split must be one of {', '.join(SPLITS)}; got {self.split!r}.{hint}")
        if self.spawn_at and not self.same_init:
            raise BadSetting("Models that part after spawn_at steps have one initialisation: set same_init=True.")

    @property
    def rates(self) -> tuple[float, float]:
        """The learning rate of each model."""
        return self.lr if isinstance(self.lr, tuple) else (self.lr, self.lr)


def train_pair(make: Callable[[], nn.Module], X: Tensor, y: Tensor, settings: PairSettings) -> TrainedPair:
    """Two classifiers that `make` makes, trained on X (n, ...) and y (n,).

    Raises `BadSetting` for more rows than there are, `Diverged` for a loss that is no finite number.
    """
    streams = Streams(settings.seed)
    X, y = _harder(X, y, settings, streams)
    a = drawn(make, streams.torch_seed("init", 0))
    b = copy.deepcopy(a) if settings.same_init else drawn(make, streams.torch_seed("init", 1))
    starts = _copied(a), _copied(b)
    rows = _rows(y, settings.split, streams)
    first, second = (_Run(m, r, X, y, settings, rate) for m, r, rate in zip((a, b), rows, settings.rates, strict=True))
    if settings.spawn_at:
        order = streams.generator("order", "together")
        first.rows = second.rows = torch.arange(len(y))
        first.steps(order, settings.spawn_at)
        second.continue_from(first)
        first.rows, second.rows = rows
    orders = [streams.generator("order", which) for which in (0, 1)]
    snapshots = []
    for epoch in range(1, settings.epochs + 1):
        for run, order in zip((first, second), orders, strict=True):
            run.steps(order, -(-len(run.rows) // settings.batch_size))
        if settings.snapshot_every and epoch % settings.snapshot_every == 0:
            snapshots.append((epoch, _copied(a), _copied(b)))
    return TrainedPair(a.eval(), b.eval(), starts, tuple(snapshots))


class _Run:
    """One model in training; an epoch that is cut goes on where it was."""

    def __init__(self, model: nn.Module, rows: Tensor, X: Tensor, y: Tensor, settings: PairSettings, lr: float) -> None:
        self.model, self.rows, self.X, self.y, self.batch = model, rows, X, y, settings.batch_size
        decay = settings.weight_decay
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(model.parameters(), lr, momentum=settings.momentum, weight_decay=decay)
            if settings.optimizer == "sgd"
            else torch.optim.Adam(model.parameters(), lr, weight_decay=decay)
        )
        self.taken = 0

    def continue_from(self, other: _Run) -> None:
        """Weights and momentum of another run."""
        self.model.load_state_dict(other.model.state_dict())
        self.optimizer.load_state_dict(copy.deepcopy(other.optimizer.state_dict()) | _groups(self.optimizer))

    def steps(self, order: Any, count: int) -> None:
        """Steps on batches in epochs of new order."""
        self.model.train()
        done = 0
        while done < count:
            shuffled = self.rows[torch.from_numpy(order.permutation(len(self.rows)))]
            for batch in torch.split(shuffled, self.batch)[: count - done]:
                self.optimizer.zero_grad()
                loss = functional.cross_entropy(self.model(self.X[batch]), self.y[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                self.taken += 1
                done += 1
            if not bool(torch.isfinite(loss)):
                raise Diverged(f"The loss is no finite number after {self.taken} steps: lower lr.")


def _groups(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The learning rate stays the run's own."""
    return {"param_groups": optimizer.state_dict()["param_groups"]}


def drawn(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A module made under a seed; the global state of torch stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def _copied(model: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _harder(X: Tensor, y: Tensor, settings: PairSettings, streams: Streams) -> tuple[Tensor, Tensor]:
    """Fewer rows, and labels drawn anew from those at hand (which may hit the right one)."""
    if settings.rows > len(y):
        raise BadSetting(f"rows={settings.rows}, but there are {len(y)} training rows.")
    if settings.rows:
        chosen = torch.from_numpy(streams.generator("rows").permutation(len(y))[: settings.rows])
        X, y = X[chosen], y[chosen]
    if settings.label_noise:
        rng = streams.generator("label noise")
        wrong = torch.from_numpy(rng.random(len(y)) < settings.label_noise)
        drawn = torch.from_numpy(rng.permutation(len(y)))
        y = torch.where(wrong, y[drawn], y)
    return X, y


def _rows(y: Tensor, split: str, streams: Streams) -> tuple[Tensor, Tensor]:
    every = torch.arange(len(y))
    if split == "all":
        return every, every
    if split == "halves":
        drawn = torch.from_numpy(streams.generator("halves").permutation(len(y)))
        return drawn[: len(y) // 2], drawn[len(y) // 2 :]
    classes = torch.unique(y)
    first = torch.isin(y, classes[: len(classes) // 2])
    return every[first], every[~first]

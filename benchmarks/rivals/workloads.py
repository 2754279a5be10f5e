"""The tasks of `rounds.py`: data, model and settings, made alike in every process. Needs NumPy and torch alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

Arrays = list[tuple[np.ndarray, np.ndarray]]
LR = 0.1


@dataclass(frozen=True)
class Workload:
    """`local_steps` steps at each of the sites, then averaging: one round. `data` gets (X, y) of the digits."""

    key: str
    title: str
    data: Callable[[np.ndarray, np.ndarray], Arrays]
    model: Callable[[], nn.Module]
    rounds: int
    rival_rounds: int
    bar: float | None = None
    executor: str = "auto"
    local_steps: int = 1
    batch: int | None = None
    optimizer: str = "sgd"
    settings: dict[str, Any] = field(default_factory=dict)

    def module(self) -> nn.Module:
        """The model, with the same first weights in every process."""
        torch.manual_seed(0)
        return self.model()

    def new_optimizer(self, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """What a site steps with."""
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.optimizer]
        return kind(parameters, lr=self.lr, **self.settings)

    @property
    def lr(self) -> float:
        """The local learning rate."""
        return 0.001 if self.optimizer == "adam" else LR


def equal_sites(sites: int, samples: int) -> Callable[[np.ndarray, np.ndarray], Arrays]:
    """`samples` rows for each of `sites`, drawn without replacement."""

    def make(X: np.ndarray, y: np.ndarray) -> Arrays:
        chosen = np.random.default_rng(0).permutation(len(X))[: sites * samples].reshape(sites, samples)
        return [(X[rows], y[rows]) for rows in chosen]

    return make


def zipf_sites(sites: int, total: int) -> Callable[[np.ndarray, np.ndarray], Arrays]:
    """Site k holds a share of the rows proportional to 1/k, and at least one row."""

    def make(X: np.ndarray, y: np.ndarray) -> Arrays:
        share = 1 / np.arange(1, sites + 1)
        sizes = np.maximum(1, np.floor(total * share / share.sum())).astype(int)
        order = np.random.default_rng(0).permutation(len(X))
        ends = np.cumsum(sizes)
        return [(X[order[e - n : e]], y[order[e - n : e]]) for n, e in zip(sizes, ends, strict=True)]

    return make


def random_images(sites: int, samples: int) -> Callable[[np.ndarray, np.ndarray], Arrays]:
    """Noise of MNIST's shape."""

    def make(X: np.ndarray, y: np.ndarray) -> Arrays:
        rng = np.random.default_rng(0)
        shape = (samples, 1, 28, 28)
        return [(rng.random(shape, dtype=np.float32), rng.integers(0, 10, samples)) for _ in range(sites)]

    return make


def mlp() -> nn.Module:
    """64-64-10."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def logistic() -> nn.Module:
    """Multinomial logistic regression."""
    return nn.Linear(64, 10)


def cnn() -> nn.Module:
    """Two convolutions with group norm, about 9 000 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(784, 10)),
    )


BATCHES: dict[str, Any] = {
    "data": equal_sites(30, 50),
    "model": mlp,
    "rounds": 40,
    "rival_rounds": 5,
    "local_steps": 10,
    "batch": 5,
}
WORKLOADS = {
    w.key: w
    for w in (
        Workload("a", "100 sites x 10 digits, MLP 64-64-10", equal_sites(100, 10), mlp, 200, 20, bar=40),
        Workload("a10", "the same, 10 local steps a round", equal_sites(100, 10), mlp, 40, 5, local_steps=10),
        Workload("b", "441 sites x 2 digits, logistic", equal_sites(441, 2), logistic, 200, 6, bar=150),
        Workload("c", "20 sites x 64 images 28x28, CNN", random_images(20, 64), cnn, 4, 3, bar=0.85),
        Workload("d", "100 sites of Zipf sizes (1 to 269), MLP", zipf_sites(100, 1400), mlp, 100, 20),
        Workload("e1", "30 sites x 50, batch 5, 10 steps a round, SGD", **BATCHES),
        Workload("e2", "the same, momentum 0.9", settings={"momentum": 0.9}, **BATCHES),
        Workload("e3", "the same, Adam", optimizer="adam", **BATCHES),
    )
}

"""Figures 2, 3, 5 and 6 of layer-wise linear mode connectivity on small data, with the controls they need.

Two networks of one initialisation see the same rows in other orders, at a low and at a high learning rate, and, as a
control, two of different initialisations. Measured for each pair: barriers by epoch (Figure 2), cumulative curves from
both sides and windows of two layers (Figure 3), the way to the other model against random ways of the same length
(Figure 5), and for the first pair at the high rate the subspaces (Figure 6). Figure 4 is `unpooled explain layer-wise`.

Each pair's tables are CSV files under --out and are not computed again. docs/layer_wise_figures.py makes the page.

Usage: python examples/layer_wise/figures.py --data FOLDER [--out runs/layer_wise] [--only digits]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from unpooled.connectivity import connect
from unpooled.connectivity.epochs import barriers_by_epoch
from unpooled.connectivity.pairs import PairSettings, TrainedPair, train_pair
from unpooled.connectivity.perturb import robustness
from unpooled.connectivity.spans import Trajectory
from unpooled.connectivity.subspaces import subspaces
from unpooled.errors import Diverged

Split = tuple[Tensor, Tensor, Tensor, Tensor]
CUTS = ("full", "layer", "from_input", "from_output", "window")


def mlp(*widths: int) -> nn.Module:
    """Fully connected, ReLU between."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn() -> nn.Module:
    """Five convolutions and a linear layer, no norm layers, 32 x 32 x 3 to 10 classes."""
    layers: list[nn.Module] = []
    for before, after, stride in [(3, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]:
        layers += [nn.Conv2d(before, after, 3, stride, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))


def digits(folder: Path) -> Split:
    """scikit-learn's 1797 digits of 8 x 8; two thirds to train."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return _split(X[order].astype(np.float32) / 16, y[order], 1198, 599)


def mnist(folder: Path) -> Split:
    """4000 images to train and 1000 to test of mnist-8k, shuffled once."""
    with np.load(folder / "mnist-8k" / "mnist_8k.npz") as arrays:
        X, y = arrays["images"].reshape(-1, 784).astype(np.float32) / 255, arrays["labels"]
    order = np.random.default_rng(0).permutation(len(y))
    return _split(X[order], y[order], 4000, 1000)


def cifar(folder: Path) -> Split:
    """5000 images to train and 2000 to test, channels standardised with the training images."""
    with np.load(folder / "cifar10-small" / "cifar10_small.npz") as arrays:
        X = np.concatenate([arrays["train_images"][:5000], arrays["test_images"]])
        y = np.concatenate([arrays["train_labels"][:5000], arrays["test_labels"]])
    images = X.transpose(0, 3, 1, 2).astype(np.float32) / 255
    mean, std = images[:5000].mean((0, 2, 3), keepdims=True), images[:5000].std((0, 2, 3), keepdims=True)
    return _split((images - mean) / std, y, 5000, 2000)


def _split(X: Any, y: Any, train: int, test: int) -> Split:
    images, labels = torch.from_numpy(np.ascontiguousarray(X)), torch.from_numpy(np.asarray(y, np.int64))
    return images[:train], labels[:train], images[train : train + test], labels[train : train + test]


@dataclass(frozen=True)
class Task:
    """A data set, a network, two learning rates, and how many pairs."""

    load: Callable[[Path], Split]
    make: Callable[[], nn.Module]
    low: float
    high: float
    epochs: int
    every: int
    seeds: int
    shares: tuple[float, ...]


TASKS = {
    "digits": Task(digits, lambda: mlp(64, 64, 64, 64, 64, 10), 0.02, 0.05, 40, 4, 4, (0.1, 0.25, 0.5, 1.0, 1.5)),
    "mnist": Task(mnist, lambda: mlp(784, 64, 64, 64, 64, 10), 0.01, 0.05, 20, 2, 3, (0.1, 0.25, 0.5, 1.0, 1.5)),
    "cifar": Task(cifar, cnn, 0.005, 0.02, 20, 2, 2, (0.25, 0.5, 1.0)),
}


def pairs(task: Task) -> Iterator[tuple[str, int, PairSettings]]:
    """Name of the condition, seed, and settings; two initialisations are the control."""
    for seed in range(task.seeds):
        common: dict[str, Any] = {"epochs": task.epochs, "snapshot_every": task.every, "seed": seed}
        yield "high", seed, PairSettings(same_init=True, lr=task.high, **common)
        yield "low", seed, PairSettings(same_init=True, lr=task.low, **common)
        yield "apart", seed, PairSettings(lr=task.low, **common)


def measure(pair: TrainedPair, data: tuple[Tensor, Tensor], task: Task, *, deep: bool) -> dict[str, pd.DataFrame]:
    """The tables of one pair; `deep` takes subspaces too."""
    found = connect(pair.a, pair.b, data, cuts=CUTS)
    by_epoch = {0: pair.starts} | {epoch: (a, b) for epoch, a, b in pair.snapshots}
    tables = {
        "barriers": found.barriers,
        "layers": found.layers,
        "epochs": barriers_by_epoch(by_epoch, data, model=pair.a),
        "robustness": robustness(pair.a, pair.b, data),
    }
    if deep:
        snapshots = zip(*[(a, b) for _, a, b in pair.snapshots], strict=True)
        trajectories = [Trajectory(start, tuple(way)) for start, way in zip(pair.starts, snapshots, strict=True)]
        X, y = data[0][:250], data[1][:250]
        spread = subspaces(pair.a, pair.b, (X, y), trajectories=trajectories, shares=task.shares)
        tables |= {"subspaces": spread.losses, "spaces": spread.spaces}
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/layer_wise"))
    parser.add_argument("--only", nargs="*", choices=TASKS, default=list(TASKS))
    chosen = parser.parse_args()
    for name in chosen.only:
        task = TASKS[name]
        X, y, X_test, y_test = task.load(chosen.data)
        for condition, seed, settings in pairs(task):
            folder = chosen.out / name / f"{condition}-{seed}"
            if (folder / "done").exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            begun = time.perf_counter()
            try:
                pair = train_pair(task.make, X, y, settings)
            except Diverged as error:
                (folder / "done").write_text(f"diverged: {error}\n")
                print(f"{name} {condition}, pair {seed}: {error}", flush=True)
                continue
            trained = time.perf_counter()
            for table, rows in measure(pair, (X_test, y_test), task, deep=condition == "high" and seed == 0).items():
                rows.to_csv(folder / f"{table}.csv", index=False)
            (folder / "done").write_text("finished\n")
            took = time.perf_counter() - trained
            print(
                f"{name} {condition}, pair {seed}: {trained - begun:.0f} s training, {took:.0f} s measuring", flush=True
            )


if __name__ == "__main__":
    main()

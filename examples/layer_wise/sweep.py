"""How do barriers depend on the optimizer and on the data? One dial at a time, on MNIST with an MLP of five layers.

Pairs of one initialisation that see the same images in other orders. The base is SGD with momentum 0.9 at rate 0.05,
batches of 32, 20 epochs, 4000 images; each dial is turned by itself. Instability: two copies part after some steps.

Usage: python examples/layer_wise/sweep.py --data FOLDER [--out runs/layer_wise]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from figures import mlp, mnist

from unpooled.connectivity import PairSettings, instability, sweep

BASE = PairSettings(same_init=True, lr=0.05, epochs=20)
GRIDS: dict[str, dict[str, list[Any]]] = {
    "learning rate, SGD": {"lr": [0.01, 0.02, 0.05, 0.1]},
    "learning rate, Adam": {"optimizer": ["adam"], "lr": [0.0003, 0.001, 0.003, 0.01]},
    "momentum": {"momentum": [0.0, 0.5, 0.9]},
    "batch size": {"batch_size": [8, 32, 128]},
    "weight decay": {"weight_decay": [0.0, 0.0005, 0.005]},
    "labels drawn anew": {"label_noise": [0.0, 0.1, 0.3]},
    "images": {"rows": [500, 1000, 2000, 4000]},
    "rows of the two": {"split": ["all", "halves", "labels"]},
}
PARTINGS = [0, 10, 50, 200, 1000]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/layer_wise"))
    chosen = parser.parse_args()
    X, y, X_test, y_test = mnist(chosen.data)
    train, test = (X, y), (X_test, y_test)
    chosen.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for name, grid in GRIDS.items():
        told = lambda done, total, name=name: print(f"\r{name}: {done} of {total} pairs", end="", file=sys.stderr)  # noqa: E731
        found = sweep(lambda: mlp(784, 64, 64, 64, 64, 10), train, test, grid, base=BASE, seeds=range(3), told=told)
        dial = list(grid)[-1]
        table = found.table().rename(columns={dial: "value"}).assign(dial=name, diverged=len(found.diverged))
        tables.append(table.drop(columns=[column for column in grid if column in table.columns]))
        print(file=sys.stderr)
        pd.concat(tables).to_csv(chosen.out / "sweep.csv", index=False)
    parting = instability(lambda: mlp(784, 64, 64, 64, 64, 10), train, test, PARTINGS, base=BASE, seeds=range(3))
    parting.to_csv(chosen.out / "instability.csv", index=False)


if __name__ == "__main__":
    main()

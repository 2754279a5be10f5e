"""Pairs of small networks on the digits for `unpooled connect demo`: what they share decides what can be averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unpooled.runs.connect import Comparison, read_data
from unpooled.runs.files import write_bytes
from unpooled.runs.measures import MEASURES
from unpooled.sites.train_test import train_test

PAIRS = {
    "different-start": ("Digits: two networks from different initialisations", {"same_init": False, "lr": 0.02}),
    "same-start": ("Digits: two networks from one initialisation", {"same_init": True, "lr": 0.05}),
}
EPOCHS = (0, 5, 10, 15, 20, 25, 30, 35, 40)
"""Kept on the way; 0 is the start."""
SHOWN = [name for name in MEASURES if name != "criticality"]
"""Criticality belongs to training data, and these are compared on other rows."""
WIDTHS = (64, 64, 64, 64)


def demo_pairs(out: Path) -> list[tuple[Comparison, Path]]:
    """Train the pairs that are not in `out` yet, and say how to compare each on rows that neither has seen."""
    import torch
    from safetensors.torch import save

    from unpooled.connectivity.pairs import PairSettings, train_pair
    from unpooled.training.models import MLP

    X, y = read_data("digits", None)
    train, test = train_test(X, y, test_fraction=1 / 3, seed=0)
    held_out = out / "digits-test.npz"
    out.mkdir(parents=True, exist_ok=True)
    np.savez(held_out, X=X[test], y=y[test])
    found = []
    for name, (title, shared) in PAIRS.items():
        files = [out / f"{name}-{which}.safetensors" for which in "ab"]
        snapshots = [[out / f"{name}-{which}-{epoch:02d}.safetensors" for epoch in EPOCHS] for which in "ab"]
        if not all(file.is_file() for file in files):
            rows = torch.from_numpy(X[train]), torch.from_numpy(y[train])
            settings = PairSettings(**shared, epochs=EPOCHS[-1], snapshot_every=EPOCHS[1])  # type: ignore[arg-type]
            pair = train_pair(lambda: MLP(WIDTHS).build((64,), 10), *rows, settings)
            on_the_way = [a for _, a, _ in pair.snapshots], [b for _, _, b in pair.snapshots]
            states = [[start, *own] for start, own in zip(pair.starts, on_the_way, strict=True)]
            for model, file, own, kept in zip((pair.a, pair.b), files, states, snapshots, strict=True):
                for state, at in zip(own, kept, strict=True):
                    write_bytes(at, save(dict(state)))
                write_bytes(file, save(model.state_dict()))
        first, second = ([str(file) for file in kept] for kept in snapshots)
        comparison = Comparison(
            str(files[0]),
            str(files[1]),
            str(held_out),
            title=title,
            measures=SHOWN,
            starts=[first[0], second[0]],
            snapshots_a=first[1:],
            snapshots_b=second[1:],
        )
        found.append((comparison, out / name))
    return found

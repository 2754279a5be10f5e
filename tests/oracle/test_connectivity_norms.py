"""Batch norm decides what a barrier is: the ordering measured for the specification, on networks of two starts.

There (three convolutions with batch norm on the digits, two seeds): full barriers of 87, 85 and 43 points of error for
statistics that are kept, interpolated and taken anew; single blocks 80, 80 and 30 if they are kept, and 23, 5.5 and 1.6
if they are taken anew.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from torch import nn

from tests.unit.connectivity.conftest import digits
from unpooled.connectivity import connect
from unpooled.connectivity.pairs import PairSettings, train_pair

__all__ = ["digits"]
BLOCKS = {"block 1": ["1", "2"], "block 2": ["4", "5"], "block 3": ["7", "8"]}
SEEDS = range(2)


def _net() -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    for before, after in ((1, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture(scope="module")
def barriers(digits: Any) -> pd.DataFrame:
    """Mean barriers in points of error: a row a part, a column a policy."""
    X, y = digits
    found = []
    for seed in SEEDS:
        pair = train_pair(_net, X[:1200], y[:1200], PairSettings(epochs=6, lr=0.02, seed=seed))
        for norms in ("keep", "interpolate", "recalibrate"):
            table = connect(
                pair.a,
                pair.b,
                (X[1200:], y[1200:]),
                cuts=("full", "layer"),
                layers=BLOCKS,
                points=3,
                norms=norms,
                calibration=X[:1200],
            ).barriers
            found.append(table[(table["metric"] == "error") & (table["reference"] == "mean")].assign(norms=norms))
    means = pd.concat(found).pivot_table(index="part", columns="norms", values="barrier")
    assert isinstance(means, pd.DataFrame)
    return means


def test_full_barriers_fall_from_kept_to_recalibrated_statistics(barriers: pd.DataFrame) -> None:
    full = barriers.loc["all"]
    assert full["keep"] > 70
    assert full["keep"] > full["interpolate"] - 5  # both near chance
    assert full["interpolate"] > full["recalibrate"] + 15


def test_blocks_have_barriers_only_as_long_as_statistics_are_kept(barriers: pd.DataFrame) -> None:
    for block in BLOCKS:
        assert barriers.loc[block, "recalibrate"] < barriers.loc[block, "keep"] / 2
    kept, remade = barriers["keep"], barriers["recalibrate"]
    assert kept["block 2"] > kept["block 3"]
    assert remade["block 1"] > remade["block 2"] > remade["block 3"]

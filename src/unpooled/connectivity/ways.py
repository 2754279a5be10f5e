"""How far training went, layer by layer: from each start to its model, and from model to model.

The distances of Adilova et al., ICLR 2024: Euclidean and as a cosine, between models and from each to its own start.
"""

from __future__ import annotations

import pandas as pd
from torch import nn

from unpooled.connectivity.alike import require_alike
from unpooled.connectivity.checkpoints import Checkpoint, open_checkpoint
from unpooled.connectivity.layers import Rule, is_statistic, layers_of, movable, tied_in
from unpooled.connectivity.study import distances


def ways(
    a: Checkpoint, b: Checkpoint, start_a: Checkpoint, start_b: Checkpoint, *, layers: Rule = "module"
) -> pd.DataFrame:
    """One row a way ("start A to A", "start B to B", "A to B", "start A to start B") and layer, and one for all layers.

    Files of safetensors are read tensor by tensor. Raises `Unsupported` where architectures differ.
    """
    opened = [open_checkpoint(one) for one in (a, b, start_a, start_b)]
    for other, name in zip(opened[1:], ("the second model", "the first's start", "the second's start"), strict=True):
        require_alike(opened[0], other, ("the first model", name))
    given = next((one for one in (a, b, start_a, start_b) if isinstance(one, nn.Module)), None)
    order = opened[0] if given is None else given.state_dict()
    names = [name for name in order if name in opened[0] and movable(name, opened[0][name])]
    tied = tied_in({} if given is None else order)
    groups = layers_of([name for name in names if not is_statistic(name)], layers, tied=tied)
    one, other, first, second = opened
    told = {
        "start A to A": (first, one),
        "start B to B": (second, other),
        "A to B": (one, other),
        "start A to start B": (first, second),
    }
    found = [distances(*pair, groups).assign(way=way) for way, pair in told.items()]
    table = pd.concat(found, ignore_index=True)
    return table[["way", *table.columns.drop("way")]]

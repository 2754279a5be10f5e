"""Straight lines through the space of weights: some entries move, all others are those of a base model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.layers import Names


@dataclass(frozen=True, eq=False)
class Cut:
    """At alpha the entries `names` are (1 - alpha) start + alpha stop, and all others those of the model `base`.

    `start` and `stop` are weights, or functions that make them when they are needed, the same each time.
    """

    base: str
    names: Names
    start: Weights | Callable[[], Weights]
    stop: Weights | Callable[[], Weights]
    alphas: tuple[float, ...]

    def starts_or_stops_at(self, weights: Weights) -> bool:
        """Whether one of the ends is this model."""
        return self.start is weights or self.stop is weights

    def ends(self) -> tuple[Weights, Weights]:
        """Both ends, made."""
        made = [end() if callable(end) else end for end in (self.start, self.stop)]
        return made[0], made[1]


def stacked(start: Tensor, stop: Tensor, alphas: Sequence[float]) -> Tensor:
    """`mixed` for several alphas, which come first."""
    wide = torch.promote_types(start.dtype, torch.float32)
    places = torch.tensor(alphas, dtype=wide, device=start.device).view(-1, *[1] * start.dim())
    return torch.lerp(start.to(wide)[None], stop.to(wide)[None], places).to(start.dtype)


def mixed(start: Tensor, stop: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) start + alpha stop, computed at least in single precision, in the type of `start`."""
    wide = torch.promote_types(start.dtype, torch.float32)
    return torch.lerp(start.to(wide), stop.to(wide), alpha).to(start.dtype)

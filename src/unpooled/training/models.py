"""Small models by name, for configs; from Python any `torch.nn.Module` will do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Protocol

from torch import nn

from unpooled.errors import BadSetting, positive


class ModelSettings(Protocol):
    """Builds a module for samples of `shape` and `outputs` outputs."""

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module: ...


@dataclass(frozen=True)
class Linear:
    """Logistic or linear regression on the flattened sample."""

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), outputs))


@dataclass(frozen=True)
class MLP:
    """Fully connected layers with ReLU between them; `hidden` are their widths."""

    hidden: tuple[int, ...] = (64,)

    def __post_init__(self) -> None:
        for width in self.hidden:
            positive(hidden=width)

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        widths = (prod(shape), *self.hidden)
        layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


@dataclass(frozen=True)
class CNN:
    """3 x 3 convolutions with group norm, ReLU and 2 x 2 max-pooling, then one linear layer; images (C, H, W)."""

    channels: tuple[int, ...] = (16, 32)
    groups: int = 4

    def __post_init__(self) -> None:
        positive(groups=self.groups)
        for width in self.channels:
            positive(channels=width)
            if width % self.groups:
                raise BadSetting(f"channels must be multiples of groups={self.groups}, got {width}.")

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        if len(shape) != 3:
            raise BadSetting(f"A cnn needs images (channels, height, width), got samples of shape {shape}: use an mlp.")
        layers: list[nn.Module] = []
        before, height, width = shape
        for after in self.channels:
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(self.groups, after), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            before, height, width = after, height // 2, width // 2
        if height * width == 0:
            raise BadSetting(f"Images of {shape[1]} x {shape[2]} are too small for {len(self.channels)} poolings.")
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * height * width, outputs))


MODELS: dict[str, type[ModelSettings]] = {"linear": Linear, "mlp": MLP, "cnn": CNN}
"""Every model by the name that configs use."""

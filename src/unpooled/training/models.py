"""Small models by name, for configs; from Python any `torch.nn.Module` will do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal, Protocol

from torch import nn

from unpooled.errors import BadSetting, positive
from unpooled.training.models_resnet import ResNet


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
    """3 x 3 convolutions with group norm and ReLU, each halving the image, then one linear layer; images (C, H, W).

    `halve` = "pool" does so by 2 x 2 max-pooling, "stride" by looking at every second pixel only, which costs a
    quarter of the multiplications.
    """

    channels: tuple[int, ...] = (16, 32)
    groups: int = 4
    halve: Literal["pool", "stride"] = "pool"

    def __post_init__(self) -> None:
        positive(groups=self.groups)
        for width in self.channels:
            positive(channels=width)
            if width % self.groups:
                raise BadSetting(f"channels must be multiples of groups={self.groups}, got {width}.")
        if self.halve not in ("pool", "stride"):
            raise BadSetting(f"halve must be 'pool' or 'stride', got {self.halve!r}.")

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        if len(shape) != 3:
            raise BadSetting(f"A cnn needs images (channels, height, width), got samples of shape {shape}: use an mlp.")
        layers: list[nn.Module] = []
        before, height, width = shape
        for after in self.channels:
            pool = self.halve == "pool"
            layers.append(nn.Conv2d(before, after, 3, stride=1 if pool else 2, padding=1))
            layers += [nn.GroupNorm(self.groups, after), nn.ReLU(), *([nn.MaxPool2d(2)] if pool else [])]
            before, height, width = after, *((n // 2 if pool else (n + 1) // 2) for n in (height, width))
        if height * width == 0:
            raise BadSetting(f"Images of {shape[1]} x {shape[2]} are too small for {len(self.channels)} poolings.")
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * height * width, outputs))


MODELS: dict[str, type[ModelSettings]] = {"linear": Linear, "mlp": MLP, "cnn": CNN, "resnet": ResNet}
"""Every model by the name that configs use."""

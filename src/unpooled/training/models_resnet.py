"""A thin residual network for small images, with group norm where the original has batch norm.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 (the networks
for CIFAR-10). Group norm (Wu and He, ECCV 2018) keeps no running statistics, which tiny sites could not estimate and
averaging would mix. With the defaults, three channels and ten classes it has 175,818 parameters, the number of the
network in the experiments on daisy-chaining (Kamp, Fischer and Vreeken, ICLR 2023; their code calls it ResNet18).
Choices: convolutions have a bias; where width or resolution changes, the shortcut is a 1 x 1 convolution with a norm.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from unpooled.errors import BadSetting, positive


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the first one may halve the resolution."""

    def __init__(self, before: int, after: int, stride: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1)
        self.first_norm = nn.GroupNorm(groups, after)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.second_norm = nn.GroupNorm(groups, after)
        alike = before == after and stride == 1
        wider = nn.Sequential(nn.Conv2d(before, after, 1, stride), nn.GroupNorm(groups, after))
        self.shortcut: nn.Module = nn.Identity() if alike else wider

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class _Mean(nn.Module):
    """The mean over an image's pixels: (n, channels, height, width) becomes (n, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


@dataclass(frozen=True)
class ResNet:
    """One stage of `blocks` residual blocks for each of `widths`; from the second on a stage halves the resolution."""

    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 2
    groups: int = 4

    def __post_init__(self) -> None:
        positive(blocks=self.blocks, groups=self.groups)
        if not self.widths:
            raise BadSetting("widths must name at least one stage, such as [16, 32, 64].")
        for width in self.widths:
            positive(widths=width)
            if width % self.groups:
                raise BadSetting(f"widths must be multiples of groups={self.groups}, got {width}.")

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The network for images of `shape` (channels, height, width)."""
        if len(shape) != 3:
            raise BadSetting(f"A resnet needs images (channels, height, width), got samples of shape {shape}: use mlp.")
        first = self.widths[0]
        layers: list[nn.Module] = [nn.Conv2d(shape[0], first, 3, padding=1), nn.GroupNorm(self.groups, first)]
        layers.append(nn.ReLU())
        before = first
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                layers.append(_Block(before, width, 2 if stage and not block else 1, self.groups))
                before = width
        return nn.Sequential(*layers, _Mean(), nn.Linear(before, outputs))

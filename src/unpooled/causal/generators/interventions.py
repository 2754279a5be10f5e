"""What may happen to a node's mechanism in an environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unpooled.errors import BadSetting, above_zero, not_negative, positive

Kind = Literal["hard", "soft", "coefficient", "noise", "shift"]
KINDS: tuple[Kind, ...] = ("hard", "soft", "coefficient", "noise", "shift")


@dataclass(frozen=True)
class Intervention:
    """What happens to a node's mechanism, and how much of it.

    "hard" cuts all parents; "soft" cuts each with chance `size`; "coefficient" draws a new function of the same parents
    (for linear models weights of the default sizes), times `size`; "noise" multiplies the noise by `size`; "shift"
    moves the mean by `size` up or down. Of each of these, `noise` multiplies the noise besides. Raises `BadSetting`.
    """

    kind: Kind
    size: float = 1.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadSetting(f"An intervention is one of {', '.join(KINDS)}, got {self.kind!r}.")
        not_negative(size=self.size)
        above_zero(noise=self.noise)


@dataclass(frozen=True, kw_only=True)
class Random:
    """Interventions on `targets` nodes of every environment but the first `untouched` ones, drawn at random.

    `size` and `noise` are the two ends of uniform laws (see `Intervention`). Raises `BadSetting`.
    """

    kind: Kind
    targets: int = 1
    untouched: int = 1
    size: tuple[float, float] = (1.0, 1.0)
    noise: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        Intervention(self.kind, self.size[0], self.noise[0])
        positive(targets=self.targets)
        not_negative(untouched=self.untouched)
        if self.size[1] < self.size[0] or self.noise[1] < self.noise[0]:
            raise BadSetting(f"size and noise are a lower and an upper end, got {self.size} and {self.noise}.")

    def draw(self, names: Sequence[str], environments: int, rng: np.random.Generator) -> list[dict[str, Intervention]]:
        """One mapping from node to intervention for each environment; raises `BadSetting` for too many targets."""
        if self.targets > len(names):
            raise BadSetting(f"There are {len(names)} nodes to intervene on, and targets = {self.targets}.")
        found: list[dict[str, Intervention]] = [{} for _ in range(environments)]
        for changed in found[self.untouched :]:
            for node in rng.choice(len(names), self.targets, replace=False):
                changed[names[node]] = Intervention(
                    self.kind, float(rng.uniform(*self.size)), float(rng.uniform(*self.noise))
                )
        return found


def placed(targets: Mapping[str, Intervention], names: Sequence[str]) -> Iterator[tuple[int, Intervention]]:
    """Node numbers with what happens to them; raises `BadSetting` for an unknown name."""
    for name, how in targets.items():
        if name not in names:
            raise BadSetting(f"There is no node {name!r} to intervene on; nodes are {', '.join(names)}.")
        yield list(names).index(name), how

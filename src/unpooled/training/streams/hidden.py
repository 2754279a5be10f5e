"""Stream B, the noisy hidden-variable model: inputs are noisy copies of hidden bits that hint at the label.

After the random graphical model of N. Bshouty and P. Long, used with random drifts by M. Kamp et al., ECML PKDD 2018.
The label is -1 or +1 with equal chance; hidden bit j agrees with it with probability q_j ~ U(0.05, 0.95); each input
copies one hidden bit, flipped at a rate ~ U(0.05, 0.45), with a random sign. No linear model is perfect. Inputs are -1
and +1; there is no constant feature, because both labels are equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.seeds import Streams
from unpooled.training.streams.disjunction import check_drifts
from unpooled.training.streams.source import Drawn, Flow, Size, drift_rounds


@dataclass(frozen=True)
class HiddenVariables:
    """In each round with `drift_probability`, and every `drift_every` rounds, the whole model is drawn anew."""

    inputs: int = 50
    hidden: int = 20
    drift_every: int | None = None
    drift_probability: float = 0.001

    def __post_init__(self) -> None:
        errors.positive(inputs=self.inputs, hidden=self.hidden)
        check_drifts(self.drift_every, self.drift_probability)

    @property
    def label(self) -> str:
        return f"{self.inputs} inputs of {self.hidden} hidden variables"

    def open(self, size: Size, streams: Streams) -> Flow:
        changes = drift_rounds(size.rounds, self.drift_every, self.drift_probability, streams)
        return _Hidden(size, self.inputs, changes, streams, hidden=self.hidden)


@dataclass(frozen=True, eq=False)
class _Concept:
    """`agree` (hidden,) and `flip` (inputs,) are chances; input j is `sign[j]` times a copy of bit `of[j]`."""

    agree: Array
    of: Array
    flip: Array
    sign: Array


class _Hidden(Drawn):
    def __init__(self, size: Size, width: int, changes: tuple[int, ...], streams: Streams, *, hidden: int) -> None:
        super().__init__(size, width, changes, streams)
        rngs = (streams.generator("stream", "concept", k) for k in range(len(changes) + 1))
        self.concepts = [
            _Concept(
                rng.uniform(0.05, 0.95, hidden),
                rng.integers(hidden, size=width),
                rng.uniform(0.05, 0.45, width),
                rng.choice((-1.0, 1.0), size=width),
            )
            for rng in rngs
        ]

    def examples(self, concept: int, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array]:
        now = self.concepts[concept]
        y = rng.choice((-1.0, 1.0), size=shape)
        agrees = rng.random((*shape, len(now.agree))) < now.agree
        bits = np.where(agrees, y[..., None], -y[..., None])
        flips = np.where(rng.random((*shape, self.width)) < now.flip, -1.0, 1.0)
        return bits[..., now.of] * flips * now.sign, y

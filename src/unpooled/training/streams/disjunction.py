"""Stream A, the drifting disjunction: a few hidden inputs decide, and now and then they are others.

Synthetic study of M. Kamp, M. Boley, D. Keren, A. Schuster, I. Sharfman, ECML PKDD 2014 ("rapidly drifting
disjunctions"). Each of `inputs` bits is 1 with probability 1 - 2^(-1/literals), so that half of the labels are +1: the
label is +1 where any of the hidden `literals` is 1. A linear model can be perfect. The last feature is a constant 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.streams.source import Drawn, Flow, Size, drift_rounds


@dataclass(frozen=True)
class Disjunction:
    """`drift_every` rounds, and in each round with `drift_probability`, the literals are drawn anew."""

    inputs: int = 50
    literals: int = 4
    drift_every: int | None = 5000
    drift_probability: float = 0.0

    def __post_init__(self) -> None:
        errors.positive(inputs=self.inputs, literals=self.literals)
        check_drifts(self.drift_every, self.drift_probability)
        if self.literals > self.inputs:
            raise BadSetting(f"literals must not exceed inputs, got {self.literals} of {self.inputs}.")

    @property
    def label(self) -> str:
        return f"disjunction of {self.literals} in {self.inputs} inputs"

    def open(self, size: Size, streams: Streams) -> Flow:
        changes = drift_rounds(size.rounds, self.drift_every, self.drift_probability, streams)
        return _Disjunction(size, self.inputs + 1, changes, streams, literals=self.literals)


class _Disjunction(Drawn):
    def __init__(self, size: Size, width: int, changes: tuple[int, ...], streams: Streams, *, literals: int) -> None:
        super().__init__(size, width, changes, streams)
        rngs = (streams.generator("stream", "concept", k) for k in range(len(changes) + 1))
        self.concepts = [rng.choice(width - 1, size=literals, replace=False) for rng in rngs]
        self.chance = 1 - 2 ** (-1 / literals)

    def examples(self, concept: int, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array]:
        X = np.ones((*shape, self.width))
        X[..., :-1] = rng.random((*shape, self.width - 1)) < self.chance
        return X, np.where(X[..., self.concepts[concept]].any(axis=-1), 1.0, -1.0)


def check_drifts(every: int | None, probability: float) -> None:
    """Raise `BadSetting` for a period or a probability of drifts that is none."""
    if every is not None:
        errors.positive(drift_every=every)
    if not 0.0 <= probability < 1.0:
        raise BadSetting(f"drift_probability must lie in [0, 1), got {probability!r}.")

"""The synchronisation operator of dynamic averaging: models move only when a site's own condition breaks.

M. Kamp, M. Boley, D. Keren, A. Schuster, I. Sharfman, "Communication-Efficient Distributed Online Prediction by Dynamic
Model Synchronization", ECML PKDD 2014; for networks, and with unequal rates (Algorithm 2), M. Kamp, L. Adilova, J.
Sicking, F. Hueger, P. Schlicht, T. Wirtz, S. Wrobel, "Efficient Decentralized Deep Learning by Dynamic Model
Averaging", ECML PKDD 2018. paper -> here: Delta threshold, r reference, v violations, B members, f-bar mean.

Each site checks |f - r|^2 <= Delta by itself. While all hold, the divergence (1/m) sum |f_i - mean|^2 is at most Delta,
and nobody sends a model. The mean of all models is the same before and after each event.
Choices: a violation is told by one bit, and the coordinator then asks for the model, so a violator's model costs one
more short message than in the paper; where the counter reaches m (the paper writes v = m) all are synchronised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from unpooled import errors
from unpooled.combine import Array, mean
from unpooled.errors import BadSetting, did_you_mean
from unpooled.training.exchange import ALL, NOBODY, Channel, Facts, Memory, Poll, Pull, Sites

Augmentation = Literal["random", "doubling", "hedged", "full"]
Schedule = Literal["constant", "inverse_sqrt"]


@dataclass(frozen=True)
class balance:
    """Average the violators with as few others as bring their mean back within `threshold` of the reference.

    `augmentation`: `random` adds one site at a time, `doubling` as many as there are, `hedged` twice as many and from
    half of all sites on everyone, without the counter; `full` synchronises all at any violation. `weighted` counts a
    model by the examples it has learned from since its site last synchronised. `schedule` `inverse_sqrt` divides the
    threshold by the square root of the number of the check, counted from 1. `period` counts local steps.
    """

    threshold: float
    period: int = 1
    augmentation: Augmentation = "random"
    weighted: bool = False
    schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        errors.not_negative(threshold=self.threshold)
        errors.positive(period=self.period)
        for name, value, known in (
            ("augmentation", self.augmentation, get_args(Augmentation)),
            ("schedule", self.schedule, get_args(Schedule)),
        ):
            if value not in known:
                hint = did_you_mean(str(value), known)
                raise BadSetting(f"There is no {name} '{value}'; there are {', '.join(known)}.{hint}")

    def init(self, facts: Facts) -> Memory:
        return {
            "reference": None if facts.start is None else np.array(facts.start),
            "violations": 0,
            "since": np.zeros(facts.sites, dtype=np.int64),
            "partial": 0,
            "full": 0,
        }

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        if round % self.period != self.period - 1:
            return None
        return Pull(NOBODY, poll=Poll(self._threshold(round), facts.model_only))

    def active(self, round: int, facts: Facts) -> Sites:
        return ALL

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        """The mean that synchronising all would make now."""
        return _mean(rows, self._weights(round, memory["since"], facts))

    def _threshold(self, round: int) -> float:
        checks = (round + 1) // self.period
        return self.threshold / checks**0.5 if self.schedule == "inverse_sqrt" else self.threshold

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        violators = np.flatnonzero(channel.poll())
        if not len(violators):
            return memory
        memory = dict(memory)
        weights = self._weights(channel.round, memory["since"], facts)
        members, average, counter = self._resolve(channel, violators, memory, weights, rng, facts)
        everyone = len(members) == facts.sites
        channel.push(average, ALL if everyone else members, facts.model_only, anchor=everyone)
        memory["since"] = memory["since"].copy()
        memory["since"][members] = channel.round + 1
        memory["violations"] = 0 if everyone else counter
        memory["full" if everyone else "partial"] += 1
        if everyone:
            memory["reference"] = average
        return memory

    def _resolve(
        self, channel: Channel, violators: Array, memory: Any, weights: Array | None, rng: Any, facts: Facts
    ) -> tuple[Array, Array, int]:
        """The members of the balancing set, sorted, their mean, and the violation counter."""
        layers, m = facts.model_only, facts.sites
        counter = memory["violations"] + len(violators)
        if self.augmentation == "full" or (self.augmentation != "hedged" and counter >= m):
            return np.arange(m), _mean(channel.pull(ALL, layers), weights), counter
        waiting = rng.permutation(np.setdiff1d(np.arange(m), violators))
        members, rows = violators, channel.pull(violators, layers)
        share = np.ones(m) if weights is None else weights
        total = share[members] @ rows  # float64, kept up to date: the mean itself is taken once, in the sites' order
        while len(members) < m and not self._close(total / share[members].sum(), memory["reference"], channel.round):
            asked, waiting = np.split(waiting, [self._more(len(members), m, len(waiting))])
            more = channel.pull(asked, layers)
            total += share[asked] @ more
            rows, members = np.concatenate([rows, more]), np.concatenate([members, asked])
        order = np.argsort(members)
        members = members[order]
        return members, _mean(rows[order], None if weights is None else weights[members]), counter

    def _close(self, average: Array, reference: Array | None, round: int) -> bool:
        if reference is None:
            return False
        away = average - reference
        return float(away @ away) <= self._threshold(round)

    def _more(self, members: int, sites: int, waiting: int) -> int:
        """How many sites to ask next."""
        if self.augmentation == "random":
            return 1
        more = members if self.augmentation == "doubling" else 2 * members
        if self.augmentation == "hedged" and 2 * (members + more) >= sites:
            return waiting
        return min(more, waiting)

    def _weights(self, round: int, since: Array, facts: Facts) -> Array | None:
        if not self.weighted:
            return None
        batches = facts.sizes if facts.batches is None else facts.batches
        return np.asarray((batches * (round + 1 - since)).astype(np.float64))


def _mean(rows: Array, weights: Array | None) -> Array:
    return np.asarray(mean(rows, weights))

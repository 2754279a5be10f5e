"""Periodic and dynamic synchronisation of kernel models; the rules are those of `unpooled.training.balance`.

Rows of kernel models differ in length, so the exchanges of other training cannot carry them: this is a small
coordinator of its own, for one process. M. Kamp, S. Bothe, M. Boley, M. Mock, ECML PKDD 2016; squared distances in
the kernel's Hilbert space take the place of Euclidean ones. Averages are compressed by the coordinator before they are
sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.protocols import DynamicAveraging, FedAvg, Local, Protocol
from unpooled.training.streams.kernel.compression import compressed
from unpooled.training.streams.kernel.expansion import Expansion, empty, mean
from unpooled.training.streams.kernel.links import Links
from unpooled.training.streams.kernel.norma import KernelLearner, Norma
from unpooled.training.streams.kernel.products import Products


def refuse(protocol: Protocol) -> None:
    """Raise `BadSetting` for what this coordinator does not do."""
    plain = (
        isinstance(protocol, Local)
        or (protocol == FedAvg(getattr(protocol, "aggregate_period", 1)))
        or (
            isinstance(protocol, DynamicAveraging)
            and protocol.augmentation in ("random", "full")
            and not protocol.weighted_by_samples
        )
    )
    if not plain:
        raise BadSetting(
            f"Kernel models are not synchronised by {protocol.label}: use Local(), FedAvg(period) or "
            'DynamicAveraging with augmentation "random" or "full".'
        )


class KernelCoordinator:
    """Synchronises `learners` in place after a round."""

    def __init__(
        self, protocol: Protocol, settings: Norma, learners: Sequence[KernelLearner], links: Links, streams: Streams
    ) -> None:
        self.protocol, self.settings, self.learners, self.links = protocol, settings, learners, links
        self._streams, self._violations = streams, 0
        width = learners[0].f.X.shape[1]
        self.reference, self._products = empty(width), Products(settings.kernel, width)
        self.error = 0.0

    def after(self, round: int) -> tuple[int, int]:
        """What the protocol does after a round, counted from 0; models sent up and down."""
        if isinstance(self.protocol, FedAvg) and (round + 1) % self.protocol.aggregate_period == 0:
            return self._synchronise(range(len(self.learners)), [])
        if isinstance(self.protocol, DynamicAveraging) and (round + 1) % self.protocol.check_period == 0:
            return self._check(self.protocol, round)
        return 0, 0

    def _check(self, protocol: DynamicAveraging, round: int) -> tuple[int, int]:
        m, threshold = len(self.learners), protocol.threshold
        if protocol.schedule == "inverse_sqrt":
            threshold /= ((round + 1) // protocol.check_period) ** 0.5
        members = [i for i, learner in enumerate(self.learners) if learner.distance > threshold]
        if not members:
            return 0, 0
        rng = self._streams.generator("exchange", round)
        counter = self._violations + len(members)
        everyone = protocol.augmentation == "full" or counter >= m
        waiting = [] if everyone else rng.permutation(np.setdiff1d(np.arange(m), members)).tolist()
        if everyone:
            members = list(range(m))
        for i in members:
            self.links.up(i, self.learners[i].f)
        sent = list(members)
        while len(members) < m and self._far(members, threshold):
            members.append(waiting.pop(0))
            self.links.up(members[-1], self.learners[members[-1]].f)
            sent.append(members[-1])
        self._violations = 0 if len(members) == m else counter
        return self._synchronise(sorted(members), sent)

    def _far(self, members: Sequence[int], threshold: float) -> bool:
        average = mean([self.learners[i].f for i in members])
        return self._products.distance(average, self.reference) > threshold

    def _synchronise(self, members: Sequence[int], sent: Sequence[int]) -> tuple[int, int]:
        """The mean of the members goes to them; a mean of all becomes the reference. `sent` have sent their models."""
        for i in members:
            if i not in sent:
                self.links.up(i, self.learners[i].f)
        average, error = compressed(
            self.settings.kernel, mean([self.learners[i].f for i in members]), self.settings.compression
        )
        self.error += error
        self._deliver(average, members, reference=len(members) == len(self.learners))
        return len(members), len(members)

    def _deliver(self, average: Expansion, members: Sequence[int], *, reference: bool) -> None:
        square = product = 0.0
        if isinstance(self.protocol, DynamicAveraging):
            square = self._products.inner(average, average)
            product = square if reference else self._products.inner(average, self.reference)
        for i in members:
            self.links.down(i, average)
            self.learners[i].receive(average, square, product, reference=reference)
        if reference:
            self.reference = average
        self._products.forget_all_but([self.reference, average])

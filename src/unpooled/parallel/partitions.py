"""Data that lies in partitions: each is fitted where it lies, and only parameters move.

With the parameters come two models of each partition to write into, stripped of what they remember of their rows
(libsvm's support vectors are rows). Rows are dealt to parts within their partition, so rows of one kind should not fill
a partition alone. Where there are feature maps, a pilot of rows travels as well, since all partitions have to share the
map's constants.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting
from unpooled.parallel.fitting import Fitted, Work, fit_part, fit_parts
from unpooled.parallel.maps import PILOT
from unpooled.parallel.parts import deal, row_numbers
from unpooled.parallel.rows import Rows
from unpooled.seeds import Streams


@dataclass(frozen=True)
class Summary:
    """What is known of all partitions: features, rows of each, all classes, and a pilot of rows and targets."""

    features: int
    counts: Array
    classes: Array
    pilot: tuple[Array, Array] | None


class Partitions(ABC):
    """Rows in P partitions. `names` are those of the features, if they have any; `weighted` with sample weights."""

    names: Sequence[str] | None
    weighted: bool

    @abstractmethod
    def map(self, call: Callable[..., Any], extras: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`call(features, targets, weights, *extras[i])` for each partition i, run where it lies; results in order."""

    @abstractmethod
    def __len__(self) -> int:
        """P."""

    @abstractmethod
    def merged(self, groups: Sequence[Sequence[int]]) -> Partitions:
        """Fewer partitions, of the neighbours named in each group."""

    def by(self, n_jobs: int | None) -> Partitions:
        """The same, worked on by so many workers, where that is for us to say."""
        return self

    def summary(self, streams: Streams, *, pilot: bool, classifies: bool) -> Summary:
        """One pass over all rows. Raises `BadData` for rows that are not finite, or partitions that differ in width."""
        few = -(-PILOT // len(self)) if pilot else 0
        seeds = streams.generator("parallel", "pilot").integers(2**31, size=len(self))
        told = self.map(_summarise, [(few, int(seed), classifies) for seed in seeds])
        filled = [t for t in told if t is not None]
        if not filled:
            raise BadData("There are no rows in any partition.")
        widths = sorted({t[1] for t in filled})
        if len(widths) > 1:
            raise BadData(f"Partitions have different numbers of features: {', '.join(map(str, widths))}.")
        for number, t in enumerate(told):
            if t is not None and not t[2]:
                raise BadData(f"Partition {number} contains NaN or infinity: fill or remove such rows first.")
        classes = np.unique(np.concatenate([t[3] for t in filled]))
        rows = (np.concatenate([t[4] for t in filled]), np.concatenate([t[5] for t in filled])) if pilot else None
        return Summary(widths[0], np.array([0 if t is None else t[0] for t in told]), classes, rows)

    def fit(self, work: Work, shares: Sequence[int], seeds: Sequence[int]) -> list[list[Fitted]]:
        """Partition i fits `shares[i]` parts of its own rows."""
        told = self.map(_fit_partition, [(work, share, seed) for share, seed in zip(shares, seeds, strict=True)])
        return [fitted or [] for fitted in told]

    def probe(self, work: Work, counts: Array) -> int:
        """d of a learner that only tells it when it is fitted."""
        largest = int(np.argmax(counts))
        found = [d for d in self.map(_probe, [(work, i == largest) for i in range(len(self))]) if d]
        if not found:
            raise BadData(f"{type(work.learner).__name__} could not be fitted to the largest partition.")
        return int(found[0])

    def coalesced(self, most: int, counts: Array) -> tuple[Partitions, Array]:
        """At most so many partitions, and the rows of each: neighbours become one where there are more."""
        if len(self) <= most:
            return self, counts
        fewer = self.merged([group.tolist() for group in np.array_split(np.arange(len(self)), most)])
        return fewer, np.array([count or 0 for count in fewer.map(_count, [()] * len(fewer))])


def partitions(features: Any, targets: Any, weights: Any, n_jobs: int | None) -> Partitions | None:
    """The partitions that `fit` was given, or None for arrays and tables in memory."""
    home = type(features).__module__.partition(".")[0]
    if isinstance(features, Partitions):
        if targets is not None or weights is not None:
            raise BadSetting(f"{type(features).__name__} names its target and weights itself: fit(data) alone.")
        return features.by(n_jobs)
    if home in ("dask", "dask_expr"):
        from unpooled.parallel.on_dask import DaskPartitions

        return DaskPartitions.of(features, targets, weights)
    if home == "pyspark":
        from unpooled.parallel.on_spark import SparkPartitions

        return SparkPartitions.of(features, targets, weights)
    return None


def _summarise(features: Array, targets: Array, weights: Array | None, few: int, seed: int, classifies: bool) -> Any:
    """Rows, features, whether all is finite, classes, and some rows; None of an empty partition."""
    if not len(targets):
        return None
    finite = all(np.isfinite(a).all() for a in (features, weights) if a is not None)
    if np.issubdtype(targets.dtype, np.floating):
        finite = finite and bool(np.isfinite(targets).all())
    drawn = np.random.default_rng(seed).permutation(len(targets))[:few]
    classes = np.unique(targets) if classifies else targets[:0]
    return len(targets), features.shape[1], bool(finite), classes, features[drawn], targets[drawn]


def _fit_partition(
    features: Array, targets: Array, weights: Array | None, work: Work, share: int, seed: int
) -> list[Fitted]:
    """Deal the rows of this partition to `share` parts and fit them."""
    if not share:
        return []
    codes = None if work.classes is None else np.searchsorted(work.classes, targets)
    rng = np.random.default_rng(seed)
    dealt = deal(row_numbers(len(targets)), share, codes, rng)
    seeds = rng.integers(2**31, size=share).tolist()
    fitted = fit_parts(work, Rows(features, targets, weights), dealt.parts, seeds)
    # Written anew, a model of libsvm becomes its linear kind, which has no support vectors.
    return [
        one if one.row is None or one.model is None else replace(one, model=work.layout.write(one.model, one.row))
        for one in fitted
    ]


def _count(features: Array, targets: Array, weights: Array | None) -> int:
    return len(targets)


def _probe(features: Array, targets: Array, weights: Array | None, work: Work, wanted: bool) -> int:
    if not wanted:
        return 0
    found = fit_part(work, features, targets, weights, 0)
    return 0 if found.row is None else int(found.row.shape[1])

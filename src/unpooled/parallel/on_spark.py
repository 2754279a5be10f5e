"""Spark data frames: their partitions are fitted by the executors that hold them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.parallel.partitions import Partitions

NUMERIC = ("tinyint", "smallint", "int", "bigint", "float", "double", "boolean")


@dataclass(frozen=True)
class SparkPartitions(Partitions):
    """A data frame, the columns to learn from, the target's and the weights'."""

    frame: Any
    names: Sequence[str]
    target: str
    weight: str | None
    count: int

    @classmethod
    def of(cls, frame: Any, target: Any, weight: Any) -> SparkPartitions:
        """`target` and `weight` name columns of the frame; all other columns are features and must be numbers.

        Rows are read twice, in the same partitions both times: cache the frame if its source may change.
        """
        if not isinstance(target, str) or (weight is not None and not isinstance(weight, str)):
            raise BadSetting('With a Spark data frame y is the name of its target column: fit(frame, "label").')
        kinds = dict(frame.dtypes)
        for name in (target, weight):
            if name is not None and name not in kinds:
                raise BadData(f"The data frame has no column '{name}'.{did_you_mean(name, kinds)}")
        names = [name for name in kinds if name not in (target, weight)]
        wrong = [name for name in names if kinds[name] not in NUMERIC and not kinds[name].startswith("decimal")]
        if wrong or not names:
            raise BadData(f"Features must be numbers; columns that are not: {', '.join(wrong) or 'no column at all'}.")
        return cls(frame, tuple(names), target, weight, frame.rdd.getNumPartitions())

    @property
    def weighted(self) -> bool:  # type: ignore[override]
        """Whether a column holds sample weights."""
        return self.weight is not None

    def __len__(self) -> int:
        return self.count

    def map(self, call: Callable[..., Any], extras: Sequence[tuple[Any, ...]]) -> list[Any]:
        """By `mapInPandas`, one answer a partition."""
        names, target, weight, given = list(self.names), self.target, self.weight, list(extras)

        def on_partition(batches: Iterator[Any]) -> Iterator[Any]:
            import pandas as pd
            from pyspark import TaskContext

            number = TaskContext.get().partitionId()
            frames = list(batches)
            answer = None
            if frames:
                rows = pd.concat(frames)
                weights = None if weight is None else rows[weight].to_numpy()
                features = rows[names].to_numpy(dtype=np.float64)
                answer = call(features, rows[target].to_numpy(), weights, *given[number])
            yield pd.DataFrame({"number": [number], "answer": [pickle.dumps(answer)]})

        found = self.frame.mapInPandas(on_partition, "number int, answer binary").collect()
        told = {row["number"]: pickle.loads(bytes(row["answer"])) for row in found}
        return [told.get(i) for i in range(self.count)]

    def merged(self, groups: Sequence[Sequence[int]]) -> SparkPartitions:
        """As Spark coalesces them: without moving rows where it can."""
        return replace(self, frame=self.frame.coalesce(len(groups)), count=len(groups))

"""Prequential learning on streams with drift: sources, online learners, and any protocol between them."""

from unpooled.training.streams.disjunction import Disjunction
from unpooled.training.streams.hidden import HiddenVariables
from unpooled.training.streams.learners import (
    LEARNERS,
    HingeSGD,
    LogisticSGD,
    PassiveAggressive,
    Perceptron,
)
from unpooled.training.streams.result import StreamComparison, StreamResult
from unpooled.training.streams.run import Prequential, compare_streams, stream, suggest_threshold
from unpooled.training.streams.serial import Serial
from unpooled.training.streams.subset_averaging import SubsetAveraging
from unpooled.training.streams.table import TableStream, read_table

__all__ = [
    "LEARNERS",
    "Disjunction",
    "HiddenVariables",
    "HingeSGD",
    "LogisticSGD",
    "PassiveAggressive",
    "Perceptron",
    "Prequential",
    "Serial",
    "StreamComparison",
    "StreamResult",
    "SubsetAveraging",
    "TableStream",
    "compare_streams",
    "read_table",
    "stream",
    "suggest_threshold",
]

"""Two forms of the same training: `reference` reads like the paper, `vectorised` is fast. `auto` measures both."""

from unpooled.training.executors.base import Executor
from unpooled.training.executors.choice import Choice, choose
from unpooled.training.executors.reference import ReferenceExecutor
from unpooled.training.executors.vectorised import VectorisedExecutor

__all__ = ["Choice", "Executor", "ReferenceExecutor", "VectorisedExecutor", "choose"]

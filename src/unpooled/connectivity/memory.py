"""How many samples go through the engine at once: as many as a budget of bytes allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.cuts import Cut
from unpooled.connectivity.graph import Program, Step
from unpooled.connectivity.layers import is_statistic
from unpooled.errors import BadSetting

CACHE = 1_000_000
"""Bytes of one value for all models that a processor's cache is likely to hold: more samples at once are slower."""
FEWEST = 16
"""Samples at once below which a pass costs more in calls than it gains in cache."""
PROBE = 2
"""Samples whose values are measured before the start."""


@dataclass(frozen=True)
class Sizes:
    """Per sample and step: bytes of the value, and multiplications for it (roughly)."""

    bytes: tuple[float, ...]
    work: tuple[float, ...]


def measured(program: Program, X: Tensor, weights: Weights) -> Sizes:
    """Sizes of every step's value from a few samples."""
    few = X[:PROBE]
    program.load(weights)
    with torch.no_grad():
        _, values = program.run(few, set(range(len(program.steps))))
    sizes, work = [], []
    for step in program.steps:
        value = values.get(step.index)
        sizes.append(nbytes(value) / len(few))
        work.append(_work(step, value, weights) / len(few))
    return Sizes(tuple(sizes), tuple(work))


def nbytes(value: Any) -> int:
    """Bytes of the tensors in a step's value."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(nbytes, value)) if isinstance(value, (tuple, list)) else 0


def _work(step: Step, value: Any, weights: Weights) -> float:
    if not isinstance(value, Tensor):
        return 0.0
    if step.module is None or not step.affine:
        own = sum(weights[name].numel() for name in step.entries)
        return float(value.numel() + PROBE * own)
    parameters = sum(weights[name].numel() for name in step.entries)
    kernel = next((weights[name] for name in step.entries if weights[name].dim() > 1), None)
    outputs = kernel.shape[0] if kernel is not None else parameters
    return value.numel() * (1 + parameters / max(outputs, 1))


def on_a_line(step: Step, cut: Cut, wide: set[int]) -> bool:
    """Whether two values of this step serve for all models of the cut."""
    moved = [name for name in step.entries if name in cut.names]
    return bool(moved) and step.affine and not wide & set(step.reads) and not any(map(is_statistic, moved))


def peak(program: Program, cut: Cut, sizes: Sizes) -> float:
    """Bytes a sample that the values of a cut's models take at most at one time, beside what is shared."""
    models, live, most = len(cut.alphas), 0.0, 0.0
    steps = program.affected(cut.names)
    inside = {step.index for step in steps}
    for step in steps:
        own = models * sizes.bytes[step.index]
        extra = 2 * sizes.bytes[step.index] if on_a_line(step, cut, inside) else 0.0
        live += own
        most = max(most, live + extra)
        for i in set(step.reads) & inside:
            if max(program.readers[i]) == step.index:
                live -= models * sizes.bytes[i]
    return most


def chunk(program: Program, cuts: Sequence[Cut], sizes: Sizes, keep: Sequence[int], rows: int, budget: int) -> int:
    """Samples at a time; `keep` are the values kept of all base models, in all.

    Raises `BadSetting` where not even one fits into `budget` bytes.
    """
    shared = sum(sizes.bytes[i] for i in keep) + 2 * max(sizes.bytes)
    each = shared + max((peak(program, cut, sizes) for cut in cuts), default=0.0)
    if each > budget:
        raise BadSetting(
            f"One sample with all its models takes {each / 1e6:.1f} MB, and the budget is "
            f"{budget / 1e6:.1f} MB: raise memory, or take fewer points."
        )
    models = max([1, *(len(cut.alphas) for cut in cuts)])
    cached = max(FEWEST, int(CACHE / (models * max(sizes.bytes))))
    return max(1, min(rows, int(budget / each), cached))

"""An exchange is a small program over a channel: what happens between two local phases.

Each of m sites holds a row of numbers (its model). After local step t, counted from 0, an exchange may pull rows and
push others. Exchanges are made of `unpooled.training.operators`; none sees data, and none counts traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from unpooled.combine import Array, Combine
from unpooled.errors import BadSetting
from unpooled.seeds import Streams

Sites = np.ndarray[Any, np.dtype[np.int64]] | None
"""Positions of sites in the federation's fixed order; None means all of them."""
Layers = tuple[str, ...] | None
"""Names of parts of a row; None means the whole row."""
Memory = Any
ALL = None


@dataclass(frozen=True)
class Facts:
    """What a coordinator may know of a run: `sizes` (m,) as told by the sites, the parts of a row by name.

    `model_layers` are the parts that make up the model; `layers` has optimizer state too, where it travels. `batches`
    (m,) is how many samples each site sees in a local step, `start` the model that all sites begin with, and `rate` the
    learning rate of a local step. `buffers` are the parts of the model that are no parameters, `norms` those that
    belong to normalisation modules. `counted` (m,) says whose rows count in an aggregate while sites are away; None
    means all.
    """

    names: Sequence[str]
    sizes: np.ndarray[Any, np.dtype[np.int64]]
    layers: dict[str, slice]
    model_layers: tuple[str, ...]
    steps: int
    streams: Streams = field(default_factory=lambda: Streams(0))
    batches: np.ndarray[Any, np.dtype[np.int64]] | None = None
    start: Array | None = None
    buffers: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    rate: Callable[[int], float] | None = None
    counted: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    @property
    def sites(self) -> int:
        """m, the number of sites."""
        return len(self.names)

    @cached_property
    def width(self) -> int:
        """Numbers in a whole row."""
        return sum(part.stop - part.start for part in self.layers.values())

    @property
    def model_only(self) -> Layers:
        """The layers an aggregation works on: None (the whole row) unless optimizer state travels."""
        return None if len(self.model_layers) == len(self.layers) else self.model_layers


@dataclass(frozen=True)
class Poll:
    """A condition that each site checks by itself: is its model further than that from the last aggregate it received?

    `threshold` is a squared Euclidean distance over those layers; one bit a site comes back.
    """

    threshold: float
    layers: Layers = None


@dataclass(frozen=True, eq=False)
class Pull:
    """An announcement: these rows, and the answers to a poll, ride on the answers of the local phase about to run.

    With `gradients` the phase is one step that nobody takes: the rows are the gradients of the sites' batches instead,
    over all parameters. It must concern all active sites, and nothing else may be pulled with it.
    With `recipients` the rows are letters, unreadable here, which each site seals for the site at that position among
    all; they concern all active sites, and can only be pushed on.
    """

    sites: Sites = ALL
    layers: Layers = None
    poll: Poll | None = None
    gradients: bool = False
    recipients: np.ndarray[Any, np.dtype[np.int64]] | None = None


NOBODY: np.ndarray[Any, np.dtype[np.int64]] = np.empty(0, dtype=np.int64)
"""For an announcement without rows: a poll alone."""


class Channel(Protocol):
    """The coordinator's view of one round."""

    sites: int
    round: int

    def pull(self, sites: Sites = ALL, layers: Layers = None) -> Array:
        """Rows of those sites, shape (k, width). Sites are asked once a round; read only."""
        ...

    def combined(self, combine: Combine, weights: Array | None = None, layers: Layers = None) -> Array:
        """`combine` of all sites' rows, shape (width,): quicker than to pull them, where nothing else needs them."""
        ...

    def push(self, rows: Array, sites: Sites = ALL, layers: Layers = None, *, anchor: bool = False) -> None:
        """What each site continues from; delivered once, with the next question. A later pull sees it.

        `anchor` says that the rows are an aggregate, which proximal terms and polls refer to.
        """
        ...

    def poll(self) -> Array:
        """The answers to the announced poll, shape (sites,), bool; who was not active answers no."""
        ...

    def secure_mean(self, sites: Sites = ALL, layers: Layers = None, *, weighted: bool = False) -> Array:
        """The mean of those sites' rows, (width,), by number of samples or not, without seeing a single one."""
        ...


class Exchange(Protocol):
    """A program run after a local step. `facts` are the same in each call of a run."""

    def init(self, facts: Facts) -> Memory:
        """The memory before the first step."""
        ...

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        """What it will pull after this local step, or None when it is not due."""
        ...

    def active(self, round: int, facts: Facts) -> Sites:
        """Who trains in this step; the others are frozen."""
        ...

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        """The one model, shape (model width,), that it would make of the active sites' `rows` if it aggregated now.

        `row`, what exchanges before it made of them, where it forms none. Changes nothing.
        """
        ...

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        """Exchange, and return the memory for the next round."""
        ...


def columns_of(layers: Layers, facts: Facts) -> Any:
    """Column numbers of those layers: a slice where they are contiguous, else an index array."""
    if layers is None:
        return slice(None)
    parts = [facts.layers[name] for name in layers]
    if all(a.stop == b.start for a, b in pairwise(parts)):
        return slice(parts[0].start, parts[-1].stop) if parts else slice(0, 0)
    return np.concatenate([np.arange(p.start, p.stop) for p in parts])


def union(pulls: Sequence[Pull | None], facts: Facts) -> Pull | None:
    """One announcement that covers all; None when nothing is announced."""
    due = [p for p in pulls if p is not None]
    if not due:
        return None
    if any(p.gradients for p in due):
        if len(due) > 1:
            raise BadSetting("Gradients cannot be shared in a step after which models are exchanged as well.")
        return due[0]
    if any(p.recipients is not None for p in due):
        if len(due) > 1:
            raise BadSetting("Sealed models cannot be exchanged otherwise in the step in which they hop.")
        return due[0]
    polls = {p.poll for p in due if p.poll is not None}
    if len(polls) > 1:
        raise BadSetting("Two exchanges poll the sites after one step: give them periods that do not coincide.")
    poll = next(iter(polls), None)
    due = [p for p in due if p.sites is None or len(p.sites)]
    if not due:
        return Pull(NOBODY, poll=poll)
    sites = ALL if any(p.sites is None for p in due) else np.unique(np.concatenate([p.sites for p in due]))
    wanted = {name for p in due if p.layers is not None for name in p.layers}
    whole = any(p.layers is None for p in due) or len(wanted) == len(facts.layers)
    return Pull(sites, None if whole else tuple(name for name in facts.layers if name in wanted), poll)

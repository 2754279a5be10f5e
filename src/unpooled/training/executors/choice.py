"""`auto`: one step of each executor is measured, and the faster one trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unpooled.errors import Unsupported
from unpooled.sites.site import Site
from unpooled.training.executors.base import Executor
from unpooled.training.executors.reference import ReferenceExecutor
from unpooled.training.executors.vectorised import VectorisedExecutor
from unpooled.training.recipe import Recipe

ALL_SEATS = slice(None)
PATIENCE = 0.5
"""Seconds of measuring after which nothing is measured twice."""


@dataclass(frozen=True, eq=False)
class Choice:
    """An executor, and in one sentence why it was taken."""

    executor: Executor
    reason: str


def choose(
    recipe: Recipe,
    sites: Sequence[Site],
    reference: Callable[..., ReferenceExecutor] = ReferenceExecutor,
    vectorised: Callable[..., VectorisedExecutor] = VectorisedExecutor,
) -> Choice:
    """The executor named in the recipe, or the faster one for `auto`; made by `reference` and `vectorised`.

    The first step of each, which traces and warms up, does not count. Then they take turns, up to three steps each
    and no more once `PATIENCE` seconds are spent. Measuring changes nothing: the executor that trains is made anew.
    """
    if recipe.executor == "reference":
        return Choice(reference(recipe, sites), "asked for")
    if recipe.executor == "vectorised":
        return Choice(vectorised(recipe, sites), "asked for")
    try:
        trial = vectorised(recipe, sites)
        trial.train(ALL_SEATS, 0, 1)
    except Unsupported as error:
        return Choice(reference(recipe, sites), str(error))
    plain = reference(recipe, sites)
    plain.train(ALL_SEATS, 0, 1)
    fast, slow = _seconds(trial, plain)
    reason = f"one local step of all {len(sites)} sites: vectorised {fast * 1e3:.2f} ms, reference {slow * 1e3:.2f} ms"
    if fast <= slow:
        return Choice(vectorised(recipe, sites, programs=trial.programs), reason)
    return Choice(reference(recipe, sites), reason)


def _seconds(*executors: Executor) -> list[float]:
    """The shortest step of each executor, measured in turns; they have taken step 0 already."""
    times: list[list[float]] = [[] for _ in executors]
    begun = time.perf_counter()
    for step in (1, 2, 3):
        for executor, found in zip(executors, times, strict=True):
            start = time.perf_counter()
            executor.train(ALL_SEATS, step, 1)
            found.append(time.perf_counter() - start)
        if time.perf_counter() - begun > PATIENCE:
            break
    return [min(found) for found in times]

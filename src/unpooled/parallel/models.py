"""The base phase: models of all parts, wherever the rows are, and replacements for those that fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from sklearn.base import clone

from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting
from unpooled.parallel.engine import fit_everywhere
from unpooled.parallel.fitting import Fitted, Work, fit_learner, fit_part
from unpooled.parallel.maps import fit_map
from unpooled.parallel.parameters import Layout, determined
from unpooled.parallel.partitions import Partitions, Summary
from unpooled.parallel.parts import deal, row_numbers
from unpooled.parallel.planning import FEW, Size
from unpooled.parallel.quality import bad_share, hold_out
from unpooled.parallel.rows import Rows
from unpooled.parallel.warning import warn
from unpooled.seeds import Streams

ROUNDS = 2
"""How often parts that failed are fitted anew, each time to other rows."""
GLANCE = 32
"""Rows on which two models are compared."""


class Settings(Protocol):
    """What a machine decides about its models."""

    min_samples: int
    n_jobs: int | None
    min_score: float | None
    scale_penalty: bool

    def _sized(self, rows: int, parameters: int) -> Size:
        """How many models are to be trained."""

    def _lowered(self, size: Size, models: int) -> Size | None:
        """The size that so many usable models still allow, or None."""


@dataclass(frozen=True)
class Models:
    """Rows (m, blocks, d) of all usable parts, a fitted model to write into, and how it went; times in seconds."""

    rows: Array
    size: Size
    template: Any
    shared: Any
    dropped: int = 0
    refilled: int = 0
    unfinished: int = 0
    seconds: tuple[float, ...] = ()
    wall: float = 0.0
    mapped_in: float = 0.0
    bad_share: float = float("nan")


def fit_here(
    machine: Settings,
    rows: Rows,
    classes: Array | None,
    codes: Array | None,
    steps: list[Any],
    layout: Layout,
    streams: Streams,
) -> Models:
    """All parts of rows that this process can reach."""
    start = time.perf_counter()
    shared = fit_map(steps, rows.features, rows.targets, streams.generator("parallel", "map"))
    mapped_in = time.perf_counter() - start
    used, held = hold_out(row_numbers(len(rows.targets)), codes, machine.min_score, streams)
    work = Work(layout.learner, layout, shared, classes, len(used) if machine.scale_penalty else 0)
    parameters = layout.dimension(width_of(shared, rows.features)) or _probed(work, rows, used, codes, streams)
    size = checked_size(machine, len(used), parameters)
    if size.models == 1:
        return _whole(work, rows.take(used), size, mapped_in, streams)
    rng = streams.generator("parallel", "parts")
    dealt = deal(used, size.models, codes, rng)
    start = time.perf_counter()
    fitted = fit_everywhere(work, rows, dealt.parts, seeds_of(streams, 0, size.models), machine.n_jobs)
    attempts = list(fitted)
    for attempt in range(1, ROUNDS + 1):
        failed = [i for i, one in enumerate(fitted) if one.row is None]
        if not failed or len(failed) == len(fitted):
            break
        others = deal(used, size.models, codes, rng).parts[: len(failed)]
        anew = fit_everywhere(work, rows, others, seeds_of(streams, attempt, len(failed)), machine.n_jobs)
        attempts += anew
        for i, one in zip(failed, anew, strict=True):
            fitted[i] = one
    wall = time.perf_counter() - start
    found = _gathered(machine, fitted, attempts, work, size)
    glance = rows.take(used[:GLANCE])[0]
    _compare(attempts, layout, glance if shared is None else shared.transform(glance))
    share = bad_share(machine.min_score, found.rows, layout, found.template, shared, rows.take(held), size)
    return replace(found, refilled=dealt.refilled, wall=wall, mapped_in=mapped_in, bad_share=share)


def fit_where_it_lies(
    machine: Settings,
    lying: Partitions,
    summary: Summary,
    classes: Array | None,
    steps: list[Any],
    layout: Layout,
    streams: Streams,
) -> Models:
    """Every partition fits its share of the parts to its own rows; nothing but parameters comes back."""
    if machine.min_score is not None:
        raise BadSetting(
            "min_score needs rows held out, and these lie in partitions: score models on a sample of yours."
        )
    start = time.perf_counter()
    shared = fit_map(steps, *summary.pilot, streams.generator("parallel", "map")) if summary.pilot else None
    width = width_of(shared, summary.pilot[0]) if summary.pilot else summary.features
    mapped_in = time.perf_counter() - start
    total = int(summary.counts.sum())
    work = Work(layout.learner, layout, shared, classes, total if machine.scale_penalty else 0)
    size = checked_size(machine, total, layout.dimension(width) or lying.probe(work, summary.counts))
    lying, counts = lying.coalesced(size.models, summary.counts)
    shares = _shares(counts, size.models)
    start = time.perf_counter()
    answers = lying.fit(work, shares, seeds_of(streams, 0, len(shares)))
    wall = time.perf_counter() - start
    fitted = [one for answer in answers for one in answer]
    found = _gathered(machine, fitted, fitted, work, size)
    if shared is not None and summary.pilot:
        _compare(fitted, layout, shared.transform(summary.pilot[0][:GLANCE]))
    return replace(found, wall=wall, mapped_in=mapped_in)


def _gathered(
    machine: Settings, fitted: Sequence[Fitted], attempts: Sequence[Fitted], work: Work, size: Size
) -> Models:
    """The usable models. Warns of those that failed; raises `BadData` where too few are left."""
    problems = Counter(one.problem for one in attempts if one.row is None)
    good = [one for one in fitted if one.row is not None]
    if not good:
        raise BadData(f"None of {len(fitted)} parts could be fitted. Most often: {problems.most_common(1)[0][0]}")
    if problems:
        warn(
            f"{sum(problems.values())} of {len(attempts)} local fits failed and {len(good)} models are left. Most "
            f"often: {problems.most_common(1)[0][0]}"
        )
    lower = size if len(good) >= size.models else machine._lowered(size, len(good))
    if lower is None:
        raise BadData(
            f"Only {len(good)} of {size.models} local fits are usable, and a Radon point needs {size.radon_number}: "
            "give each part more rows (min_samples), regularise more, or use combine='coordinate_median'."
        )
    rows = np.stack([one.row for one in good if one.row is not None])
    template = next(one.model for one in attempts if one.model is not None)
    unfinished, seconds = sum(one.unfinished for one in good), tuple(one.seconds for one in attempts)
    return Models(rows, lower, template, work.shared, sum(problems.values()), 0, unfinished, seconds)


def _compare(attempts: Sequence[Fitted], layout: Layout, features: Any) -> None:
    models = [one.model for one in attempts if one.model is not None]
    if len(models) > 1:
        determined(layout, models[0], models[1], features)


def seeds_of(streams: Streams, attempt: int, count: int) -> list[int]:
    return [int(s) for s in streams.generator("parallel", "seeds", attempt).integers(2**31, size=count)]


def width_of(shared: Any, features: Any) -> int:
    """Features as the learner sees them."""
    return int(features.shape[1] if shared is None else shared.transform(features[:2]).shape[1])


def _probed(work: Work, rows: Rows, used: Array, codes: Array | None, streams: Streams) -> int:
    """d of a learner that only tells it when it is fitted: to about 1000 rows."""
    part = deal(used, max(1, len(used) // 1000), codes, streams.generator("parallel", "probe")).parts[0]
    found = fit_part(work, *rows.take(part), 0)
    if found.row is None:
        raise BadData(f"{type(work.learner).__name__} could not be fitted to {len(part)} rows: {found.problem}")
    return int(found.row.shape[1])


def checked_size(machine: Settings, rows: int, parameters: int) -> Size:
    size = machine._sized(rows, parameters)
    if size.models == 1:
        warn(
            f"One model is fitted to all {rows} rows: a Radon point of {parameters}-parameter models needs "
            f"{parameters + 2} parts of min_samples={machine.min_samples} rows. Lower min_samples, or use fewer "
            "features."
        )
    elif rows // size.models < FEW * parameters:
        warn(
            f"Parts of {rows // size.models} rows are fewer than {FEW} for each of {parameters} parameters: local fits "
            "may be singular or separable. Raise min_samples or lower the height."
        )
    return size


def _whole(work: Work, part: tuple[Any, Array, Array | None], size: Size, mapped_in: float, streams: Streams) -> Models:
    """Height 0: the learner itself, fitted to all rows; its own errors are left as they are."""
    features, targets, weights = part
    start = time.perf_counter()
    features = features if work.shared is None else work.shared.transform(features)
    learner = clone(work.learner, safe=False)
    model = fit_learner(learner, features, targets, weights, seeds_of(streams, 0, 1)[0])
    took = time.perf_counter() - start
    row = work.layout.read(model)
    template = work.layout.write(model, row)
    return Models(row[None], size, template, work.shared, seconds=(took,), wall=took, mapped_in=mapped_in)


def _shares(counts: Array, models: int) -> list[int]:
    """How many parts each partition fits, in proportion to its rows (Sainte-Lague); the smallest may fit none.

    >>> _shares(np.array([500, 491, 9]), 6)
    [3, 3, 0]
    """
    shares = models * counts // counts.sum()
    while shares.sum() < models:
        shares[np.argmax(counts / (2 * shares + 1))] += 1
    lost = int(counts[shares == 0].sum())
    if lost > counts.sum() / 100:
        warn(
            f"{lost} of {counts.sum()} rows lie in partitions too small for a part of their own and are left out: "
            "make partitions of equal size (repartition, rechunk, row_group_size)."
        )
    return [int(share) for share in shares]

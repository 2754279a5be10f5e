"""Made federations for research: one pooled set shared out to sites (see `ways_to_split` for the ways).

All randomness comes from the streams `split/<how>` of one seed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean, positive
from unpooled.seeds import Streams
from unpooled.sites.payload import Array
from unpooled.sites.policy import Policy
from unpooled.sites.schema import Schema, in_order, text
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.ways_to_split import WAYS, Job

Rng = np.random.Generator


def split(
    X: Any,
    y: Any,
    *,
    sites: int | None = None,
    samples: int | Sequence[int] | None = None,
    how: str = "iid",
    alpha: float | None = None,
    classes_per_site: int | None = None,
    exponent: float | None = None,
    by: Any = None,
    groups: Any = None,
    seed: int = 0,
    test: tuple[Any, Any] | None = None,
) -> InProcess:
    """Share out a pooled set to `sites` sites, named site-00, site-01, ...

    `X` has shape (n, ...) and `y` (n,): text, bools and whole numbers are classes, numbered 0, 1, ... in
    sorted order; floats are a regression target, which may have shape (n, outputs). `samples` is the number
    of rows a site (one for all, or one each); None shares out all rows. `how` is `iid`, `dirichlet` (label
    skew, `alpha`, 0.5), `classes` (`classes_per_site`, 2), `zipf` (unequal sizes, `exponent`, 1.0; with
    `samples` their mean), or `natural` (one site for each value of `by` (n,), named after it). `groups` (n,)
    names what rows belong together: validation rows are then set apart by group. `test` = (X, y) becomes the
    test set of every site, shared, not copied. Raises `BadSetting` for more samples than rows
    and for settings of another `how`, `BadData` for arrays that cannot be used.
    """
    given = {"alpha": alpha, "classes_per_site": classes_per_site, "exponent": exponent, "by": by}
    _check(how, given)
    pooled, classes = _pooled(X, y)
    rng = Streams(seed).generator("split", how)
    if how == "natural":
        names, parts = _natural(by, len(pooled), sites, samples, rng)
    else:
        if sites is None:
            raise BadSetting(f"how='{how}' needs the number of sites: sites=10, for example.")
        positive(sites=sites)
        width = max(2, len(str(sites - 1)))
        names = tuple(f"site-{i:0{width}}" for i in range(sites))
        each = _samples_each(samples, sites, len(pooled))
        labels = None if classes is None else pooled.y
        job = Job(len(pooled), labels, names, each, rng, alpha or 0.5, classes_per_site or 2, exponent or 1.0)
        parts = WAYS[how][0](job)
    schema = Schema(
        features=tuple(f"x{i}" for i in range(pooled.X.shape[1])) if pooled.X.ndim == 2 else (),
        classes=classes,
        target="y",
        shape=tuple(int(n) for n in pooled.X.shape[1:]),
    )
    shared = None if test is None else _test_set(test, schema, pooled)
    rows = [np.sort(part) for part in parts]
    simulated = Policy(allow_raw_data=True)  # these rows were in one place already
    kept = None if groups is None else np.asarray(groups)
    if kept is not None and len(kept) != len(pooled):
        raise BadData(f"groups holds {len(kept)} rows and X {len(pooled)}: they must be the same rows.")
    shares = [Samples(pooled.X[p], pooled.y[p], None if kept is None else kept[p]) for p in rows]
    made = [Site(name, share, shared, simulated) for name, share in zip(names, shares, strict=True)]
    return InProcess.of(made, schema=schema)


def _check(how: str, given: dict[str, Any]) -> None:
    if how not in WAYS:
        raise BadSetting(f"There is no way to split called '{how}', only {', '.join(WAYS)}.{did_you_mean(how, WAYS)}")
    for name, value in given.items():
        if value is None:
            continue
        if name not in WAYS[how][1]:
            owner = next(way for way, (_, settings) in WAYS.items() if name in settings)
            raise BadSetting(f"{name} is a setting of how='{owner}', not of how='{how}': leave it out, or change how.")
        if name in ("alpha", "exponent") and not (isinstance(value, (int, float)) and value > 0):
            raise BadSetting(f"{name} must be a number above 0, got {value!r}.")
    if given["classes_per_site"] is not None:
        positive(classes_per_site=given["classes_per_site"])
    if how == "natural" and given["by"] is None:
        raise BadSetting("how='natural' needs by=, an array that tells for each row which site it belongs to.")


def _samples_each(wanted: Any, sites: int, rows: int) -> tuple[int, ...] | None:
    if wanted is None:
        if sites > rows:
            raise BadSetting(f"{sites} sites need at least {sites} rows, got {rows}: use fewer sites.")
        return None
    plain = np.asarray(wanted).tolist()
    each = tuple(plain) if isinstance(plain, list) else (plain,) * sites
    for n in each:
        positive(samples=n)
    if len(each) != sites:
        raise BadSetting(f"samples names {len(each)} sizes for {sites} sites: give one number, or one for each site.")
    if sum(each) > rows:
        alike = f"{sites} sites x {each[0]} samples" if len(set(each)) == 1 else f"{sites} sites with these samples"
        raise BadSetting(f"{alike} need {sum(each)} rows, got {rows}: use fewer sites or samples.")
    return each


def _natural(
    by: Any, rows: int, sites: int | None, wanted: int | Sequence[int] | None, rng: Rng
) -> tuple[tuple[str, ...], list[Array]]:
    cells = np.array([text(value) or "" for value in np.asarray(by).tolist()])
    if len(cells) != rows:
        raise BadData(f"by holds {len(cells)} rows and X {rows}: they must be the same rows.")
    if "" in cells:
        raise BadData(f"by names no site for row {cells.tolist().index('') + 1}: leave the row out, or name its site.")
    names = in_order(cells.tolist())
    if sites not in (None, len(names)):
        raise BadSetting(f"by names {len(names)} sites, but sites={sites}: leave sites out.")
    parts = [np.flatnonzero(cells == name) for name in names]
    if wanted is None:
        return names, parts
    each = _samples_each(wanted, len(names), sys.maxsize) or ()
    for name, part, n in zip(names, parts, each, strict=True):
        if n > len(part):
            raise BadSetting(f"Site '{name}' has {len(part)} rows, but samples={n}: use fewer samples.")
    return names, [rng.permutation(part)[:n] for part, n in zip(parts, each, strict=True)]


def _pooled(X: Any, y: Any) -> tuple[Samples, tuple[str, ...] | None]:
    target = np.asarray(y)
    if target.dtype.kind == "f":
        return samples(X, target), None
    if target.ndim != 1:
        raise BadData(f"y has shape {target.shape} where class labels of shape (n,) belong.")
    labels = [text(label) for label in target.tolist()]
    if None in labels:
        raise BadData(f"y has no class in row {labels.index(None) + 1}: leave the row out.")
    classes = in_order(label for label in labels if label is not None)
    schema = Schema(features=(), classes=classes, target="y", shape=())
    return samples(X, schema.class_numbers(target)), classes


def _test_set(test: tuple[Any, Any], schema: Schema, pooled: Samples) -> Samples:
    X, y = test
    try:
        found = samples(X, y if schema.classes is None else schema.class_numbers(y))
    except BadData as error:
        raise BadData(f"In the test set, {error}") from error
    if found.X.shape[1:] != pooled.X.shape[1:]:
        raise BadData(f"A test sample has shape {found.X.shape[1:]}, one for training {pooled.X.shape[1:]}.")
    return found

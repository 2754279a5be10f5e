"""Made federations for research: one pooled set shared out to sites; and rows into training and test.

All randomness comes from named streams of one seed: `split/<how>` here, `train_test` for rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean, positive
from unpooled.seeds import Streams
from unpooled.sites.payload import Array
from unpooled.sites.policy import Policy
from unpooled.sites.schema import Schema, in_order, text
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.transports.in_process import InProcess

Rng = np.random.Generator


@dataclass(frozen=True)
class _Job:
    """What a way to split needs: class numbers (n,) or None, rows a site or None for all rows, and its
    settings."""

    rows: int
    labels: Array | None
    names: tuple[str, ...]
    samples: tuple[int, ...] | None
    rng: Rng
    alpha: float
    classes_per_site: int
    exponent: float

    @property
    def sites(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> Array:
        """Rows a site: as asked, or all rows in equal parts (the first ones may get one more)."""
        if self.samples is not None:
            return np.array(self.samples)
        return np.full(self.sites, self.rows // self.sites) + (np.arange(self.sites) < self.rows % self.sites)


def _iid(job: _Job) -> list[Array]:
    """Rows at random."""
    return _cut(job.rng.permutation(job.rows), job.sizes)


def _zipf(job: _Job) -> list[Array]:
    """Rows at random, the k-th site's number of them proportional to k to the power of -exponent, at least
    1."""
    total = int(job.sizes.sum())
    weights = np.arange(1, job.sites + 1, dtype=np.float64) ** -job.exponent
    ideal = (total - job.sites) * weights / weights.sum()
    sizes = 1 + np.floor(ideal).astype(int)
    sizes[np.argsort(np.floor(ideal) - ideal, kind="stable")[: total - sizes.sum()]] += 1
    return _cut(job.rng.permutation(job.rows), sizes)


def _dirichlet(job: _Job) -> list[Array]:
    """Each site draws its label distribution from Dirichlet(alpha * classes * their frequencies), then its
    rows (Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution", 2019). A class that
    has run out is made up for by the site's other classes, so sites that draw late may be less skewed."""
    pools, frequency = _pools(job)
    parts = []
    for size in job.sizes.tolist():
        wish = job.rng.dirichlet(np.maximum(job.alpha * len(pools) * frequency, 1e-9))
        taken: list[Array] = []
        while size:
            left = np.array([len(pool) for pool in pools])
            share = np.where(left > 0, wish, 0.0)
            share = share / share.sum() if share.sum() > 1e-12 else left / left.sum()
            for c, k in enumerate(np.minimum(job.rng.multinomial(size, share), left).tolist()):
                taken.append(pools[c][:k])
                pools[c] = pools[c][k:]
                size -= k
        parts.append(np.concatenate(taken))
    return parts


def _classes(job: _Job) -> list[Array]:
    """Per site, pick classes uniformly, assign each of its rows to one of them uniformly, draw without
    replacement from the classes' rows (FedDC's reference code). Without `samples`, the rows of a class are
    shared out in equal parts to the sites that picked it; a class that nobody picked is left out."""
    pools, _ = _pools(job)
    many = len(pools)
    if job.classes_per_site > many:
        raise BadSetting(f"classes_per_site={job.classes_per_site}, but y has {many} classes: use at most {many}.")
    wanted = np.zeros((job.sites, many), dtype=int)
    for i, size in enumerate(job.sizes.tolist()):
        picked = job.rng.choice(many, job.classes_per_site, replace=False)
        if job.samples is None:
            wanted[i, picked] = 1
        else:
            wanted[i, picked] = job.rng.multinomial(size, np.full(len(picked), 1 / len(picked)))
    for c, pool in enumerate(pools):
        users = np.flatnonzero(wanted[:, c])
        if job.samples is None and len(users) <= len(pool):
            wanted[users, c] = len(pool) // len(users) if len(users) else 0
            wanted[users[: len(pool) % len(users)] if len(users) else users, c] += 1
        if wanted[:, c].sum() > len(pool):
            raise BadSetting(
                f"Class number {c} has {len(pool)} rows, but its {len(users)} sites need "
                f"{wanted[:, c].sum()}: use fewer "
                "samples or sites, or more classes_per_site."
            )
    ends = wanted.cumsum(axis=0)
    starts = ends - wanted
    return [np.concatenate([p[starts[i, c] : ends[i, c]] for c, p in enumerate(pools)]) for i in range(job.sites)]


WAYS: dict[str, tuple[Callable[[_Job], list[Array]], tuple[str, ...]]] = {
    "iid": (_iid, ()),
    "dirichlet": (_dirichlet, ("alpha",)),
    "classes": (_classes, ("classes_per_site",)),
    "zipf": (_zipf, ("exponent",)),
    "natural": (_iid, ("by",)),
}
"""The ways to split, and the settings that each one has."""


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
        job = _Job(len(pooled), labels, names, each, rng, alpha or 0.5, classes_per_site or 2, exponent or 1.0)
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


def train_test(
    X: Any, y: Any, *, test_fraction: float, groups: Any = None, seed: int = 0, stratify: bool = True
) -> tuple[Array, Array]:
    """Row indices of training and test, sorted: about `test_fraction` of the rows are test rows.

    Rows of one of `groups` (n,) never fall on both sides. With `stratify`, each class of `y` is divided alike
    (floats are not classes) and keeps at least one row or group for training. Raises `BadSetting` for a
    fraction outside [0, 1) and `BadData` for lengths that differ.
    """
    target = np.asarray(y)
    for what, values in (("X", X), ("groups", groups)):
        if values is not None and len(values) != len(target):
            raise BadData(f"{what} holds {len(values)} rows and y {len(target)}: they must be the same rows.")
    labels = target if stratify and target.dtype.kind != "f" else None
    rng = Streams(seed).generator("train_test")
    return train_test_rows(len(target), test_fraction=test_fraction, rng=rng, labels=labels, groups=groups)


def train_test_rows(
    n: int, *, test_fraction: float, rng: Rng, labels: Any = None, groups: Any = None
) -> tuple[Array, Array]:
    """Sorted indices of training and test among n rows; round(test_fraction * n) test rows where groups
    allow."""
    if not 0.0 <= test_fraction < 1.0:
        raise BadSetting(f"test_fraction must be at least 0 and below 1, got {test_fraction!r}.")
    strata = np.zeros(n, dtype=int) if labels is None else np.unique(np.asarray(labels), return_inverse=True)[1]
    units = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    size = np.bincount(units, minlength=1)
    table = np.zeros((len(size), int(strata.max(initial=0)) + 1), dtype=int)
    np.add.at(table, (units, strata), 1)
    stratum = table.argmax(axis=1)  # of a group with several classes, its most frequent one
    order = rng.permutation(table.shape[1])  # which class gets the odd test row is a matter of chance
    held = np.array([size[stratum == c].sum() for c in order])
    wish = test_fraction * held
    quota, most = np.minimum(np.floor(wish), held - 1).clip(0), np.maximum(held - 1, 0)
    for _ in range(int(np.floor(test_fraction * n + 0.5) - quota.sum())):
        if not (quota < most).any():
            break
        quota[np.where(quota < most, wish - quota, -np.inf).argmax()] += 1
    chosen = np.zeros(len(size), dtype=bool)
    for c, due in zip(order, quota, strict=True):
        taken = 0
        for unit in rng.permutation(np.flatnonzero(stratum == c))[1:]:  # one at least stays for training
            if abs(taken + size[unit] - due) < abs(taken - due):
                chosen[unit], taken = True, taken + size[unit]
    test = chosen[units]
    return np.flatnonzero(~test), np.flatnonzero(test)


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


def _pools(job: _Job) -> tuple[list[Array], Array]:
    """Shuffled row indices of each class, and the classes' frequencies."""
    if job.labels is None:
        raise BadSetting("This way to split needs classes, but y is a regression target: use how='iid' or 'zipf'.")
    pools = [job.rng.permutation(np.flatnonzero(job.labels == c)) for c in range(int(job.labels.max()) + 1)]
    return pools, np.bincount(job.labels) / len(job.labels)


def _cut(rows: Array, sizes: Array) -> list[Array]:
    ends = np.cumsum(sizes)
    return [rows[end - size : end] for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]

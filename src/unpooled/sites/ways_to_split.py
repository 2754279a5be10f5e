"""Ways to share out rows to made sites: at random, with label skew, with few classes a site, with unequal sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unpooled.errors import BadSetting
from unpooled.sites.payload import Array


@dataclass(frozen=True)
class Job:
    """What a way to split needs: class numbers (n,) or None, rows a site or None for all rows, and its
    settings."""

    rows: int
    labels: Array | None
    names: tuple[str, ...]
    samples: tuple[int, ...] | None
    rng: np.random.Generator
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


def _iid(job: Job) -> list[Array]:
    """Rows at random."""
    return _cut(job.rng.permutation(job.rows), job.sizes)


def _zipf(job: Job) -> list[Array]:
    """Rows at random, the k-th site's number of them proportional to k to the power of -exponent, at least
    1."""
    total = int(job.sizes.sum())
    weights = np.arange(1, job.sites + 1, dtype=np.float64) ** -job.exponent
    ideal = (total - job.sites) * weights / weights.sum()
    sizes = 1 + np.floor(ideal).astype(int)
    sizes[np.argsort(np.floor(ideal) - ideal, kind="stable")[: total - sizes.sum()]] += 1
    return _cut(job.rng.permutation(job.rows), sizes)


def _dirichlet(job: Job) -> list[Array]:
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


def _classes(job: Job) -> list[Array]:
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


WAYS: dict[str, tuple[Callable[[Job], list[Array]], tuple[str, ...]]] = {
    "iid": (_iid, ()),
    "dirichlet": (_dirichlet, ("alpha",)),
    "classes": (_classes, ("classes_per_site",)),
    "zipf": (_zipf, ("exponent",)),
    "natural": (_iid, ("by",)),
}
"""The ways to split, and the settings that each one has."""


def _pools(job: Job) -> tuple[list[Array], Array]:
    """Shuffled row indices of each class, and the classes' frequencies."""
    if job.labels is None:
        raise BadSetting("This way to split needs classes, but y is a regression target: use how='iid' or 'zipf'.")
    pools = [job.rng.permutation(np.flatnonzero(job.labels == c)) for c in range(int(job.labels.max()) + 1)]
    return pools, np.bincount(job.labels) / len(job.labels)


def _cut(rows: Array, sizes: Array) -> list[Array]:
    ends = np.cumsum(sizes)
    return [rows[end - size : end] for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]

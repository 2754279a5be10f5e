"""How many datasets a hopping model has seen, and how long to chain before aggregating.

M. Kamp, J. Fischer, J. Vreeken, "Federated Learning from Small Datasets", ICLR 2023: the coverage lemma and the
proposition on the aggregation period. paper -> here: m sites, n samples, d daisy_period, b the aggregation period; an
event is one permutation, so multiply events by d for local steps. The dataset a model starts on counts as seen.

The published expression is (up to a factor next to 1) the mean time until ONE model has seen k of m datasets. For
ALL models with probability 1 - delta it is far too short (m = 50, k = 25, delta = 0.05: 37 steps, after which
some model falls short almost surely; 48 events are needed). It is kept here under that name; plan with
`events_to_cover`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import numpy as np

from unpooled.errors import BadSetting, positive

ROUNDING = 1e-12
"""Relative, of a probability added up from some thousand products."""


def expected_distinct(sites: int, events: int) -> float:
    """Mean number of distinct datasets that a model has seen after `events` uniform permutations.

    >>> expected_distinct(10, 0), round(expected_distinct(10, 9), 3)
    (1.0, 6.513)
    """
    positive(sites=sites)
    _at_least_zero(events)
    if sites == 1:
        return 1.0
    return -sites * math.expm1((events + 1) * math.log1p(-1 / sites))


def events_to_cover(sites: int, k: int, delta: float) -> int:
    """Fewest events after which, with probability at least 1 - delta, every model has seen at least `k` datasets.

    Exact tail of one model (D -> D + 1 with probability 1 - D/m, from D = 1), and the union over the m models.

    >>> events_to_cover(50, 10, 0.05)
    15
    """
    _check(sites, k, delta)
    enough = delta * (1 + ROUNDING)  # else 10 * 0.1 * 0.1 would be above 0.1
    return next(events for events, miss in enumerate(_misses(sites, k)) if miss <= enough)


def chance_to_miss(sites: int, k: int, events: int) -> float:
    """How probable it is, at most, that after `events` some model has seen fewer than `k` datasets.

    The bound that `events_to_cover` brings down to delta: m times the exact tail of one model, or 1.

    >>> chance_to_miss(50, 10, 14) > 0.05 > chance_to_miss(50, 10, 15)
    True
    """
    _check_sets(sites, k)
    _at_least_zero(events)
    return min(1.0, next(islice(_misses(sites, k), events, None)))


def _misses(sites: int, k: int) -> Iterator[float]:
    """m times the probability that one model has seen fewer than k datasets after 0, 1, 2, ... events."""
    seen = np.zeros(k)  # probability of 1 .. k - 1 datasets; place k - 1 is "k or more"
    seen[0] = 1.0
    stay = np.arange(1, k + 1) / sites
    stay[-1] = 1.0
    while True:
        yield float(sites * seen[:-1].sum())
        seen[1:] = seen[1:] * stay[1:] + seen[:-1] * (1 - stay[:-1])
        seen[0] *= stay[0]


def events_to_cover_bound(sites: int, k: int, delta: float) -> int:
    """A closed form that is never less than `events_to_cover`: ln(m C(m, k-1) / delta) / ln(m / (k-1)) - 1 events.

    A model that has seen fewer than k datasets was in some set of k - 1 of them at all events + 1 times; the union is
    over sets and models.

    >>> events_to_cover_bound(50, 10, 0.05)
    16
    """
    _check(sites, k, delta)
    if k == 1:
        return 0
    sets = math.lgamma(sites + 1) - math.lgamma(k) - math.lgamma(sites - k + 2)
    needed = (math.log(sites / delta) + sets) / math.log(sites / (k - 1))
    events = max(0, math.ceil(needed - 1e-9) - 1)
    union = sites * math.comb(sites, k - 1)
    while union * Fraction(k - 1, sites) ** (events + 1) > Fraction(delta):  # logarithms may round to one event less
        events += 1
    return events


def published_steps(sites: int, k: int, delta: float, daisy_period: int = 1) -> float:
    """The paper's coverage lemma as published, in local steps: d m delta^(-1/m) (H_m - H_{m-k}).

    NOT a guarantee for every model (see the module's text): for comparison with the paper only.

    >>> round(published_steps(50, 10, 0.05), 1)
    11.7
    """
    _check(sites, k, delta)
    positive(daisy_period=daisy_period)
    return float(daisy_period * sites * delta ** (-1 / sites) * _harmonic(sites, k))


def published_aggregate_period(sites: int, samples: int, needed: float, delta: float, daisy_period: int = 1) -> float:
    """The paper's period b after which aggregating Radon points improves the guarantee, in local steps.

    b >= d m delta^(-1/(2m)) (H_m - H_{m-k}) with k = ceil(needed / n), where `needed` = n_0(eps, sqrt(delta)) is how
    many samples one model has to see and `samples` = n is what each site holds. Its coverage part is that of
    `published_steps`, and no guarantee for every model either. Raises `BadSetting` where k > m: all sites together hold
    too few samples, and no period is long enough.

    The paper's own figure for SUSY (441 sites x 2 samples, n_0 = ln(1/0.01) / 0.05), the origin of b = 50:

    >>> round(published_aggregate_period(441, 2, math.log(1 / 0.01) / 0.05, 0.01), 3)
    49.898
    """
    positive(daisy_period=daisy_period)
    k = datasets_needed(sites, samples, needed)
    _check(sites, k, delta)
    return float(daisy_period * sites * delta ** (-1 / (2 * sites)) * _harmonic(sites, k))


def datasets_needed(sites: int, samples: int, needed: float) -> int:
    """k, how many data sets of `samples` hold the samples `needed`; `BadSetting` where all m hold fewer (k > m).

    >>> datasets_needed(50, 8, 100)
    13
    """
    positive(sites=sites, samples=samples)
    if not 0 < needed < math.inf:
        raise BadSetting(f"needed must be a number of samples above 0, got {needed!r}.")
    k = math.ceil(needed / samples)
    if k > sites:
        raise BadSetting(
            f"A model needs {math.ceil(needed)} samples, but {sites} sites x {samples} are only {sites * samples}: "
            "add sites or samples, or accept a larger error."
        )
    return k


def _harmonic(sites: int, k: int) -> float:
    """H_m - H_{m-k}."""
    return math.fsum(1 / i for i in range(sites - k + 1, sites + 1))


def _check(sites: int, k: int, delta: float) -> None:
    _check_sets(sites, k)
    if not 0 < delta < 1:
        raise BadSetting(f"delta must lie between 0 and 1, got {delta!r}.")


def _check_sets(sites: int, k: int) -> None:
    positive(sites=sites, k=k)
    if k > sites:
        raise BadSetting(f"A model cannot see k={k} distinct datasets of {sites} sites: k must be at most {sites}.")


def _at_least_zero(events: int) -> None:
    if isinstance(events, bool) or not isinstance(events, int) or events < 0:
        raise BadSetting(f"events must be a whole number of at least 0, got {events!r}.")

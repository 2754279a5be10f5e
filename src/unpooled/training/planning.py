"""How often to hop and to average: the published numbers of daisy-chaining beside corrected ones, in one table.

M. Kamp, J. Fischer, J. Vreeken, "Federated Learning from Small Datasets", ICLR 2023; `unpooled.training.coverage` has
the formulas and says what is wrong with the published ones. paper -> here: m sites, n samples a site, d daisy_period,
b the aggregation period, n_0 needed, k data sets.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

from unpooled.errors import positive
from unpooled.training.coverage import (
    chance_to_miss,
    datasets_needed,
    events_to_cover,
    events_to_cover_bound,
    expected_distinct,
    published_aggregate_period,
    published_steps,
)

WORDS = {
    "rule": "rule",
    "hops": "hops",
    "aggregate_period": "b, local steps",
    "datasets": "mean data sets seen",
    "holds": "holds for",
}


@dataclass(frozen=True)
class Rule:
    """One way to choose b: `hops` between two aggregations, b in local steps, the mean number of data sets seen."""

    rule: str
    hops: float
    aggregate_period: float
    datasets: float
    holds: str


@dataclass(frozen=True)
class Plan:
    """What `plan` found; `print` shows it as a table. `k` data sets of `samples` hold the samples `needed`."""

    sites: int
    samples: int
    needed: float
    delta: float
    daisy_period: int
    k: int
    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        head = (
            f"{self.sites} sites x {self.samples} samples; a model needs {self.needed:g} samples, so k = {self.k} data "
            f"sets, before it is averaged (delta = {self.delta:g}, d = {self.daisy_period})"
        )
        cells = [list(WORDS.values()), *(_cells(rule) for rule in self.rules)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([head, "", *lines])

    def as_dict(self) -> dict[str, object]:
        """All of it as plain numbers and text."""
        return asdict(self)


def plan(
    *,
    sites: int,
    samples: int,
    needed: float,
    delta: float = 0.05,
    daisy_period: int = 1,
    aggregate_period: int | None = None,
) -> Plan:
    """Aggregation periods for which a model sees enough data between two averagings, by published and corrected rules.

    `sites` hold `samples` each; `needed` is how many samples one model has to see: n_0(eps, sqrt(delta)) in the paper,
    for you to know or to guess. `delta` is the chance of failure. A period b holds b / d - 1 hops, the last
    `daisy_period` steps being spent on the last data set; published rules count a hop a period d. With an
    `aggregate_period` of your own two more lines say what that covers.

    Raises `BadSetting` where all sites together hold fewer samples than needed (k > m): no period is long enough then.

    >>> print(plan(sites=50, samples=2, needed=20))  # doctest: +ELLIPSIS
    50 sites x 2 samples; a model needs 20 samples, so k = 10 data sets, before it is averaged (delta = 0.05, d = 1)
    ...
    """
    positive(daisy_period=daisy_period)
    k = datasets_needed(sites, samples, needed)
    d = daisy_period
    lemma = published_steps(sites, k, delta, d)
    period = published_aggregate_period(sites, samples, needed, delta, d)
    exact, bound = events_to_cover(sites, k, delta), events_to_cover_bound(sites, k, delta)
    every_model = f"every model, with probability {1 - delta:g}"

    def seen(hops: float) -> float:
        return expected_distinct(sites, math.floor(hops))

    rules: tuple[Rule, ...] = (
        Rule(
            "published: coverage lemma", lemma / d, lemma, seen(lemma / d), "a model on average; no guarantee for all"
        ),
        Rule("published: period b, Radon points", period / d, period, seen(period / d), "as above, and its conditions"),
        Rule("corrected: random hops, exact", exact, d * (exact + 1), seen(exact), every_model),
        Rule("corrected: random hops, closed form", bound, d * (bound + 1), seen(bound), every_model),
        Rule('corrected: hops = "cyclic"', k - 1, d * k, k, "every model, for certain"),
    )
    if aggregate_period is not None:
        rules += _yours(sites, k, d, aggregate_period)
    return Plan(sites, samples, needed, delta, d, k, rules)


def _yours(sites: int, k: int, d: int, b: int) -> tuple[Rule, Rule]:
    """What a period b covers, by random hops and in a circle."""
    positive(aggregate_period=b)
    hops = (b - 1) // d
    surely, reached = max(0.0, 1 - chance_to_miss(sites, k, hops)), min(sites, hops + 1)
    random = f"every model, with probability {surely:.3f} at least" if surely else "not shown for every model"
    circle = "every model, for certain" if reached >= k else f"no model: each sees {reached}, not {k}"
    return (
        Rule("yours: random hops", hops, b, expected_distinct(sites, hops), random),
        Rule('yours: hops = "cyclic"', hops, b, reached, circle),
    )


def _cells(rule: Rule) -> list[str]:
    values = [getattr(rule, f.name) for f in fields(rule)]
    return [v if isinstance(v, str) else f"{v:d}" if isinstance(v, int) else f"{v:.1f}" for v in values]

"""Level C: sums of moments over groups of sites, under masks.

For each family (y, S, g) the coordinator learns the moments of (1, S, y) summed over g, and the sum of the sites' own
least code lengths; both together give E_g exactly. Two sums whose groups differ by one site give that site's share, and
the sums of the three pairs of three sites give all three: docs/combined.md says what that means.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unpooled.causal.combined.asking import rows_of_sites
from unpooled.causal.combined.batches import Families, families_for, label_of
from unpooled.causal.combined.grouping import Family
from unpooled.causal.combined.masks import introduce, masked, packed
from unpooled.causal.combined.moments import Floats, Moments, fit, min_sum, own_cost
from unpooled.causal.combined.rows import moments_at
from unpooled.causal.combined.sums import ask_sums
from unpooled.sites.federation import Federation
from unpooled.sites.payload import Array
from unpooled.sites.questions import Answer, handles
from unpooled.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class MaskedMomentsAnswer(Answer):
    """The numbers of all families under masks, three words each, (3 n,) uint64."""

    words: Array


@dataclass(frozen=True, kw_only=True)
class MaskedMoments(Families):
    """The moments of (1, S, y) about `center` (columns,), and the own code length, for groups that the site is in.

    Tells nothing by itself. The sum over a group tells what a single site would tell as well, of the group's rows.
    """

    kind: ClassVar[str] = "masked_moments"
    tells: ClassVar[str] = (
        "Means, variances and covariances of some variables under masks that cancel only in the sum over a group of "
        "sites; sums over groups that differ by one site tell that site's."
    )
    answer: ClassVar[type[Answer]] = MaskedMomentsAnswer
    center: Array


@handles(MaskedMoments)
def answer_masked_moments(site: Site, question: MaskedMoments) -> MaskedMomentsAnswer:
    """One row of numbers a family."""
    moments, found = moments_at(site, question.columns), list[int]()
    for family in families_for(site, question):
        columns = [*family.parents, family.node]
        part = moments.take(columns)
        group = [question.names[k] for k in family.group]
        changed = part.in_form(family.form, fit(part).variance)
        about = np.zeros(len(columns)) if family.form == "shift" else question.center[columns]
        numbers = [*_raw(changed, about), own_cost(part)]
        found += masked(site, group, numbers, label_of(site, question, family))
    return MaskedMomentsAnswer(words=packed(found))


def _raw(moments: Moments, center: Floats) -> list[float]:
    """Rows, sums about the center, and the upper triangle of the sums of products."""
    away = moments.mean - center
    products = moments.scatter + moments.rows * np.outer(away, away)
    return [moments.rows, *(moments.rows * away), *products[np.triu_indices(len(away))]]


def _moments(numbers: Sequence[float], width: int) -> Moments:
    """The way back, about the center."""
    rows, sums = numbers[0], np.array(numbers[1 : width + 1])
    products = np.zeros((width, width))
    products[np.triu_indices(width)] = numbers[width + 1 :]
    products += np.triu(products, 1).T
    return Moments(rows, sums / rows, products - np.outer(sums, sums) / rows)


class LevelC:
    """Min-sums from sums of moments. The first sums, over all sites, give the center of all later ones."""

    def __init__(self, federation: Federation, columns: tuple[str, ...]) -> None:
        introduce(federation)
        self._federation, self._columns = federation, columns
        self._session = secrets.token_hex(8)
        self.rows = rows_of_sites(federation)
        self.center = np.zeros(len(columns))
        everyone = tuple(range(len(self.rows)))
        first = self._pooled([Family(y, (), everyone) for y in range(len(columns))])
        self.center = np.array([moments.mean[0] for moments, _ in first])

    def min_sums(self, families: Sequence[Family]) -> list[float]:
        """E_g from the pooled moments of each group."""
        return [
            min_sum(total, float(sum(self.rows[k] for k in f.group)), own, f.form)
            for f, (total, own) in zip(families, self._pooled(families), strict=True)
        ]

    def _pooled(self, families: Sequence[Family]) -> list[tuple[Moments, float]]:
        """Each group's moments in its form, and the sum of its sites' own code lengths."""

        def question(places: Sequence[int], fields: dict[str, Array]) -> MaskedMoments:
            return MaskedMoments(
                session=self._session,
                columns=self._columns,
                names=tuple(self._federation.names),
                center=self.center,
                **fields,
            )

        totals = ask_sums(self._federation, families, question, MaskedMomentsAnswer, _length)
        return [
            (_moments(total[:-1], len(f.parents) + 1), total[-1]) for f, total in zip(families, totals, strict=True)
        ]


def _length(family: Family) -> int:
    width = len(family.parents) + 1
    return 2 + width + width * (width + 1) // 2

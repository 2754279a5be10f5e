"""Level E: the min-sum found by Newton's method, from sums of regrets, gradients and Hessians under masks.

The coordinator proposes theta for a family and learns sum_k R_k(y, S, theta) with its first two derivatives, of the
whole group only. This needs no closed form, only a likelihood; here it is the linear-Gaussian one, so that level C can
be its oracle, and its Hessian holds the pooled moments of level C. In eta = coefficients / sigma (intercept first) and
omega = 1 / sigma the regret is convex and n times self-concordant, so damped Newton steps converge from anywhere
(Nesterov and Nemirovskii, 1994). All families take their steps in the same rounds.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import ClassVar

import numpy as np

from unpooled.causal.combined.asking import rows_of_sites
from unpooled.causal.combined.batches import Families, families_for, label_of
from unpooled.causal.combined.grouping import Family
from unpooled.causal.combined.masks import introduce, masked, packed
from unpooled.causal.combined.moments import Floats, Moments, fit
from unpooled.causal.combined.rows import moments_at
from unpooled.causal.combined.sums import ask_sums
from unpooled.errors import SiteFailed
from unpooled.sites.federation import Federation
from unpooled.sites.payload import Array
from unpooled.sites.questions import Answer, handles
from unpooled.sites.site import Site

CLOSE = 1e-12
"""A Newton decrement, in nats, at which the minimum is found."""
ROUNDS = 100
"""More steps than this mean that something is wrong with the numbers."""


@dataclass(frozen=True, kw_only=True)
class MaskedNewtonAnswer(Answer):
    """The numbers of all families under masks, three words each, (3 n,) uint64."""

    words: Array


@dataclass(frozen=True, kw_only=True)
class MaskedNewton(Families):
    """Regret, gradient and upper triangle of the Hessian at `theta`: (|S| + 2) numbers a family, eta then omega, one
    family after the other, of columns from which `center` is taken and that are divided by `scale`."""

    kind: ClassVar[str] = "masked_newton"
    tells: ClassVar[str] = (
        "How well proposed parameters fit, with two derivatives, under masks that cancel only in the sum over a "
        "group of sites; sums over groups that differ by one site tell that site's."
    )
    answer: ClassVar[type[Answer]] = MaskedNewtonAnswer
    center: Array
    scale: Array
    theta: Array


@handles(MaskedNewton)
def answer_masked_newton(site: Site, question: MaskedNewton) -> MaskedNewtonAnswer:
    """One row of numbers a family."""
    moments, found, at = moments_at(site, question.columns), list[int](), 0
    scaled = Moments(
        moments.rows,
        (moments.mean - question.center) / question.scale,
        moments.scatter / np.outer(question.scale, question.scale),
    )
    for family in families_for(site, question):
        theta = question.theta[at : at + len(family.parents) + 2]
        at += len(theta)
        group = [question.names[k] for k in family.group]
        numbers = _derivatives(scaled.take([*family.parents, family.node]), family, theta)
        found += masked(site, group, numbers, label_of(site, question, family, theta.tobytes()))
    return MaskedNewtonAnswer(words=packed(found))


def _derivatives(moments: Moments, family: Family, theta: Floats) -> list[float]:
    """R_k(theta), its gradient and the upper triangle of its Hessian; with form "noise" omega stays 1."""
    own, eta, omega = fit(moments).variance, theta[:-1], float(theta[-1])
    changed = moments.in_form(family.form, own)
    mean = np.append(1.0, changed.mean)
    products = changed.rows * np.outer(mean, mean)
    products[1:, 1:] += changed.scatter
    zz, zy, yy = products[:-1, :-1], products[:-1, -1], float(products[-1, -1])
    quadratic = float(eta @ zz @ eta) - 2 * omega * float(zy @ eta) + omega**2 * yy
    slope = zz @ eta - omega * zy
    if family.form == "noise":
        return [0.5 * (quadratic - moments.rows), *slope, *zz[np.triu_indices(len(zz))]]
    value = 0.5 * quadratic - moments.rows * (log(omega) + 0.5 * log(own) + 0.5)
    gradient = [*slope, omega * yy - float(zy @ eta) - moments.rows / omega]
    hessian = np.block([[zz, -zy[:, None]], [-zy[None, :], np.array([[yy + moments.rows / omega**2]])]])
    return [value, *gradient, *hessian[np.triu_indices(len(hessian))]]


class LevelE:
    """Min-sums by Newton's method. The first sums, over all sites, give centers and scales of all later ones."""

    def __init__(self, federation: Federation, columns: tuple[str, ...]) -> None:
        introduce(federation)
        self._federation, self._columns = federation, columns
        self._session = secrets.token_hex(8)
        self.rows = rows_of_sites(federation)
        self._center, self._scale = np.zeros(len(columns)), np.ones(len(columns))
        everyone = [Family(y, (), tuple(range(len(self.rows)))) for y in range(len(columns))]
        # Without parents, at eta = 0 and omega = 1, the Hessian is (n, -sum y; -sum y, sum y^2 + n).
        first = [total[3:] for total in self._evaluated(everyone, [np.array([0.0, 1.0])] * len(columns))]
        self._center = np.array([-sums / n for n, sums, _ in first])
        spread = [sqrt(max((squares - n) / n - (sums / n) ** 2, 0.0)) for n, sums, squares in first]
        self._scale = np.array([one if one > 0 else 1.0 for one in spread])

    def min_sums(self, families: Sequence[Family]) -> list[float]:
        """The value at the minimum, of all families in the same rounds."""
        thetas = [np.append(np.zeros(len(f.parents) + 1), 1.0) for f in families]
        found, moving = [0.0] * len(families), list(range(len(families)))
        for _ in range(ROUNDS):
            totals = self._evaluated([families[i] for i in moving], [thetas[i] for i in moving])
            still = []
            for i, total in zip(moving, totals, strict=True):
                step, decrement = _newton(total, _free(families[i]))
                found[i] = total[0] - 0.5 * decrement**2
                if decrement**2 > CLOSE:
                    far = decrement / sqrt(sum(self.rows[k] for k in families[i].group))
                    damping = 1.0 if families[i].form == "noise" or far < 0.25 else 1.0 / (1.0 + far)
                    thetas[i] = thetas[i].copy()
                    thetas[i][: len(step)] -= damping * step
                    still.append(i)
            moving = still
            if not moving:
                return found
        raise SiteFailed(
            f"Newton's method has not converged in {ROUNDS} rounds for {len(moving)} families: are there columns that "
            "are linear functions of others? Leave them out with drop, or take level C."
        )

    def _evaluated(self, families: Sequence[Family], thetas: Sequence[Floats]) -> list[list[float]]:
        def question(places: Sequence[int], fields: dict[str, Array]) -> MaskedNewton:
            return MaskedNewton(
                session=self._session,
                columns=self._columns,
                names=tuple(self._federation.names),
                center=self._center,
                scale=self._scale,
                theta=np.concatenate([thetas[i] for i in places]),
                **fields,
            )

        return ask_sums(self._federation, families, question, MaskedNewtonAnswer, _length)


def _free(family: Family) -> int:
    """How many parameters are moved."""
    return len(family.parents) + (1 if family.form == "noise" else 2)


def _length(family: Family) -> int:
    q = _free(family)
    return 1 + q + q * (q + 1) // 2


def _newton(total: Sequence[float], q: int) -> tuple[Floats, float]:
    """Newton's step and decrement."""
    gradient = np.array(total[1 : q + 1])
    hessian = np.zeros((q, q))
    hessian[np.triu_indices(q)] = total[q + 1 :]
    hessian += np.triu(hessian, 1).T
    step = np.asarray(np.linalg.lstsq(hessian, gradient, rcond=1e-13)[0], np.float64)
    return step, sqrt(max(float(gradient @ step), 0.0))

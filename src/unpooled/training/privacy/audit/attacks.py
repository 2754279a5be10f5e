"""Two attacks that guess from a model's confidence whether a row was trained on, and how well they do.

S. Yeom, I. Giacomelli, M. Fredrikson, S. Jha, "Privacy Risk in Machine Learning: Analyzing the Connection to
Overfitting", CSF 2018 (loss threshold: a row is a member if its loss is below the mean loss of the members).
N. Carlini et al., "Membership Inference Attacks From First Principles", S&P 2022 (likelihood ratio, LiRA, online:
normal distributions of the confidence with and without the row, from shadow models; phi = log(p / (1 - p))).

Arrays have shape (worlds, rows). A world is a whole federated training in which each row took part or not; each is
attacked in turn, with others as shadow models. Worlds come in pairs of complementary halves, and a world's own twin is
no shadow of it, so that without a leak both guesses are equally likely. With fewer than 64 worlds all rows share
their variances, as Carlini et al. advise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy.stats import norm, rankdata, t

from unpooled.combine import Array

ENOUGH_FOR_OWN_VARIANCES = 64
FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Found:
    """How well an attack does: means over worlds, each with the half-width of its 95 % interval (Student's t).

    `auc` is 0.5 for guessing. `advantage` is true minus false positives at the attack's own threshold, 0 for guessing.
    `tpr` is the share of members found at 1 % false positives; NaN with fewer than 100 rows left out in a world.
    Worlds share their rows, so the intervals are about chance in training, not about other rows.
    """

    auc: float
    auc_half_width: float
    advantage: float
    advantage_half_width: float
    tpr: float
    tpr_half_width: float


def loss_threshold(losses: Array, members: Array) -> Found:
    """Yeom's attack: score minus the loss, threshold the mean loss of the members."""
    known = np.array([losses[k, members[k]].mean() for k in range(len(losses))])
    return rated(-losses, members, -known)


def likelihood_ratio(phi: Array, members: Array) -> Found:
    """LiRA: score log p(phi | in) - log p(phi | out), threshold 0."""
    return rated(ratios(phi, members), members, np.zeros(len(phi)))


def ratios(phi: Array, members: Array) -> Array:
    """LiRA's scores (worlds, rows), each world against all others as shadows."""
    scores = np.zeros(phi.shape)
    for k in range(len(phi)):
        others = np.arange(len(phi)) // 2 != k // 2
        inside, outside = (_normal(phi[others], members[others] == kind) for kind in (True, False))
        scores[k] = norm.logpdf(phi[k], *inside) - norm.logpdf(phi[k], *outside)
    return scores


def _normal(phi: Array, chosen: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each row's confidence over the chosen worlds."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, phi, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(chosen, (phi - mean) ** 2, 0.0)
    if len(phi) + 2 >= ENOUGH_FOR_OWN_VARIANCES:
        variance = squares.sum(axis=0) / np.maximum(count - 1, 1)
    else:
        variance = np.full(phi.shape[1], squares.sum() / max(int((count - 1).clip(0).sum()), 1))
    return mean, np.sqrt(np.maximum(variance, 1e-30))


def rated(scores: Array, members: Array, thresholds: Array) -> Found:
    """What an attack's scores (worlds, rows) are worth; each world has a threshold above which it says "member"."""
    worlds = range(len(scores))
    auc = [area(scores[k][members[k]], scores[k][~members[k]]) for k in worlds]
    said = scores > thresholds[:, None]
    advantage = [said[k][members[k]].mean() - said[k][~members[k]].mean() for k in worlds]
    tpr = [found_at(scores[k][members[k]], scores[k][~members[k]], FALSE_POSITIVES) for k in worlds]
    return Found(*_interval(auc), *_interval(advantage), *_interval(tpr))


def area(inside: Array, outside: Array) -> float:
    """The area under the ROC curve: how often a member scores above a non-member, ties counting half."""
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def found_at(inside: Array, outside: Array, false_positives: float) -> float:
    """The share of members above a threshold that at most this share of non-members is above; NaN where too few are."""
    allowed = int(np.floor(false_positives * len(outside) + 1e-9))
    if allowed < 1:
        return float("nan")
    return float((inside > np.sort(outside)[-allowed - 1]).mean())


def _interval(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return float(np.mean(values)), inf
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / sqrt(len(values))
    return float(np.mean(values)), float(half)


def advantage_bound(epsilon: float, delta: float) -> float:
    """No attack on (epsilon, delta)-privacy has a larger advantage: (e^epsilon - 1 + 2 delta) / (e^epsilon + 1).

    P. Kairouz, S. Oh, P. Viswanath, "The Composition Theorem for Differential Privacy", ICML 2015, section 2.
    """
    if epsilon > 700:
        return 1.0
    return min(1.0, float((np.expm1(epsilon) + 2 * delta) / (np.exp(epsilon) + 1)))

"""Decomposable scores behind `local_score(node, parents)`: higher is better, and each names its unit."""

from __future__ import annotations

from unpooled.causal.scores.base import Cached, LocalScore, score_of
from unpooled.causal.scores.discrete import BDeu, Categories, DiscreteBIC, categories
from unpooled.causal.scores.gaussian import Gaussian, from_covariance, gaussian

__all__ = [
    "BDeu",
    "Cached",
    "Categories",
    "DiscreteBIC",
    "Gaussian",
    "LocalScore",
    "categories",
    "from_covariance",
    "gaussian",
    "score_of",
]

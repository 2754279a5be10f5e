"""Decomposable scores behind `local_score(node, parents)`: higher is better, and each names its unit."""

from __future__ import annotations

from unpooled.causal.scores.base import Cached, LocalScore, score_of
from unpooled.causal.scores.discrete import BDeu, Categories, DiscreteBIC, categories
from unpooled.causal.scores.gaussian import Gaussian, from_covariance, gaussian
from unpooled.causal.scores.mixed import ConditionalGaussian, mixed
from unpooled.causal.scores.summed import Summed, summed

__all__ = [
    "BDeu",
    "Cached",
    "Categories",
    "ConditionalGaussian",
    "DiscreteBIC",
    "Gaussian",
    "LocalScore",
    "Summed",
    "categories",
    "from_covariance",
    "gaussian",
    "mixed",
    "score_of",
    "summed",
]

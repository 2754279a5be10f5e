"""Data with a known graph: random DAGs, models over them, and environments in which mechanisms differ."""

from __future__ import annotations

from unpooled.causal.generators.additive import AdditiveNoise
from unpooled.causal.generators.environments import Environments, Target, environments, varsortability
from unpooled.causal.generators.functions import GaussianProcess, Neural, Polynomial
from unpooled.causal.generators.interventions import Intervention, Random
from unpooled.causal.generators.linear import LinearGaussian
from unpooled.causal.generators.random_graphs import erdos_renyi, exact_edges, scale_free

__all__ = [
    "AdditiveNoise",
    "Environments",
    "GaussianProcess",
    "Intervention",
    "LinearGaussian",
    "Neural",
    "Polynomial",
    "Random",
    "Target",
    "environments",
    "erdos_renyi",
    "exact_edges",
    "scale_free",
    "varsortability",
]

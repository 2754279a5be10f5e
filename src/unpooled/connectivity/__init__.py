"""Layer-wise linear mode connectivity: which layers of two models can be averaged, and why.

Adilova, Andriushchenko, Kamp, Fischer, Jaggi, "Layer-wise linear mode connectivity", ICLR 2024.
"""

from unpooled.connectivity.barriers import REFERENCES
from unpooled.connectivity.between_sites import BetweenSites
from unpooled.connectivity.checkpoints import open_checkpoint
from unpooled.connectivity.layers import layers_of
from unpooled.connectivity.norms import POLICIES
from unpooled.connectivity.pairs import PairSettings, train_pair
from unpooled.connectivity.plan import Plan
from unpooled.connectivity.results import Connectivity
from unpooled.connectivity.study import Study, connect, distances
from unpooled.connectivity.sweep import Sweep, instability, sweep

__all__ = [
    "POLICIES",
    "REFERENCES",
    "BetweenSites",
    "Connectivity",
    "PairSettings",
    "Plan",
    "Study",
    "Sweep",
    "connect",
    "distances",
    "instability",
    "layers_of",
    "open_checkpoint",
    "sweep",
    "train_pair",
]

"""Kernel learners on streams: models whose size grows with the data, synchronised by their support vectors."""

from unpooled.training.streams.kernel.compression import Projection, Truncation
from unpooled.training.streams.kernel.expansion import Expansion, Gaussian, Linear
from unpooled.training.streams.kernel.norma import KernelLearner, Norma
from unpooled.training.streams.kernel.run import KernelResult, compare_kernels, kernel_stream

__all__ = [
    "Expansion",
    "Gaussian",
    "KernelLearner",
    "KernelResult",
    "Linear",
    "Norma",
    "Projection",
    "Truncation",
    "compare_kernels",
    "kernel_stream",
]

"""Many models become one: plain arrays in, plain arrays out. One row a model.

row = trimmed_mean(rows)                      # NumPy or torch, (k, P) to (P,)
row = TrimmedMean(trim=0.1)(rows)             # with other settings
TrimmedMean(trim=0.1).detailed(rows).details  # how it came about
"""

from __future__ import annotations

from unpooled.combine.arrays import Array
from unpooled.combine.base import Combined, Combiner, ModelsLeftOut
from unpooled.combine.bulyan import Bulyan, bulyan
from unpooled.combine.choice import COMBINERS, Combine, Setting, combiner, table
from unpooled.combine.coordinate_median import CoordinateMedian, coordinate_median
from unpooled.combine.geometric_median import GeometricMedian, geometric_median
from unpooled.combine.krum import Krum, MultiKrum, krum, multi_krum
from unpooled.combine.mean import Mean, mean
from unpooled.combine.norm_clipped_mean import NormClippedMean, norm_clipped_mean
from unpooled.combine.radon import Radon, radon
from unpooled.combine.radon_point import RadonPoints, radon_point, radon_points
from unpooled.combine.trimmed_mean import TrimmedMean, trimmed_mean

__all__ = [
    "COMBINERS",
    "Array",
    "Bulyan",
    "Combine",
    "Combined",
    "Combiner",
    "CoordinateMedian",
    "GeometricMedian",
    "Krum",
    "Mean",
    "ModelsLeftOut",
    "MultiKrum",
    "NormClippedMean",
    "Radon",
    "RadonPoints",
    "Setting",
    "TrimmedMean",
    "bulyan",
    "combiner",
    "coordinate_median",
    "geometric_median",
    "krum",
    "mean",
    "multi_krum",
    "norm_clipped_mean",
    "radon",
    "radon_point",
    "radon_points",
    "table",
    "trimmed_mean",
]

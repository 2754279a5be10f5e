"""Results -> matplotlib figures: pure functions of frames that draw and return, and show nothing.

The numbers are computed apart from the pictures, in `unpooled.figures.summary`; names, colours and markers of
methods come from one table, `unpooled.figures.looks`.
"""

from unpooled.figures.by_site import per_site
from unpooled.figures.curves import accuracy_against_bytes, accuracy_against_steps
from unpooled.figures.data import holdings
from unpooled.figures.looks import Method, Methods, methods, methods_of
from unpooled.figures.radon import quality_against_height, radon_tree, time_against_rows
from unpooled.figures.results import comparison
from unpooled.figures.style import NARROW, WIDE
from unpooled.figures.traffic import traffic_by_site

__all__ = [
    "NARROW",
    "WIDE",
    "Method",
    "Methods",
    "accuracy_against_bytes",
    "accuracy_against_steps",
    "comparison",
    "holdings",
    "methods",
    "methods_of",
    "per_site",
    "quality_against_height",
    "radon_tree",
    "time_against_rows",
    "traffic_by_site",
]

"""Explanations: readable scripts in percent cells, and the pages and notebooks that are made of them.

>>> from unpooled.explain import EXPLANATIONS
>>> EXPLANATIONS[0].name
'bias-variance'
"""

from __future__ import annotations

from unpooled.explain.listing import EXPLANATIONS as EXPLANATIONS
from unpooled.explain.shown import Animation as Animation
from unpooled.explain.shown import Drawing as Drawing
from unpooled.explain.shown import Frames as Frames
from unpooled.explain.shown import Numbers as Numbers
from unpooled.explain.shown import Sketch as Sketch

__all__ = ["EXPLANATIONS", "Animation", "Drawing", "Frames", "Numbers", "Sketch"]

"""The one warning of this package."""

from __future__ import annotations

import sys
import warnings


class MachineWarning(UserWarning):
    """A machine was fitted, but its guarantees or its gain are less than asked for; the text says what to change."""


def warn(text: str) -> None:
    """Warn where the user called this package."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("unpooled.parallel"):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, MachineWarning, stacklevel=depth)

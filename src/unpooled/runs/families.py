"""The families of runs: a family is one row here and one in the report; nothing else branches on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unpooled.errors import BadSetting
from unpooled.runs.config import Config
from unpooled.runs.execute import execute

FAMILIES: dict[str, Callable[..., dict[str, Any]]] = {"training": execute}
"""Runs a config of that family in a folder."""


def runner_of(config: Config) -> Callable[..., dict[str, Any]]:
    """The family's runner; raises `BadSetting` for a family that does not exist."""
    if config.family not in FAMILIES:
        raise BadSetting(f"There is no family '{config.family}'; there are {', '.join(FAMILIES)}.")
    return FAMILIES[config.family]

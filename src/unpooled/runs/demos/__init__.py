"""Configs of the demonstration, two real data sets."""

from __future__ import annotations

from importlib.resources import files

from unpooled.runs.config import Config, parse

NAMES = ("breast_cancer", "digits")


def demo_config(name: str) -> Config:
    """The demonstration's config of that name."""
    import tomllib

    return parse(tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8")))

"""The scripts, by name. They are read as text and run as modules; none is imported by the library."""

from __future__ import annotations

from importlib.resources import files

from unpooled.errors import BadSetting, did_you_mean


def names() -> list[str]:
    """Which explanations there are."""
    found = (file.name for file in files(__package__).iterdir())
    return sorted(name.removesuffix(".py") for name in found if name.endswith(".py") and name != "__init__.py")


def text(name: str) -> str:
    """The script of that name. Raises `BadSetting` for a name that is none."""
    if name not in names():
        hint = did_you_mean(name, names())
        raise BadSetting(f"There is no explanation called '{name}'.{hint} There are: {', '.join(names())}.")
    return files(__package__).joinpath(f"{name}.py").read_text(encoding="utf-8")

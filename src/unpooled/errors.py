"""Every error that unpooled raises on purpose: what was found, what was needed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnpooledError(Exception):
    """Root of all errors raised on purpose; the command line prints its text without a traceback."""


class BadSetting(UnpooledError, ValueError):
    """A setting, key or argument has a value that cannot be used."""


class BadData(UnpooledError, ValueError):
    """Data at a site, or a table given by the user, cannot be used as it is."""


class BadRecord(UnpooledError, ValueError):
    """A run's folder, checkpoint or ledger is missing, truncated or has been changed."""


class Refused(UnpooledError, PermissionError):
    """A site's policy does not allow what was asked."""


class Unsupported(UnpooledError, TypeError):
    """The chosen executor or combination cannot do this; the message names the remedy."""


class Diverged(UnpooledError, ArithmeticError):
    """The training loss at a site is no longer a finite number."""


class SiteFailed(UnpooledError, RuntimeError):
    """A site could not answer a question."""


class Interrupted(UnpooledError):
    """The user asked to stop; all finished work is on disk."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint such as " Did you mean 'seed'?" (leading blank), or "" when nothing known is close."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def positive(**settings: int) -> None:
    """Raise `BadSetting` unless every named setting is a whole number of at least 1."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadSetting(f"{name} must be a whole number of at least 1, got {value!r}.")


def not_negative(**settings: float) -> None:
    """Raise `BadSetting` unless every named setting is a finite number of at least 0."""
    for name, value in settings.items():
        if not 0.0 <= value < float("inf"):
            raise BadSetting(f"{name} must be a finite number of at least 0, got {value!r}.")


def fraction(**settings: float) -> None:
    """Raise `BadSetting` unless every named setting lies in (0, 1]."""
    for name, value in settings.items():
        if not 0.0 < value <= 1.0:
            raise BadSetting(f"{name} must lie above 0 and not above 1, got {value!r}.")


def above_zero(**settings: float) -> None:
    """Raise `BadSetting` unless every named setting is a finite number above 0."""
    for name, value in settings.items():
        if not 0.0 < value < float("inf"):
            raise BadSetting(f"{name} must be a finite number above 0, got {value!r}.")


def below_one(**settings: float) -> None:
    """Raise `BadSetting` unless every named setting lies in [0, 1)."""
    for name, value in settings.items():
        if not 0.0 <= value < 1.0:
            raise BadSetting(f"{name} must be at least 0 and below 1, got {value!r}.")

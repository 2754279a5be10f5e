"""Subjects on the broker. Each belongs to one direction and one site, so that a broker's permissions say all there is.

Nobody uses reply subjects: whoever answers to the address a message names can be made to speak where the asker may not.
"""

from __future__ import annotations

import re

from unpooled.errors import BadSetting

CALL = "call"
"""The coordinator asks all sites for a sign of life."""
FROM_ALL, HERE_ALL = "from.*", "here.*"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def to(site: str) -> str:
    """Chunks of questions for a site, and acknowledgements of its answers."""
    return f"to.{site}"


def coming_from(site: str) -> str:
    """Chunks of answers of a site, and acknowledgements of its questions."""
    return f"from.{site}"


def here(site: str) -> str:
    """Signs of life of a site."""
    return f"here.{site}"


def site_of(subject: str) -> str:
    """The site that a subject belongs to."""
    return subject.partition(".")[2]


def check_name(name: str) -> str:
    """The name; raises `BadSetting` for one that cannot be part of a subject or a file's name."""
    if not NAME.fullmatch(name):
        raise BadSetting(f"A site is called '{name}': 1 to 64 letters, digits, - and _ are needed, as in clinic-3.")
    return name

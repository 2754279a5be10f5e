"""How often a site refused, and which refusals get a line in its ledger, so that nobody can fill its disk with them."""

from __future__ import annotations

MOST_EACH = 16
"""Refusals of a sort that get a line each; after them, those whose count is a power of two."""


class Refusals:
    """Counts of refusals by sort since the site was started. Sorts are few: none is a text that an asker chose."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, sort: str) -> int | None:
        """One more of this sort; its count where it is to be written down, None where it is one of very many."""
        count = self._counts[sort] = self._counts.get(sort, 0) + 1
        return count if count <= MOST_EACH or count & (count - 1) == 0 else None

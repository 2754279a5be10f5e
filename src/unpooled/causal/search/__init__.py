"""Searches over Markov equivalence classes; each knows a score only by its `local_score`."""

from __future__ import annotations

from unpooled.causal.search.delete_first import delete_first, plain_delete_first
from unpooled.causal.search.found import Found
from unpooled.causal.search.ges import ges

__all__ = ["Found", "delete_first", "ges", "plain_delete_first"]

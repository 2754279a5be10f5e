"""Causal graphs from data: graphs and their distances, scores, search, generators. Works without torch."""

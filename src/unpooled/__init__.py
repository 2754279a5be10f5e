"""unpooled: models and causal graphs from data that must stay where it is."""

from __future__ import annotations

__version__ = "0.1.0"

"""Layers and initialisers draw from torch's default stream: lend them a named one for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_stream(seed: int) -> Iterator[None]:
    """Run a block on the stream of `seed` (see `Streams.torch_seed`), and put the caller's stream back."""
    default = torch.default_generator
    before = default.get_state()
    default.set_state(torch.Generator().manual_seed(seed).get_state())
    try:
        yield
    finally:
        default.set_state(before)

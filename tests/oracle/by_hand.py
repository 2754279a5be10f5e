"""Averaging protocols written out as a plain loop in PyTorch and NumPy, without the library: an oracle for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from unpooled.combine import Array
from unpooled.sites.site import Site

Event = Callable[[int, Array], Array]
"""After local step t, what the sites' models (m, P) become."""


def flat(module: nn.Module) -> Array:
    """All parameters as one vector."""
    return np.concatenate([p.detach().numpy().reshape(-1) for p in module.parameters()])


def run_by_hand(
    members: Sequence[Site], start: Callable[[], nn.Module], steps: int, event: Event, lr: float = 0.1
) -> Array:
    """Gradient descent with full batches at each site; returns the models after the last event, shape (m, P)."""
    models = [start() for _ in members]
    rows = np.stack([flat(model) for model in models])
    for t in range(steps):
        for i, (site, model) in enumerate(zip(members, models, strict=True)):
            torch.nn.utils.vector_to_parameters(torch.tensor(rows[i]), model.parameters())
            own = site.require_train()
            model.zero_grad()
            nn.functional.cross_entropy(model(torch.tensor(own.X)), torch.tensor(own.y)).backward()  # type: ignore[no-untyped-call]
            gradient = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])  # type: ignore[union-attr]
            rows[i] = rows[i] - lr * gradient
        rows = np.array(event(t, rows))
    return rows

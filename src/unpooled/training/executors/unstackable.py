"""What a module may not do if all sites are to be trained at once: named before any work starts."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unpooled.errors import Unsupported
from unpooled.training.randomness import torch_stream


def refuse_changing_buffers(module: nn.Module, X: Tensor) -> None:
    """Statistics that a layer keeps by hand are found by one forward pass of a copy."""
    if next(module.buffers(), None) is None:
        return
    trial = copy.deepcopy(module).train()
    before = {name: (id(buffer), buffer._version) for name, buffer in trial.named_buffers()}
    try:
        with torch.no_grad(), torch_stream(0):
            trial(X)
    except Exception:  # what cannot run at all is told when it is traced, or by the reference executor
        return
    changed = [name for name, buffer in trial.named_buffers() if before.get(name) != (id(buffer), buffer._version)]
    if changed:
        raise Unsupported(
            f"{type(module).__name__} changes its buffer '{changed[0]}' as it runs, which the vectorised executor "
            'cannot follow: use executor="reference".'
        )


def refuse_running_statistics(module: nn.Module) -> None:
    """Name the layer that vmap would trip over, before any work starts."""
    for name, layer in module.named_modules():
        statistics = isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats
        if statistics:
            raise Unsupported(
                f"Layer '{name}' ({type(layer).__name__}) keeps running statistics, which the vectorised executor "
                'cannot update: use executor="reference", or GroupNorm.'
            )
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
            raise Unsupported(
                f"Layer '{name}' ({type(layer).__name__}) draws random numbers, which the vectorised executor cannot "
                'repeat site by site: use executor="reference", or p=0.'
            )

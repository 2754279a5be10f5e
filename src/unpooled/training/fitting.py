"""Does this model take these samples? Tried on two of them before any training, so that the error is a sentence."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch

from unpooled.errors import BadData
from unpooled.sites.site import Site
from unpooled.training.recipe import Recipe


def check_fit(recipe: Recipe, sites: Iterable[Site]) -> None:
    """Raise `BadData` where a site's samples do not go through the model, or have more classes than it has outputs."""
    module = copy.deepcopy(recipe.module).eval()
    dtype = next(module.parameters()).dtype
    outputs: dict[tuple[int, ...], int | None] = {}
    for site in sites:
        data = site.require_train()
        shape = data.X.shape[1:]
        if shape not in outputs:
            few = torch.from_numpy(data.X[:2])  # two, because layers with batch statistics refuse one
            try:
                with torch.no_grad():
                    result = module(few.to(dtype) if few.dtype.is_floating_point else few)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise BadData(
                    f"its samples of shape {tuple(shape)} do not go through the model ({reason}): fit the model's "
                    "first layer to them."
                ) from error
            plain = isinstance(result, torch.Tensor) and result.ndim == 2 and result.shape[1] > 1
            outputs[shape] = int(result.shape[1]) if plain else None
        count = outputs[shape]
        if count is not None and data.y.ndim == 1 and data.y.dtype.kind == "i" and int(data.y.max()) >= count:
            raise BadData(
                f"it holds class number {int(data.y.max())}, but the model has outputs for 0 to {count - 1} only: "
                "give the model an output for each class."
            )

"""Gradients of all sites in one call: a program a shape, traced when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from unpooled.errors import Unsupported
from unpooled.training.executors.stacked_data import Group
from unpooled.training.executors.traced import Traced, trace
from unpooled.training.recipe import Recipe

Shapes = Mapping[str, tuple[int, ...]]


class Programs:
    """The programs of one recipe, by shape; executors of the same recipe and sites may share one."""

    def __init__(self, recipe: Recipe, parameters: Shapes, buffers: Shapes) -> None:
        self.recipe, self._parameters, self._buffers = recipe, parameters, buffers
        self._known: dict[Any, Traced] = {}

    @property
    def light(self) -> bool:
        """Whether all work so far is better done on one thread (see `LIGHT`); moving rows about then is, too."""
        return bool(self._known) and all(program.light for program in self._known.values())

    def gradients(
        self,
        parameters: Sequence[Tensor],
        buffers: Sequence[Tensor],
        group: Group,
        data: tuple[Tensor, Tensor],
        *,
        shared: bool = False,
    ) -> tuple[Sequence[Tensor], Tensor]:
        """Gradients (a tensor each parameter, sites first) and losses; `shared` parameters have no site dimension."""
        free, key = (*parameters, *buffers), (len(group.batches), group.size, shared)
        program = self._known.get(key)
        if program is None:
            program = self._known[key] = self._traced(free, data, shared)
        with torch.no_grad(), one_thread(program.light):
            prepared = group.prepared.get(program)
            if prepared is None:
                prepared = program.prepare(data)
                if group.data is not None:
                    group.prepared[program] = prepared
            *gradients, loss = program(free, data, prepared)
        return gradients, loss

    def _traced(self, free: Sequence[Tensor], data: Sequence[Tensor], shared: bool) -> Traced:
        module, loss = self.recipe.module, self.recipe.loss
        module.train()
        names, count = (*self._parameters, *self._buffers), len(self._parameters)

        def site_loss(parameters: Sequence[Tensor], constants: Sequence[Tensor], X: Tensor, y: Tensor) -> Tensor:
            named = dict(zip(names, (*parameters, *constants), strict=True))
            return loss(functional_call(module, named, (X,)), y)

        def gradients(*tensors: Tensor) -> Sequence[Tensor]:
            values, (X, y) = tensors[:-2], tensors[-2:]
            per_site = vmap(grad_and_value(site_loss), in_dims=(None if shared else 0, 0, 0, 0))
            found, losses = per_site(values[:count], values[count:], X, y)
            return (*found, losses)

        try:
            with sdpa_kernel(SDPBackend.MATH):  # attention as batched products: the fused form takes sites one by one
                return trace(gradients, free, data)
        except Exception as error:  # torch raises many types here; the first line of its text tells which operation
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise Unsupported(
                f"{type(module).__name__} cannot be trained for all sites at once ({first_line}): "
                'use executor="reference".'
            ) from error


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Run a block on one thread of torch, and put the number back."""
    threads = torch.get_num_threads()
    if not wanted or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

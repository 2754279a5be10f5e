"""Gradients of all sites in one call: a program a shape, traced when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from unpooled.errors import Unsupported
from unpooled.training.executors.stacked_data import Group
from unpooled.training.executors.traced import Result, Traced, trace
from unpooled.training.recipe import Recipe
from unpooled.training.unwritten import Move, Product, Summed

Shapes = Mapping[str, tuple[int, ...]]
OfOneSite = Callable[..., tuple[Sequence[Tensor], Tensor]]
"""Parameters, the model's other tensors, and the data of one site to gradients and a loss."""


class Programs:
    """The programs of one recipe, by shape; executors of the same recipe and sites may share one.

    `of_site` is what a program does for each site: the gradient of the batch's loss, if nothing else is given.
    """

    def __init__(self, recipe: Recipe, parameters: Shapes, buffers: Shapes, of_site: OfOneSite | None = None) -> None:
        self.recipe, self._count = recipe, len(parameters)
        self._of_site = of_site or batch_gradient(recipe, (*parameters, *buffers))
        self._known: dict[Any, Traced] = {}

    @property
    def light(self) -> bool:
        """Whether all work so far is better done on one thread (see `LIGHT`); moving rows about then is, too."""
        return bool(self._known) and all(program.light for program in self._known.values())

    def gradients(
        self,
        parameters: Sequence[Tensor],
        buffers: Sequence[Tensor],
        data: Sequence[Tensor],
        *,
        shared: bool = False,
        group: Group | None = None,
    ) -> tuple[Sequence[Tensor], Tensor]:
        """Gradients (a tensor each parameter, sites first) and losses; `shared` parameters have no site dimension.

        `data` are (sites, samples, ...); what a program makes of the lasting data of a `group` is remembered there.
        """
        *found, loss = self._call(parameters, buffers, data, shared, False, group)
        return cast("list[Tensor]", found), cast(Tensor, loss)

    def moves(
        self,
        parameters: Sequence[Tensor],
        buffers: Sequence[Tensor],
        data: Sequence[Tensor],
        *,
        shared: bool = False,
        group: Group | None = None,
    ) -> tuple[Sequence[Move], Tensor]:
        """As `gradients`, but batched products are left as their factors and sums over rows as the rows."""
        *found, loss = self._call(parameters, buffers, data, shared, True, group)
        return [_move(g) for g in found], cast(Tensor, loss)

    def _call(
        self,
        parameters: Sequence[Tensor],
        buffers: Sequence[Tensor],
        data: Sequence[Tensor],
        shared: bool,
        factored: bool,
        group: Group | None,
    ) -> Sequence[Result]:
        free, key = (*parameters, *buffers), (*data[0].shape[:2], shared, factored)
        program = self._known.get(key)
        if program is None:
            program = self._known[key] = self._traced(free, data, shared, factored)
        with torch.no_grad(), one_thread(program.light):
            known = {} if group is None or group.data is None else group.prepared
            prepared = known.get(program)
            if prepared is None:
                prepared = known[program] = program.prepare(data)
            return program(free, data, prepared)

    def _traced(self, free: Sequence[Tensor], data: Sequence[Tensor], shared: bool, factored: bool) -> Traced:
        module, count = self.recipe.module, self._count
        module.train()

        def gradients(*tensors: Tensor) -> Sequence[Tensor]:
            constants, own = tensors[count : len(free)], tensors[len(free) :]
            per_site = vmap(self._of_site, in_dims=(None if shared else 0, 0, *[0] * len(own)))
            found, losses = per_site(tensors[:count], constants, *own)
            return (*found, losses)

        try:
            with sdpa_kernel(SDPBackend.MATH):  # attention as batched products: the fused form takes sites one by one
                return trace(gradients, free, data, factored=factored)
        except Exception as error:  # torch raises many types here; the first line of its text tells which operation
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise Unsupported(
                f"{type(module).__name__} cannot be trained for all sites at once ({first_line}): "
                'use executor="reference".'
            ) from error


def _move(found: Result) -> Move:
    if isinstance(found, Tensor):
        return found
    return Product(*found) if len(found) == 2 else Summed(*found)


def batch_gradient(recipe: Recipe, names: Sequence[str]) -> OfOneSite:
    """The gradient of a batch's loss; `names` are those of the parameters and then of the other tensors."""

    def loss(parameters: Sequence[Tensor], constants: Sequence[Tensor], X: Tensor, y: Tensor) -> Tensor:
        named = dict(zip(names, (*parameters, *constants), strict=True))
        return recipe.loss(functional_call(recipe.module, named, (X,)), y)

    of_site: OfOneSite = grad_and_value(loss)
    return of_site


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

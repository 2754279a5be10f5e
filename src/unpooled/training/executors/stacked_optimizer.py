"""One torch.optim optimizer over many sites: exact for optimizers that treat each number by itself.

State is kept as (m, P) matrices and (m,) counters. Sites whose counters agree step together; where they differ (after
a partial reset, or with subsampling), each group of equals steps by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from unpooled.errors import Unsupported
from unpooled.training.optimizer_state import StateNames, as_kept, state_names
from unpooled.training.recipe import Recipe

ELEMENTWISE = frozenset(
    {"SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "ASGD"}
)
"""Optimizers of torch.optim whose step on a matrix is the step on each of its rows."""


class Session(Protocol):
    """Some rows in training: `rows` is updated in place by `step`."""

    @property
    def rows(self) -> Tensor:
        """The rows, shape (k, P)."""
        ...

    def step(self, parts: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        """One optimizer step. `parts` are views of `rows`, one a parameter in order; `gradients` have their shapes."""
        ...


@dataclass(frozen=True, eq=False)
class _Descent:
    """Plain gradient descent: what torch.optim.SGD does without momentum and decay, without joining the parts."""

    rows: Tensor

    def step(self, parts: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        for part, gradient in zip(parts, gradients, strict=True):
            part.add_(gradient, alpha=-rate)


@dataclass(frozen=True, eq=False)
class _Cohorts:
    """An optimizer a cohort: (positions within `rows` or None for all, optimizer, its parameter)."""

    rows: Tensor
    cohorts: Sequence[tuple[Any, torch.optim.Optimizer, Tensor]]

    def step(self, parts: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        gradient = torch.cat([g.reshape(len(self.rows), -1) for g in gradients], dim=1)
        for where, optimizer, parameter in self.cohorts:
            parameter.grad = gradient if where is None else gradient[where]
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            if where is not None:
                self.rows[where] = parameter.detach()


class StackedOptimizer:
    """Keeps optimizer state for each row of `stack` (m, P)."""

    def __init__(self, recipe: Recipe, stack: Tensor) -> None:
        self.recipe, self.stack = recipe, stack
        kind = type(recipe.new_optimizer([torch.zeros(1, requires_grad=True)]))
        if kind.__name__ not in ELEMENTWISE or kind.__module__.split(".")[:2] != ["torch", "optim"]:
            raise Unsupported(
                f"{kind.__name__} does not treat each parameter by itself, so sites cannot be stacked: "
                f'use executor="reference", or one of {", ".join(sorted(ELEMENTWISE))}.'
            )
        self.names: StateNames = state_names(recipe, stack.dtype)
        self._full = {n: torch.zeros_like(stack) for n in self.names.full}
        self._single = {n: torch.zeros(len(stack), dtype=torch.float64) for n in self.names.single}
        self._fresh = torch.ones(len(stack), dtype=torch.bool)
        self.plain = recipe.plain_descent

    @property
    def stateless(self) -> bool:
        """Plain SGD keeps nothing, so all rows always step together."""
        return not self._full and not self._single

    def clear(self, index: Any) -> None:
        """Forget the state of these rows."""
        if self.stateless:
            return
        self._fresh[index] = True
        for value in (*self._full.values(), *self._single.values()):
            value[index] = 0

    def write(self, index: Any, state: dict[str, Tensor]) -> None:
        """State that arrived with models."""
        for name, value in state.items():
            if name in self._full:
                self._full[name][index] = value
            else:
                self._single[name][index] = value[:, 0].to(torch.float64)
        self._fresh[index] = False

    def read(self) -> Tensor:
        """State of all rows in the order of the layout, shape (m, columns of state)."""
        single = [v[:, None].to(self.stack.dtype) for v in self._single.values()]
        return torch.cat([*self._full.values(), *single], dim=1)

    @contextmanager
    def session(self, index: Tensor | None) -> Iterator[Session]:
        """Rows `index` (all when None) ready to take steps; what they become is written back at the end."""
        if self.stateless:
            rows = self.stack if index is None else self.stack[index]
            yield _Descent(rows) if self.plain else _Cohorts(rows, [(None, self.recipe.new_optimizer([rows]), rows)])
            if index is not None:
                self.stack[index] = rows
            return
        everything = torch.arange(len(self.stack)) if index is None else index
        rows = self.stack if index is None else self.stack[index]
        cohorts = [self._open(rows, everything, where) for where in self._cohorts(everything)]
        yield _Cohorts(rows, cohorts)
        for where, optimizer, parameter in cohorts:
            self._close(everything if where is None else everything[where], optimizer, parameter)
        if index is not None:
            self.stack[index] = rows

    def _cohorts(self, index: Tensor) -> list[Tensor | None]:
        """Positions within `index` whose counters agree; [None] when all do."""
        marks = torch.stack([self._fresh[index].to(torch.float64), *(v[index] for v in self._single.values())], dim=1)
        if bool((marks == marks[0]).all()):
            return [None]
        _, group = marks.unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
        return [torch.nonzero(group == g).reshape(-1) for g in range(int(group.max()) + 1)]

    def _open(self, rows: Tensor, index: Tensor, where: Tensor | None) -> tuple[Any, torch.optim.Optimizer, Tensor]:
        parameter = rows if where is None else rows[where].clone()
        members = index if where is None else index[where]
        optimizer = self.recipe.new_optimizer([parameter])
        if not bool(self._fresh[members[0]]):
            state: dict[str, Any] = {n: v[members] for n, v in self._full.items()}
            for (name, value), kind in zip(self._single.items(), self.names.single_dtypes, strict=True):
                state[name] = as_kept(float(value[members[0]]), kind)
            optimizer.state[parameter] = state
        return where, optimizer, parameter

    def _close(self, members: Tensor, optimizer: torch.optim.Optimizer, parameter: Tensor) -> None:
        state = optimizer.state.get(parameter)
        if not state:
            return
        for name, value in self._full.items():
            value[members] = state[name]
        for name, value in self._single.items():
            value[members] = float(state[name])
        self._fresh[members] = False

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"full": self._full, "single": self._single, "fresh": self._fresh}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        for name, value in self._full.items():
            value.copy_(state["full"][name])
        for name, value in self._single.items():
            value.copy_(state["single"][name])
        self._fresh.copy_(state["fresh"])

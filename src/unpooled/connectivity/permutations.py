"""Which axes of which weights must be permuted together so that a network computes what it did before.

S. Ainsworth, J. Hayase, S. Srinivasa, "Git Re-Basin: merging models modulo permutation symmetries", ICLR 2023, write
such a specification by hand for each architecture; here it is read off the steps of the traced model. Units are the
places along one axis of a value. A linear layer or convolution makes new units, what works unit by unit hands them on,
a shortcut makes the units of both its inputs the same. Units of the input, of the output, and of anything that is not
known here stay where they are: attention, group norm and concatenation are not permuted, and never wrongly.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.graph import Program, Step
from unpooled.connectivity.layers import tied_in

POOLING = (nn.MaxPool1d, nn.AvgPool1d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
UNITWISE = (
    *(nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.ReLU6, nn.Hardswish),
    *(nn.Identity, nn.Dropout, nn.Dropout2d),
)
"""Modules that treat each unit alike and by itself."""
ONE: tuple[Any, ...] = (
    *(functional.relu, functional.gelu, functional.silu, functional.leaky_relu, functional.elu, functional.dropout),
    *(torch.relu, torch.tanh, torch.sigmoid, operator.neg),
    *("relu", "tanh", "sigmoid", "neg", "contiguous", "clone"),
)
POOLS: tuple[Any, ...] = (functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d)
TWO: tuple[Any, ...] = (
    *(operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub, torch.mul),
    *("add", "sub", "mul", "div"),
)
MEANS: tuple[Any, ...] = ("mean", torch.mean)
SHAPES: tuple[Any, ...] = ("flatten", "view", "reshape", torch.flatten)


@dataclass(frozen=True)
class Axis:
    """One axis of an entry of the state dict; each unit has `repeat` places beside each other."""

    entry: str
    dim: int
    repeat: int = 1


@dataclass(frozen=True)
class Group:
    """Units that are permuted together: along all these axes. `seen`: steps that have them, axis, repeat."""

    size: int
    axes: tuple[Axis, ...]
    seen: tuple[tuple[int, int, int], ...]


Permutations = Mapping[str, Tensor]
"""Name of a group -> where each of its units comes from."""


def permutation_groups(program: Program, weights: Weights, X: Tensor) -> dict[str, Group]:
    """The groups of a traced model that can be permuted, each named after the first entry that makes its units.

    X are a few inputs, of which only shapes matter. A model that could not be traced has none.
    """
    if not program.traced:
        return {}
    program.load(weights)
    with torch.no_grad():
        _, values = program.run(X, set(range(len(program.steps))))
    return _Trace(program, {0: X, **values}).groups()


def permuted(weights: Weights, groups: Mapping[str, Group], permutations: Permutations) -> dict[str, Tensor]:
    """The weights with the units of each group in their new places; entries that are not touched are not copied."""
    found = dict(weights)
    for name, order in permutations.items():
        for axis in groups[name].axes:
            found[axis.entry] = found[axis.entry].index_select(
                axis.dim, places(order, axis.repeat).to(found[axis.entry].device)
            )
    return found


def places(order: Tensor, repeat: int) -> Tensor:
    """Where the places of units come from, if each unit has `repeat` of them beside each other."""
    return (order[:, None] * repeat + torch.arange(repeat)).flatten()


@dataclass(frozen=True)
class _Units:
    """Where a value has units: which ones, along which axis, how many places each."""

    group: int
    axis: int
    repeat: int = 1


class _Trace:
    """Goes through the steps once. Groups are a forest: units that must be the same have one root."""

    def __init__(self, program: Program, values: Mapping[int, Any]) -> None:
        self.program, self.values = program, values
        self.above: list[int] = []
        self.sizes: list[int] = []
        self.fixed: set[int] = set()
        self.axes: dict[Axis, int] = {}
        self.used: set[str] = set()
        """Entries of which something takes what is not known."""
        self.units: dict[int, _Units] = {}
        self.seen: list[tuple[int, int, int, int]] = []

    def groups(self) -> dict[str, Group]:
        """What can be permuted."""
        for step in self.program.steps:
            self._step(step)
        self._fix(self.program.steps[-1].reads)
        tied = tied_in(self.program.model.state_dict())
        for names in tied:
            self._tie(names)
        for axis, group in self.axes.items():
            if axis.entry in self.used or any(axis.entry in names and self.used & set(names) for names in tied):
                self.fixed.add(group)
        fixed, members = {self._root(group) for group in self.fixed}, dict[int, list[Axis]]()
        for axis, group in self.axes.items():
            members.setdefault(self._root(group), []).append(axis)
        found = {}
        for root, axes in members.items():
            if root not in fixed:
                seen = {(step, axis, repeat) for group, step, axis, repeat in self.seen if self._root(group) == root}
                found[axes[0].entry] = Group(self.sizes[root], tuple(axes), tuple(sorted(seen)))
        return found

    def _step(self, step: Step) -> None:
        value = self.values.get(step.index)
        if step.node is not None and step.node.op in ("get_attr", "output"):
            return
        found = None
        if step.index > 0 and isinstance(value, Tensor):
            found = self._of_module(step, value) if step.module is not None else self._of_call(step, value)
        if found is None:
            self._fix(step.reads)
            self.used |= set(step.entries).union(*(self.program.steps[i].entries for i in self._parameters(step)))
        else:
            self.units[step.index] = found

    def _parameters(self, step: Step) -> list[int]:
        steps = self.program.steps
        return [i for i in step.reads if (node := steps[i].node) is not None and node.op == "get_attr"]

    def _new(self, size: int, *, fixed: bool = False) -> int:
        self.above.append(len(self.above))
        self.sizes.append(size)
        if fixed:
            self.fixed.add(len(self.above) - 1)
        return len(self.above) - 1

    def _root(self, group: int) -> int:
        while self.above[group] != group:
            group = self.above[group]
        return group

    def _join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if self.sizes[one] != self.sizes[other]:
            self.fixed |= {one, other}
        elif one != other:
            self.above[other] = one

    def _fix(self, reads: Sequence[int]) -> None:
        self.fixed |= {self.units[i].group for i in reads if i in self.units}

    def _along(self, entry: str, dim: int, group: int, repeat: int = 1) -> None:
        """The entry has these units along an axis; it was met before where a module is used twice."""
        for axis, other in self.axes.items():
            if (axis.entry, axis.dim) == (entry, dim):
                self._join(other, group)
                if axis.repeat != repeat:
                    self.fixed.add(group)
        self.axes.setdefault(Axis(entry, dim, repeat), group)

    def _tie(self, names: Sequence[str]) -> None:
        """One tensor under several names has the same units along each axis."""
        own = [(axis, group) for axis, group in self.axes.items() if axis.entry in names]
        for axis, group in own:
            for name in names:
                other = self.axes.get(Axis(name, axis.dim, axis.repeat))
                if other is None:
                    self.fixed.add(group)
                else:
                    self._join(group, other)

    def _of_module(self, step: Step, value: Tensor) -> _Units | None:
        module = step.module
        if isinstance(module, nn.Embedding):
            group = self._new(value.shape[-1])
            self._along(f"{step.prefix}weight", 1, group)
            return _Units(group, value.dim() - 1)
        if len(step.reads) != 1:
            return None
        taken, before = self.units.get(step.reads[0]), self.values[step.reads[0]]
        if isinstance(module, (nn.Linear, _ConvNd)):
            return self._weighted(step, module, value, taken)
        if taken is None:
            return None
        if isinstance(module, (_BatchNorm, nn.LayerNorm)):
            axis = 1 if isinstance(module, _BatchNorm) else value.dim() - 1
            if taken.axis != axis or (isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1):
                return None
            for name in ("weight", "bias", "running_mean", "running_var"):
                if f"{step.prefix}{name}" in step.entries:
                    self._along(f"{step.prefix}{name}", 0, taken.group, taken.repeat)
            return taken
        if isinstance(module, nn.Flatten):
            return _flattened(value, before, taken)
        if isinstance(module, POOLING):
            return taken if taken.axis == 1 and value.dim() > 2 else None
        return taken if isinstance(module, UNITWISE) else None

    def _weighted(self, step: Step, module: nn.Linear | _ConvNd, value: Tensor, taken: _Units | None) -> _Units | None:
        """New units of a matrix or kernel; a convolution of each channel by itself keeps the old ones."""
        axis = 1 if isinstance(module, _ConvNd) else value.dim() - 1
        apart = isinstance(module, _ConvNd) and module.groups > 1
        if isinstance(module, _ConvNd) and module.transposed:
            return None
        if taken is None and not apart:
            taken = _Units(self._new(int(module.weight.shape[1]), fixed=True), axis)
        if taken is None or taken.axis != axis:
            return None
        if apart and not module.groups == module.in_channels == module.out_channels:
            return None
        group = taken.group if apart else self._new(value.shape[axis])
        self._along(f"{step.prefix}weight", 0, group)
        if f"{step.prefix}bias" in step.entries:
            self._along(f"{step.prefix}bias", 0, group)
        if not apart:
            self._along(f"{step.prefix}weight", 1, taken.group, taken.repeat)
        self.seen.append((taken.group, step.reads[0], axis, taken.repeat))
        return _Units(group, axis)

    def _of_call(self, step: Step, value: Tensor) -> _Units | None:
        assert step.node is not None
        target = step.node.target
        tensors = [i for i in step.reads if isinstance(self.values.get(i), Tensor)]
        if target in TWO and len(tensors) == 2:
            return self._joined(step, value, tensors)
        if len(tensors) != 1 or tensors[0] not in self.units:
            return None
        taken, before = self.units[tensors[0]], self.values[tensors[0]]
        if target in ONE or (target in TWO and value.shape == before.shape):
            return taken
        if target in POOLS:
            return taken if taken.axis == 1 and before.dim() == 4 else None
        if target in MEANS:
            return _averaged(step.node, value, before, taken)
        return _flattened(value, before, taken) if target in SHAPES else None

    def _joined(self, step: Step, value: Tensor, tensors: Sequence[int]) -> _Units | None:
        """A sum, difference or product: of two values with units, or of one and a parameter that is broadcast."""
        known = [i for i in tensors if i in self.units]
        if not known or any(self.values[i].shape != value.shape for i in known):
            return None
        main = self.units[known[0]]
        if len(known) == 2:
            other = self.units[known[1]]
            if (main.axis, main.repeat) != (other.axis, other.repeat):
                return None
            self._join(main.group, other.group)
            return main
        (place,) = set(tensors) - set(known)
        if place not in self._parameters(step):
            return None
        parameter: Tensor = self.values[place]
        dim = main.axis - (value.dim() - parameter.dim())
        if dim >= 0 and parameter.shape[dim] > 1:
            self._along(self.program.steps[place].entries[0], dim, main.group, main.repeat)
        return main


def _flattened(value: Tensor, before: Tensor, units: _Units) -> _Units | None:
    """Channels become runs of features."""
    if units.axis != 1 or value.dim() != 2 or value.shape != before.flatten(1).shape:
        return None
    return _Units(units.group, 1, units.repeat * (value.shape[1] // before.shape[1]))


def _averaged(node: fx.Node, value: Tensor, before: Tensor, units: _Units) -> _Units | None:
    dims: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    gone = {d % before.dim() for d in ([dims] if isinstance(dims, int) else dims or ()) if isinstance(d, int)}
    if not gone or units.axis in gone:
        return None
    lost = 0 if value.dim() == before.dim() else sum(d < units.axis for d in gone)
    return _Units(units.group, units.axis - lost, units.repeat)

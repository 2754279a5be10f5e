"""A model as a list of steps, so that what a layer does not influence need not be computed again.

The steps are the nodes of `torch.fx`; operations that overwrite their input are replaced by those that do not. A model
that cannot be traced is one single step.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.layers import Names

PURE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
AFFINE = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Embedding,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
)
"""For a fixed input their output is affine in their parameters (not in running statistics)."""


@dataclass(frozen=True, eq=False)
class Step:
    """One operation; without a node it hands its input on.

    `entries` are the state dict's that it reads itself, `reads` the steps whose values it takes.
    """

    index: int
    node: fx.Node | None
    module: nn.Module | None
    prefix: str
    entries: Names
    reads: tuple[int, ...]

    @property
    def affine(self) -> bool:
        """Whether the value is affine in the step's own parameters."""
        return isinstance(self.module, AFFINE)

    @cached_property
    def single(self) -> bool:
        """Whether its only argument is another step's value."""
        node = self.node
        return node is not None and len(node.args) == 1 and not node.kwargs and node.args[0] in node.all_input_nodes

    def value(self, given: Mapping[int, Any], moved: Weights | None = None) -> Any:
        """The step's value from those of the steps that it reads, with the weights loaded, but for those in `moved`."""
        if self.module is not None:
            args, kwargs = self._arguments(given)
            if not moved:
                return self.module(*args, **kwargs)
            if type(self.module) is nn.Linear:  # the general way below takes as long as a small product
                weight, bias = (moved.get(f"{self.prefix}{n}", getattr(self.module, n)) for n in ("weight", "bias"))
                return functional.linear(args[0], weight, bias)
            own = {name[len(self.prefix) :]: value for name, value in moved.items()}
            return functional_call(self.module, own, args, kwargs, tie_weights=False)
        if self.node is None or self.node.op == "output":
            return given[self.reads[0]]
        if self.node.op == "get_attr":
            return moved[self.entries[0]] if moved else _attribute(self.node)
        args, kwargs = self._arguments(given)
        if self.node.op == "call_method":
            return getattr(args[0], str(self.node.target))(*args[1:], **kwargs)
        function: Callable[..., Any] = self.node.target  # type: ignore[assignment]
        return function(*args, **kwargs)

    def _arguments(self, given: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self.node is None:
            return (given[0],), {}
        if self.single:
            return (given[self.reads[0]],), {}
        places = {node.name: i for node, i in zip(self.node.all_input_nodes, self.reads, strict=True)}

        def look(node: fx.Node) -> Any:
            return given[places[node.name]]

        return fx.node.map_arg(self.node.args, look), fx.node.map_arg(self.node.kwargs, look)


def _attribute(node: fx.Node) -> Any:
    value: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


class Program:
    """The steps of a model in their order; step 0 is the input, the last one the output."""

    def __init__(self, model: nn.Module, steps: Sequence[Step], reason: str = "") -> None:
        self.model, self.steps, self.reason = model, list(steps), reason

    @property
    def traced(self) -> bool:
        """Whether the model fell apart into steps."""
        return not self.reason

    @cached_property
    def readers(self) -> list[list[int]]:
        """For each step, those that take its value."""
        found: list[list[int]] = [[] for _ in self.steps]
        for step in self.steps:
            for i in step.reads:
                found[i].append(step.index)
        return found

    def affected(self, names: Names) -> list[Step]:
        """Steps whose value can change when the entries `names` change, in order."""
        key = frozenset(names)
        if key not in self._affected:
            self._affected[key] = self._follow(names)
        return self._affected[key]

    @cached_property
    def _affected(self) -> dict[frozenset[str], list[Step]]:
        return {}

    def _follow(self, names: Names) -> list[Step]:
        moved, touched = set(names), set[int]()
        for step in self.steps:
            if moved & set(step.entries) or touched & set(step.reads):
                touched.add(step.index)
        return [self.steps[i] for i in sorted(touched)]

    def load(self, weights: Weights) -> None:
        """Let the steps compute with these weights from now on."""
        with torch.no_grad():
            for name, own in self._own.items():
                own.copy_(weights[name])

    @cached_property
    def _own(self) -> dict[str, Tensor]:
        """The model's tensors, which are written in place."""
        return dict(self.model.state_dict())

    def alone(self, step: Step) -> bool:
        """Whether the step takes one fresh value that nobody else takes."""
        sources = [self.steps[i] for i in step.reads]
        return len(sources) == 1 and sources[0].affine and self.readers[sources[0].index] == [step.index]

    def run(self, X: Tensor, keep: set[int]) -> tuple[Any, dict[int, Any]]:
        """The output, and the values of the steps in `keep`; other values are let go after their last use."""
        values: dict[int, Any] = {0: X}
        for step in self.steps[1:]:
            values[step.index] = step.value(values)
            for i in step.reads:
                if i not in keep and all(reader <= step.index for reader in self.readers[i]):
                    values.pop(i, None)
        output = values.pop(self.steps[-1].index)
        return output, {i: values[i] for i in keep if i in values}


def program_of(model: nn.Module) -> Program:
    """The steps of a model in evaluation mode; the model is copied and not changed."""
    model = copy.deepcopy(model).eval()
    for part in model.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    try:
        return Program(model, _steps(model, fx.symbolic_trace(model)))
    except Exception as error:  # whatever a forward may raise when it is given symbols
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return Program(model, _single(model), f"the model cannot be traced ({reason})")


def _single(model: nn.Module) -> list[Step]:
    whole = Step(1, None, model, "", tuple(model.state_dict()), (0,))
    return [Step(0, None, None, "", (), ()), whole, Step(2, None, None, "", (), (1,))]


def _steps(model: nn.Module, traced: fx.GraphModule) -> list[Step]:
    names = set(model.state_dict())
    places: dict[str, int] = {}
    steps: list[Step] = []
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    for extra in inputs[1:]:
        if extra.users:
            raise TypeError(f"its forward takes {len(inputs)} inputs, and only one is given")
    for node in traced.graph.nodes:
        if node in inputs[1:]:
            continue
        _make_pure(node)
        target = str(node.target)
        module = traced.get_submodule(target) if node.op == "call_module" else None
        own: Names = ()
        if module is not None:
            own = tuple(f"{target}.{name}" for name in module.state_dict())
        elif node.op == "get_attr" and target in names:
            own = (target,)
        places[node.name] = len(steps)
        reads = tuple(places[source.name] for source in node.all_input_nodes)
        steps.append(Step(len(steps), node, module, f"{target}." if module is not None else "", own, reads))
    return steps


def _make_pure(node: fx.Node) -> None:
    """Replace an operation that overwrites its first argument by the one that does not."""
    if node.op == "call_function":
        node.target = PURE.get(node.target, node.target)
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    elif node.op == "call_method":
        name = str(node.target)
        if name.endswith("_") and not name.endswith("__") and hasattr(torch.Tensor, name[:-1]):
            node.target = name[:-1]

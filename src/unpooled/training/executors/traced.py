"""Per-site gradients of all sites as one flat list of batched tensor operations.

`vmap(grad(loss))` gives them, but spends most of its time on bookkeeping in Python when models are small. Traced once
(`make_fx`), the same computation, freed of in-place operations, is a list of ATen operations. Clean-ups make it
shorter: identities drop out, repeated subexpressions are computed once, the transpose of a batched product becomes the
product of transposes (which saves a strided copy of each weight gradient), log-softmax over a few classes is written
out (torch's kernel takes 160 ns a row), and what depends on the data alone is computed once a batch, not once a step.
No compiler is involved, so it starts in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten
_RANDOM = ("bernoulli", "dropout", "rand", "normal", "multinomial", "exponential")
_PRODUCTS = (aten.bmm.default, aten.mm.default, aten.addmm.default, aten.baddbmm.default)
_HEAVY = ("convolution", "attention", "conv")
_DIRECT: dict[Any, Any] = {
    aten.add.Tensor: torch.add,
    aten.amax.default: torch.amax,
    aten.bmm.default: torch.bmm,
    aten.div.Tensor: torch.div,
    aten.exp.default: torch.exp,
    aten.gather.default: torch.gather,
    aten.log.default: torch.log,
    aten.mm.default: torch.mm,
    aten.mul.Tensor: torch.mul,
    aten.neg.default: torch.neg,
    aten.relu.default: torch.relu,
    aten.squeeze.dims: torch.squeeze,
    aten.sub.Tensor: torch.sub,
    aten.sum.dim_IntList: torch.sum,
    aten.t.default: torch.t,
    aten.transpose.int: torch.transpose,
    aten.unsqueeze.default: torch.unsqueeze,
    aten.view.default: torch.reshape,
    aten._unsafe_view.default: torch.reshape,
    aten.where.self: torch.where,
}
FEW_CLASSES = 64
"""Up to so many columns, a log-softmax written out in elementary operations is the faster one."""
LIGHT = 1e8
"""Programs of fewer multiplications and additions run on one thread: below it, two threads gain less than they lose
where the processors are shared, and a thread that waits for a busy processor costs ten times the program."""


class Traced:
    """Straight-line code for the shapes it was traced with; needs no autograd.

    `prepare(data)` computes what depends on the data alone; a call takes the other tensors, the data and what was
    prepared. `light` says whether more than one thread would be a waste.
    """

    def __init__(self, module: fx.GraphModule, free: int, *, pure: bool) -> None:
        self.light = _light(module.graph)
        self._first: Callable[..., Any] | None = None
        if pure:
            before, module = _split(module, free)
            self._first = before.forward
        _call_directly(module.graph)
        module.recompile()
        self._step: Callable[..., Any] = module.forward

    def prepare(self, data: Sequence[Tensor]) -> Sequence[Tensor]:
        """All intermediate values that need the data and nothing else."""
        return () if self._first is None else tuple(self._first(*data))

    def __call__(self, free: Sequence[Tensor], data: Sequence[Tensor], prepared: Sequence[Tensor]) -> Sequence[Tensor]:
        results: Sequence[Tensor] = self._step(*free, *data, *prepared)
        return results


def trace(function: Callable[..., Sequence[Tensor]], free: Sequence[Tensor], data: Sequence[Tensor]) -> Traced:
    """`function(*free, *data)`, specialised to these shapes."""
    with torch.no_grad():
        module = make_fx(functionalize(function))(*free, *data)
    pure = not any(_mutates(node) for node in module.graph.nodes)
    if pure:
        clean(module)
    return Traced(module, len(free), pure=pure)


def clean(module: fx.GraphModule) -> None:
    """Shorten a graph without in-place operations; the values it computes stay the same."""
    _drop_identities(module.graph)
    _transpose_products(module.graph)
    _drop_identities(module.graph)
    _fill_constants(module.graph)
    _write_out_softmax(module.graph)
    _share(module.graph)
    module.graph.eliminate_dead_code()
    module.recompile()


def _shape(node: Any) -> tuple[int, ...] | None:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _drop_identities(graph: fx.Graph) -> None:
    """Detach without autograd, views and expansions to the same shape, multiplication by the number 1."""
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        source = node.args[0] if node.args else None
        same = isinstance(source, fx.Node) and _shape(source) == _shape(node) is not None
        identity = (
            node.target is aten.detach.default
            or (node.target in (aten.view.default, aten._unsafe_view.default, aten.expand.default) and same)
            or (node.target is aten.mul.Scalar and node.args[1] == 1 and same and _dtype(source) == _dtype(node))
        )
        back = (
            node.target is aten.transpose.int
            and isinstance(source, fx.Node)
            and source.target is aten.transpose.int
            and _dims(source) == _dims(node)
        )
        if identity:
            node.replace_all_uses_with(source)
        elif back:
            node.replace_all_uses_with(source.args[0])  # type: ignore[union-attr]
    graph.eliminate_dead_code()


def _dims(node: fx.Node) -> tuple[int, ...]:
    rank = len(_shape(node) or ())
    return tuple(sorted(int(d) % max(rank, 1) for d in node.args[1:3]))  # type: ignore[arg-type]


def _dtype(node: Any) -> Any:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value.dtype if isinstance(value, Tensor) else None


def _transpose_products(graph: fx.Graph) -> None:
    """transpose(A @ B) = transpose(B) @ transpose(A), where the product has no other use."""
    for node in list(graph.nodes):
        product = node.args[0] if node.op == "call_function" and node.target is aten.transpose.int else None
        if not (isinstance(product, fx.Node) and product.target is aten.bmm.default and len(product.users) == 1):
            continue
        if _dims(node) != (1, 2):
            continue
        left, right = product.args
        with graph.inserting_before(node):
            swapped = [graph.call_function(aten.transpose.int, (m, 1, 2)) for m in (right, left)]
            for new, old in zip(swapped, (right, left), strict=True):
                new.meta["val"] = old.meta["val"].transpose(1, 2)  # type: ignore[union-attr]
            result = graph.call_function(aten.bmm.default, tuple(swapped))
            result.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(result)
    _drop_contiguous_clones(graph)
    graph.eliminate_dead_code()


def _drop_contiguous_clones(graph: fx.Graph) -> None:
    """A contiguous clone of what a batched product just wrote is the product itself."""
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target is aten.clone.default and isinstance(node.args[0], fx.Node):
            source = node.args[0]
            if source.target is aten.bmm.default and node.kwargs.get("memory_format") is torch.contiguous_format:
                node.replace_all_uses_with(source)


def _fill_constants(graph: fx.Graph) -> None:
    """`ones_like` and `zeros_like` need a shape, not the values that they were made from."""
    for node in list(graph.nodes):
        if node.target not in (aten.ones_like.default, aten.zeros_like.default):
            continue
        value, number = node.meta["val"], float(node.target is aten.ones_like.default)
        with graph.inserting_before(node):
            filled = graph.call_function(
                aten.full.default, (list(value.shape), number), {"dtype": value.dtype, "device": value.device}
            )
        filled.meta["val"] = value
        node.replace_all_uses_with(filled)
    graph.eliminate_dead_code()


def _write_out_softmax(graph: fx.Graph) -> None:
    """log-softmax and its derivative over a last dimension of few columns, in elementary operations."""
    for node in list(graph.nodes):
        forward = node.target is aten._log_softmax.default
        if not forward and node.target is not aten._log_softmax_backward_data.default:
            continue
        value = node.meta["val"]
        dim = int(node.args[1] if forward else node.args[2]) % value.ndim
        if dim != value.ndim - 1 or value.shape[-1] > FEW_CLASSES or value.dtype != node.args[0].meta["val"].dtype:
            continue
        with graph.inserting_before(node):
            source = node.args[0]
            if forward:
                shifted = graph.call_function(
                    aten.sub.Tensor, (source, graph.call_function(aten.amax.default, (source, [dim], True)))
                )
                powers = graph.call_function(aten.exp.default, (shifted,))
                total = graph.call_function(aten.sum.dim_IntList, (powers, [dim], True))
                last = graph.call_function(aten.sub.Tensor, (shifted, graph.call_function(aten.log.default, (total,))))
            else:
                share = graph.call_function(aten.exp.default, (node.args[1],))
                total = graph.call_function(aten.sum.dim_IntList, (source, [dim], True))
                spread = graph.call_function(aten.mul.Tensor, (share, total))
                last = graph.call_function(aten.sub.Tensor, (source, spread))
        last.meta["val"] = value
        node.replace_all_uses_with(last)
    graph.eliminate_dead_code()


def _split(module: fx.GraphModule, free: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """What depends on the data alone, and the rest: the second program takes the results of the first at its end."""
    nodes = list(module.graph.nodes)
    places = [n for n in nodes if n.op == "placeholder"]
    moving = set(places[:free])
    for node in nodes:
        still = node.op == "call_function" and _pure(node) and not moving & set(node.all_input_nodes)
        if node.op != "placeholder" and not still:
            moving.add(node)
    settled = [n for n in nodes if n.op == "call_function" and n not in moving]
    needed = [n for n in settled if any(user in moving for user in n.users)]
    before, after = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in [*places[free:], *settled]:
        copies[node] = before.node_copy(node, lambda n: copies[n])
    before.output(tuple(copies[n] for n in needed))
    moved: dict[fx.Node, fx.Node] = {p: after.node_copy(p) for p in places}
    for i, node in enumerate(needed):
        moved[node] = after.placeholder(f"prepared_{i}")
    for node in nodes:
        if node in moving and node.op != "placeholder":
            moved[node] = after.node_copy(node, lambda n: moved[n])
    return fx.GraphModule(module, before), fx.GraphModule(module, after)


def _light(graph: fx.Graph) -> bool:
    """Whether one step is a small amount of arithmetic, so far as can be told: convolutions never count as small."""
    if any(word in str(node.target) for node in graph.nodes for word in _HEAVY):
        return False
    return sum(_work(node) for node in graph.nodes) < LIGHT


def _work(node: fx.Node) -> int:
    """Multiplications and additions of a product; elements of any other result."""
    size = prod(_shape(node) or (0,))
    inner = _shape(node.args[-1])[-2] if node.target in _PRODUCTS else 0  # type: ignore[index]
    return 2 * size * inner or size


def _call_directly(graph: fx.Graph) -> None:
    """Call torch's own functions where they do the same: they spare a microsecond or two on the way to the kernel."""
    for node in graph.nodes:
        node.target = _DIRECT.get(node.target, node.target)


def _share(graph: fx.Graph) -> None:
    """Compute equal subexpressions once; operations that draw random numbers are left alone."""
    seen: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not _pure(node):
            continue
        key = (node.target, _freeze(node.args), _freeze(node.kwargs))
        if key in seen:
            node.replace_all_uses_with(seen[key])
        else:
            seen[key] = node


def _pure(node: fx.Node) -> bool:
    return not any(word in str(node.target) for word in _RANDOM)


def _mutates(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and bool(node.target._schema.is_mutable)


def _freeze(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, _freeze(v)) for k, v in sorted(value.items()))
    return (type(value), value) if isinstance(value, (int, float, bool)) else value

"""Per-site gradients of all sites as one flat list of batched tensor operations.

`vmap(grad(loss))` gives them, but spends most of its time on bookkeeping in Python when models are small. Traced once
(`make_fx`), the same computation, freed of in-place operations, is a list of ATen operations; three exact clean-ups make it shorter: identities
drop out, repeated subexpressions are computed once, and the transpose of a batched product becomes the product of
transposes, which saves a strided copy of each weight gradient. No compiler is involved, so it starts in a fraction
of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten
_RANDOM = ("bernoulli", "dropout", "rand", "normal", "multinomial", "exponential")


def trace(function: Callable[..., Any], *examples: Tensor) -> Callable[..., Any]:
    """`function`, specialised to the shapes of `examples`, as straight-line code that needs no autograd."""
    with torch.no_grad():
        module = make_fx(functionalize(function))(*examples)
    if not any(_mutates(node) for node in module.graph.nodes):
        clean(module)
    forward: Callable[..., Any] = module.forward
    return forward


def clean(module: fx.GraphModule) -> None:
    """Shorten a graph without in-place operations; the values it computes stay the same."""
    _drop_identities(module.graph)
    _transpose_products(module.graph)
    _drop_identities(module.graph)
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

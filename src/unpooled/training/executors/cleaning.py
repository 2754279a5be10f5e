"""Clean-ups of a traced program without in-place operations: fewer and cheaper operations, the same values.

Identities drop out, repeated subexpressions are computed once, the transpose of a batched product becomes the product
of transposes (which saves a strided copy of each weight gradient), a bias that all rows share is added by the product
itself, and log-softmax over a few classes is taken with the classes first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from unpooled.training.executors.classes_first import append, classes_first

aten = torch.ops.aten
_RANDOM = ("bernoulli", "dropout", "rand", "normal", "multinomial", "exponential")


def clean(module: fx.GraphModule) -> None:
    """Shorten a graph without in-place operations; the values it computes stay the same up to rounding."""
    _drop_identities(module.graph)
    _transpose_products(module.graph)
    _drop_identities(module.graph)
    _fill_constants(module.graph)
    _add_biases(module.graph)
    classes_first(module.graph)
    _drop_identities(module.graph)
    _share(module.graph)
    module.graph.eliminate_dead_code()
    module.recompile()


def shape_of(node: Any) -> tuple[int, ...] | None:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _drop_identities(graph: fx.Graph) -> None:
    """Detach without autograd, views and expansions to the same shape, multiplication by the number 1."""
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        source = node.args[0] if node.args else None
        same = isinstance(source, fx.Node) and shape_of(source) == shape_of(node) is not None
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
    rank = len(shape_of(node) or ())
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


def _add_biases(graph: fx.Graph) -> None:
    """bias + (rows @ weights), a view of it included, in one operation, where the product has no other use."""
    for node in list(graph.nodes):
        if node.target is not aten.add.Tensor or node.kwargs:
            continue
        for bias, seen in (node.args[:2], node.args[1::-1]):
            plain = isinstance(seen, fx.Node) and seen.target not in (aten.view.default, aten._unsafe_view.default)
            product = seen if plain else getattr(seen, "args", (None,))[0]
            if not (isinstance(product, fx.Node) and product.target is aten.mm.default):
                continue
            columns, shape = (shape_of(product) or ())[-1:], shape_of(node) or ()
            alone = len(product.users) == 1 and len(seen.users) == 1
            if (
                alone
                and shape_of(bias) == columns == shape[-1:]
                and shape == shape_of(seen)
                and _dtype(bias) == _dtype(product)
            ):
                sum_ = append(node, aten.addmm.default, (bias, *product.args))
                node.replace_all_uses_with(append(node, aten.view.default, (sum_, list(shape))))
                break
    graph.eliminate_dead_code()


def _share(graph: fx.Graph) -> None:
    """Compute equal subexpressions once; operations that draw random numbers are left alone."""
    seen: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not draws_nothing(node):
            continue
        key = (node.target, _freeze(node.args), _freeze(node.kwargs))
        if key in seen:
            node.replace_all_uses_with(seen[key])
        else:
            seen[key] = node


def draws_nothing(node: fx.Node) -> bool:
    """Whether an operation draws no random numbers."""
    return not any(word in str(node.target) for word in _RANDOM)


def _freeze(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, _freeze(v)) for k, v in sorted(value.items()))
    return (type(value), value) if isinstance(value, (int, float, bool)) else value

"""Per-site gradients of all sites as one flat list of batched tensor operations.

`vmap(grad(loss))` gives them, but spends most of its time on bookkeeping in Python when models are small. Traced once
(`make_fx`), the same computation, freed of in-place operations, is a list of ATen operations, which `cleaning` makes
shorter; what depends on the data alone is computed once a batch, not once a step. No compiler is involved, so it starts
in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from unpooled.training.executors.cleaning import clean, draws_nothing, shape_of

aten = torch.ops.aten
_PRODUCTS = (aten.bmm.default, aten.mm.default, aten.addmm.default, aten.baddbmm.default)
_HEAVY = ("convolution", "attention", "conv")
_DIRECT: dict[Any, Any] = {
    aten.add.Tensor: torch.add,
    aten.addmm.default: torch.addmm,
    aten.bmm.default: torch.bmm,
    aten.div.Tensor: torch.div,
    aten.exp.default: torch.exp,
    aten._log_softmax.default: torch._log_softmax,
    aten._log_softmax_backward_data.default: torch._log_softmax_backward_data,
    aten.gather.default: torch.gather,
    aten.log.default: torch.log,
    aten.mm.default: torch.mm,
    aten.mul.Tensor: torch.mul,
    aten.neg.default: torch.neg,
    aten.permute.default: torch.permute,
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
LIGHT = 1e8
"""Programs of fewer multiplications and additions run on one thread: below it, two threads gain less than they lose
where the processors are shared, and a thread that waits for a busy processor costs ten times the program."""


Result = Tensor | tuple[Tensor, ...]


class Traced:
    """Straight-line code for the shapes it was traced with; needs no autograd.

    `prepare(data)` computes what depends on the data alone; a call takes the other tensors, the data and what was
    prepared. `light` says whether more than one thread would be a waste. With `factored`, results that are batched
    products come as their two factors, and those that are sums over rows as what was summed (one tensor in a tuple),
    because whoever wants their sum over sites needs neither.
    """

    def __init__(self, module: fx.GraphModule, free: int, *, pure: bool, factored: bool = False) -> None:
        self.light = _light(module.graph)
        self._first: Callable[..., Any] | None = None
        if pure:
            before, module = _split(module, free)
            self._first = before.forward
        if factored:
            _leave_products(module.graph)
        _call_directly(module.graph)
        module.recompile()
        self._step: Callable[..., Any] = module.forward

    def prepare(self, data: Sequence[Tensor]) -> Sequence[Tensor]:
        """All intermediate values that need the data and nothing else."""
        return () if self._first is None else tuple(self._first(*data))

    def __call__(self, free: Sequence[Tensor], data: Sequence[Tensor], prepared: Sequence[Tensor]) -> Sequence[Result]:
        results: Sequence[Result] = self._step(*free, *data, *prepared)
        return results


def trace(
    function: Callable[..., Sequence[Tensor]],
    free: Sequence[Tensor],
    data: Sequence[Tensor],
    *,
    factored: bool = False,
) -> Traced:
    """`function(*free, *data)`, specialised to these shapes."""
    with torch.no_grad():
        module = make_fx(functionalize(function))(*free, *data)
    pure = not any(_mutates(node) for node in module.graph.nodes)
    if pure:
        clean(module)
    return Traced(module, len(free), pure=pure, factored=factored and pure)


def _split(module: fx.GraphModule, free: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """What depends on the data alone, and the rest: the second program takes the results of the first at its end."""
    nodes = list(module.graph.nodes)
    places = [n for n in nodes if n.op == "placeholder"]
    moving = set(places[:free])
    for node in nodes:
        still = node.op == "call_function" and draws_nothing(node) and not moving & set(node.all_input_nodes)
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


def _leave_products(graph: fx.Graph) -> None:
    """Results that are batched products, or sums over their sites' rows, and nothing else's operands stay undone."""
    end = next(node for node in graph.nodes if node.op == "output")
    *found, loss = end.args[0]
    end.args = ((*(_undone(node) for node in found), loss),)
    graph.eliminate_dead_code()


def _undone(node: fx.Node) -> fx.Node | tuple[Any, ...]:
    """The factors (m, p, n) and (m, n, q) of a product, the rows (m, n, p) of a sum, or else the node."""
    if len(node.users) == 1 and node.target is aten.bmm.default:
        return tuple(node.args)
    shape = shape_of(node)
    total = node.args[0] if node.target is aten.view.default else node
    if isinstance(total, fx.Node) and total.target is aten.sum.dim_IntList and total.args[1] == [1]:
        rows = shape_of(total.args[0]) or ()
        if len(rows) == 3 and shape == (rows[0], rows[2]) and len(node.users) == len(total.users) == 1:
            return (total.args[0],)
    return node


def _light(graph: fx.Graph) -> bool:
    """Whether one step is a small amount of arithmetic, so far as can be told: convolutions never count as small."""
    if any(word in str(node.target) for node in graph.nodes for word in _HEAVY):
        return False
    return sum(_work(node) for node in graph.nodes) < LIGHT


def _work(node: fx.Node) -> int:
    """Multiplications and additions of a product; elements of any other result."""
    size = prod(shape_of(node) or (0,))
    inner = shape_of(node.args[-1])[-2] if node.target in _PRODUCTS else 0  # type: ignore[index]
    return 2 * size * inner or size


def _call_directly(graph: fx.Graph) -> None:
    """Call torch's own functions where they do the same: they spare a microsecond or two on the way to the kernel."""
    for node in graph.nodes:
        node.target = _DIRECT.get(node.target, node.target)


def _mutates(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and bool(node.target._schema.is_mutable)

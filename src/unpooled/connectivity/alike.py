"""Whether weights can be compared: one architecture, one type, and a module that computes with them.

Files leave things out and round them: a tied tensor stands under one of its names only, and weights of half precision
belong to a module of single precision. `fitted` gives the module its entries, and refuses what would change numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unpooled.connectivity.checkpoints import Checkpoint, Weights, entry_of, open_checkpoint
from unpooled.connectivity.layers import tied_in
from unpooled.connectivity.lazy import Entry, LazyWeights
from unpooled.errors import BadSetting, Unsupported

BOTH = ("the first model", "the second")
ONE_ARCHITECTURE = "both must have one architecture."


def require_alike(a: Weights, b: Weights, what: tuple[str, str] = BOTH, *, order: Sequence[str] = ()) -> None:
    """Raise `Unsupported`, naming the first entry that differs, unless names, shapes and types are the same.

    The first is that of `order`, then of `a`; files may be sorted by name.
    """
    for name in dict.fromkeys([*order, *a, *b]):
        if name in a and name in b:
            _require_same(name, entry_of(a, name), entry_of(b, name), what)
        elif name in a or name in b:
            one, other = what if name in a else what[::-1]
            raise Unsupported(f"{_capital(one)} has '{name}', {other} has not: {ONE_ARCHITECTURE}")


def _require_same(name: str, a: Entry, b: Entry, what: tuple[str, str]) -> None:
    if a != b:
        wanted = ONE_ARCHITECTURE if a.shape != b.shape else "save both in one type."
        raise Unsupported(f"'{name}' is {a} in {what[0]} and {b} in {what[1]}: {wanted}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class Fitted(Mapping[str, Tensor]):
    """Weights as a module has them: its names in its order, its types; nothing is read before it is asked for."""

    def __init__(self, weights: Weights, sources: Mapping[str, str], like: Mapping[str, Tensor]) -> None:
        self.weights, self.sources, self.like = weights, sources, like

    def __getitem__(self, name: str) -> Tensor:
        like = self.like[name]
        return self.weights[self.sources[name]].to(like.device, like.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)


def fitted(weights: Weights, model: nn.Module) -> Weights:
    """The weights under the names of the model, in its order and types.

    A name that is tied in the model may be missing in the weights; types may be narrower than the model's. Raises
    `Unsupported`, naming the first entry, for another architecture, for types that the model would round, and for
    weights that differ where the model has one tensor only.
    """
    own = model.state_dict()
    groups = {name: names for names in tied_in(own) for name in names}
    sources: dict[str, str] = {}
    for name, tensor in own.items():
        present = [source for source in (name, *groups.get(name, ())) if source in weights]
        if not present:
            raise Unsupported(f"The model has '{name}', the checkpoint has not: {ONE_ARCHITECTURE}")
        sources[name] = present[0]
        _require_room(name, tensor, entry_of(weights, present[0]))
    for name in weights:
        if name not in own:
            raise Unsupported(f"The checkpoint has '{name}', the model has not: {ONE_ARCHITECTURE}")
    for names in dict.fromkeys(groups.values()):
        _require_tied(weights, [name for name in names if name in weights])
    same = list(weights) == list(own) and all(
        entry_of(weights, name).dtype == tensor.dtype and _device(weights, name) == tensor.device
        for name, tensor in own.items()
    )
    return weights if same else Fitted(weights, sources, own)


def _device(weights: Weights, name: str) -> torch.device:
    return torch.device("cpu") if isinstance(weights, LazyWeights) else weights[name].device


def opened(a: Checkpoint, b: Checkpoint, model: nn.Module | None) -> tuple[Weights, Weights, nn.Module]:
    """Two models as a module has them, and the module: `model`, or whichever of both is one."""
    given = next((one for one in (model, a, b) if isinstance(one, nn.Module)), None)
    if given is None:
        raise BadSetting("Weights alone do not say how a model computes: give model=, a module of their architecture.")
    first, second = open_checkpoint(a), open_checkpoint(b)
    require_alike(first, second, order=list(given.state_dict()))
    return fitted(first, given), fitted(second, given), given


def inputs_for(model: nn.Module, X: Any) -> Tensor:
    """Inputs on the model's device; real ones in its type, whole numbers, such as words, as they are."""
    first = next(own for own in model.parameters() if own.dtype.is_floating_point)
    made = torch.as_tensor(X).detach()
    return made.to(first.device, first.dtype if made.dtype.is_floating_point else made.dtype)


def _require_room(name: str, own: Tensor, given: Entry) -> None:
    needed = Entry(tuple(own.shape), own.dtype)
    if needed.shape != given.shape or own.dtype.is_floating_point is not given.dtype.is_floating_point:
        _require_same(name, needed, given, ("the model", "the checkpoint"))
    if torch.promote_types(own.dtype, given.dtype) != own.dtype:
        raise Unsupported(
            f"'{name}' is {needed} in the model and {given} in the checkpoint, and would be rounded: give the model "
            "in the wider type, as model.float() is."
        )


def _require_tied(weights: Weights, names: Sequence[str]) -> None:
    for name in names[1:]:
        if not torch.equal(weights[names[0]], weights[name]):
            raise Unsupported(
                f"'{names[0]}' and '{name}' are one tensor in the model and two different ones in the checkpoint: "
                "give a model in which they are not tied."
            )

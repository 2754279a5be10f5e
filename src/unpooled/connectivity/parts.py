"""Which layers move together: one, all, more and more of them, or a window that slides over them.

Adilova et al., ICLR 2024, Figures 2 and 3. Choices: the windows are ours (a reviewer's wish: along a cumulative curve
the group grows, so that it cannot tell middle layers from more layers), and so is the random order drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from unpooled.connectivity.layers import Layers, Names
from unpooled.errors import BadSetting, did_you_mean
from unpooled.seeds import Streams

KINDS = ("full", "layer", "from_input", "from_output", "random_order", "window", "group")


@dataclass(frozen=True)
class Part:
    """Layers that move together; `place` counts the parts of a kind from 0."""

    kind: str
    name: str
    place: int
    layers: Names


def parts_of(
    layers: Layers,
    kinds: Sequence[str],
    *,
    window: int = 2,
    groups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> list[Part]:
    """All parts of these kinds, in order. Raises `BadSetting` for a kind or layer that is not known.

    >>> tuple(p.name for p in parts_of({"0": (), "2": (), "4": ()}, ["from_output", "window"]))
    ('4', '2 to 4', 'all', '0 to 2', '2 to 4')
    """
    names = tuple(layers)
    chosen = [*kinds, *(["group"] if groups and "group" not in kinds else [])]
    for kind in chosen:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            raise BadSetting(f"There is no kind of cut '{kind}'; there are {', '.join(KINDS)}.{hint}")
    if "window" in chosen and not 1 <= window <= len(names):
        raise BadSetting(f"window must be between 1 and the number of layers, {len(names)}; got {window}.")
    order = [names[i] for i in Streams(seed).generator("order of layers").permutation(len(names))]
    sets: dict[str, list[Names]] = {
        "full": [names],
        "layer": [(name,) for name in names],
        "from_input": _growing(names),
        "from_output": [part[::-1] for part in _growing(names[::-1])],
        "random_order": _growing(order),
        "window": [names[i : i + window] for i in range(len(names) - window + 1)],
    }
    found = [
        Part(kind, _called(kind, own, names), place, own)
        for kind in dict.fromkeys(chosen)
        if kind != "group"
        for place, own in enumerate(sets[kind])
    ]
    for place, (name, own) in enumerate((groups or {}).items()):
        for layer in own:
            if layer not in layers:
                hint = did_you_mean(layer, layers)
                raise BadSetting(f"Group '{name}': no layer is called '{layer}'; there are {', '.join(layers)}.{hint}")
        found.append(Part("group", name, place, tuple(layer for layer in names if layer in own)))
    return found


def _growing(names: Sequence[str]) -> list[Names]:
    return list(accumulate([(name,) for name in names], lambda before, one: before + one))


def _called(kind: str, own: Names, names: Names) -> str:
    if len(own) == len(names):
        return "all"
    if len(own) == 1:
        return own[0]
    return f"+ {own[-1]}" if kind == "random_order" else f"{own[0]} to {own[-1]}"

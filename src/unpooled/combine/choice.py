"""Combiners by name and settings, as configs have them, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Protocol, cast

from unpooled.combine.arrays import Array
from unpooled.combine.base import Combiner
from unpooled.combine.bulyan import bulyan
from unpooled.combine.coordinate_median import coordinate_median
from unpooled.combine.geometric_median import geometric_median
from unpooled.combine.krum import krum, multi_krum
from unpooled.combine.mean import mean
from unpooled.combine.norm_clipped_mean import norm_clipped_mean
from unpooled.combine.radon import radon
from unpooled.combine.trimmed_mean import trimmed_mean
from unpooled.errors import BadSetting, did_you_mean


class Combine(Protocol):
    """`rows` of shape (k, P), optional `weights` of shape (k,), to one row of shape (P,)."""

    @property
    def __name__(self) -> str: ...

    def __call__(self, rows: Array, weights: Array | None = None) -> Array: ...


_ALL: tuple[Any, ...] = (
    mean,
    coordinate_median,
    trimmed_mean,
    geometric_median,
    norm_clipped_mean,
    krum,
    multi_krum,
    bulyan,
    radon,
)
COMBINERS: dict[str, Combiner] = {c.kind: c for c in _ALL}
"""Every combiner with its default settings, by the name that configs use."""

Setting = str | Mapping[str, Any] | Callable[..., Any]
"""A combiner in a config or a call: "radon", {kind = "trimmed_mean", trim = 0.1}, or any function like `mean`."""


def combiner(setting: Setting) -> Combine:
    """The combiner of that name, table or function; `BadSetting` for unknown names, unknown keys and bad values.

    >>> combiner("radon").__name__, combiner({"kind": "trimmed_mean", "trim": 0.1}).__name__
    ('radon', 'trimmed_mean(trim=0.1)')
    """
    if callable(setting):
        return cast(Combine, setting)
    table = {"kind": setting} if isinstance(setting, str) else setting
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(kind, str) or kind not in COMBINERS:
        hint = did_you_mean(str(kind), COMBINERS)
        raise BadSetting(f"There is no combiner {kind or setting!r}; there are {', '.join(COMBINERS)}.{hint}")
    settings = {name: value for name, value in table.items() if name != "kind"}
    known = _settings(COMBINERS[kind])
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known) or f" There are {', '.join(known) or 'none'}."
            raise BadSetting(f"[{kind}] has no setting '{name}'.{hint}")
    try:
        return cast(Combine, replace(cast(Any, COMBINERS[kind]), **settings))
    except TypeError:
        raise BadSetting(f"[{kind}] has a setting of the wrong type: {settings!r}.") from None


def table(chosen: Combiner) -> str | dict[str, Any]:
    """What `combiner` makes this combiner of: its name, or a table with the settings that are not defaults.

    >>> table(combiner({"kind": "radon", "seed": 3})), table(combiner("krum"))
    ({'kind': 'radon', 'seed': 3}, 'krum')
    """
    standard = COMBINERS[chosen.kind]
    changed = {n: v for n in _settings(chosen) if (v := getattr(chosen, n)) != getattr(standard, n)}
    return {"kind": chosen.kind, **changed} if changed else chosen.kind


def _settings(chosen: Combiner) -> list[str]:
    return [f.name for f in fields(cast(Any, chosen))]

"""How each method of a run is named and drawn: one table, shared by all figures and the page.

Colours are told apart by people with any common colour-vision deficiency, have a contrast of at least 3:1 to
their background, and never stand alone: every method has its own marker as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Methods = Mapping[str, "Method"]
"""Label of a protocol -> how to show it, in the order of the record."""


@dataclass(frozen=True)
class Look:
    """One row of the table: `slot` names the colour in style sheets, `marker` and `dash` are matplotlib's."""

    slot: str
    light: str
    dark: str
    marker: str
    dash: str = "-"


LOOKS = (
    Look("m1", "#0072b2", "#5db7f0", "o"),
    Look("m2", "#c84f00", "#ff9a57", "s"),
    Look("m3", "#00805e", "#4fd0a5", "^"),
    Look("m4", "#a4508b", "#e39ac9", "D"),
    Look("m5", "#8a6a12", "#d9bc55", "v"),
    Look("m6", "#3b2e98", "#b0aaff", "P"),
    Look("m7", "#15808f", "#7ad7e6", "<"),
    Look("m8", "#8e1f52", "#ff8fb3", "h"),
)
"""For methods that work across sites, in the order of the record; a ninth begins again, dash-dotted."""
RESERVED = {
    "local": Look("alone", "#6a727c", "#a4adb8", "X", "--"),
    "pooled": Look("pooled", "#30363d", "#eef1f4", "*", ":"),
}
"""The two yardsticks look alike in every report: grey for each site alone, near-black for pooled."""
THEME = {
    "ink": ("#1b1f24", "#e6e9ed"),
    "muted": ("#56606b", "#a9b2bd"),
    "grid": ("#dde1e6", "#39414b"),
    "paper": ("#ffffff", "#161a1f"),
}
"""Light and dark colour of text, secondary text, grid lines and background."""
LOCAL_RESULT = {"local", "daisychain", "fedbn", "fedper"}
"""Kinds that never combine their models, or not all of them: what they hand over is each site's own model."""


@dataclass(frozen=True)
class Method:
    """One protocol of a run as figures and page show it."""

    label: str
    kind: str
    simulation_only: bool
    look: Look

    @property
    def shown(self) -> str:
        """The label, with "simulation only" said where it applies."""
        return f"{self.label} (simulation only)" if self.simulation_only else self.label

    @property
    def alone(self) -> bool:
        """Whether this is every site training by itself."""
        return self.kind == "local"

    @property
    def result_model(self) -> str:
        """Which of the recorded models counts as the method's result: "aggregate" or "local_mean"."""
        return "local_mean" if self.kind in LOCAL_RESULT else "aggregate"


def methods(protocols: Iterable[Mapping[str, Any]]) -> dict[str, Method]:
    """Looks for protocols as the record lists them (keys `label`, and if known `kind` and `simulation_only`).

    Without `kind` it is read off the label, up to the first bracket. A label that comes twice keeps its first
    look.

    >>> tuple(m.look.slot for m in methods([{"label": "FedDC(1, 10)"}, {"label": "Pooled"}]).values())
    ('m1', 'pooled')
    """
    found: dict[str, Method] = {}
    others = 0
    for row in protocols:
        label = str(row["label"])
        if label in found:
            continue
        kind = str(row.get("kind") or label.partition("(")[0]).strip().lower().replace("_", "").replace("-", "")
        look = RESERVED.get(kind)
        if look is None:
            lap, place = divmod(others, len(LOOKS))
            look, others = LOOKS[place], others + 1
            look = look if lap == 0 else Look(look.slot, look.light, look.dark, LOOKS[place - lap].marker, "-.")
        found[label] = Method(label, kind, bool(row.get("simulation_only", kind == "pooled")), look)
    return found


def methods_of(labels: Iterable[object]) -> dict[str, Method]:
    """Looks for bare labels, in their order of appearance."""
    return methods({"label": label} for label in dict.fromkeys(map(str, labels)))


def variables() -> dict[str, tuple[str, str]]:
    """Name of each colour in the style sheet -> its light and its dark value."""
    looks = {look.slot: (look.light, look.dark) for look in (*LOOKS, *RESERVED.values())}
    return {**THEME, **looks}

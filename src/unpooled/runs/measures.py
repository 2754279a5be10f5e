"""What `unpooled connect` can measure besides barriers: each measure by name, made ready from files, and its tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from unpooled.errors import BadSetting, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from unpooled.connectivity import Plan
    from unpooled.connectivity.plain import Told
    from unpooled.connectivity.plan import Prepared


@dataclass(frozen=True, eq=False)
class Asked:
    """A pair of models and what is known of their training. `snapshots` are files by epoch, for each model."""

    a: Any
    b: Any
    data: Any
    model: nn.Module
    starts: Sequence[str]
    snapshots: tuple[Mapping[int, str], Mapping[int, str]]
    draws: int | None
    align: str
    settings: Mapping[str, Any]

    @property
    def drawn(self) -> dict[str, Any]:
        """The number of draws, where it was said."""
        return {} if self.draws is None else {"draws": self.draws}

    @property
    def aligned(self) -> dict[str, Any]:
        """Settings for measures of the pair, which sees model B as it was aligned."""
        return {"model": self.model, **self.settings, "align": self.align}

    def require_unaligned(self, measure: str) -> None:
        """Raise `BadSetting` where B was aligned and its training was not."""
        if self.align != "none":
            raise BadSetting(
                f"The measure '{measure}' looks back to weights of B before it was aligned: leave --align out."
            )

    def start(self, measure: str) -> tuple[str, str]:
        """Both starts. Raises `BadSetting` without them."""
        if len(self.starts) != 2:
            raise BadSetting(f"The measure '{measure}' needs the initial weights of both models: --starts A0,B0.")
        return self.starts[0], self.starts[1]


Tables = dict[str, pd.DataFrame]
Ready = tuple["Plan", Callable[["Told"], Tables]]


def epochs_of(files: Sequence[str]) -> dict[int, str]:
    """Files by the last number in their names. Raises `BadSetting` for none, or for two with one number."""
    found: dict[int, str] = {}
    for file in files:
        numbers = re.findall(r"\d+", Path(file).stem)
        if not numbers or int(numbers[-1]) in found:
            which = "no number" if not numbers else f"the number {int(numbers[-1])} of another snapshot"
            raise BadSetting(f"{file} has {which} in its name: the last number of a snapshot's name is its epoch.")
        found[int(numbers[-1])] = file
    return dict(sorted(found.items()))


def make_ready(names: Sequence[str], asked: Asked) -> dict[str, Ready]:
    """Each measure's plan and work. Raises `BadSetting` for names that are not known, and for what is missing."""
    for name in names:
        if name not in MEASURES:
            hint = did_you_mean(name, MEASURES)
            raise BadSetting(f"There is no measure '{name}'; there are {', '.join(MEASURES)}.{hint}")
    return {name: MEASURES[name](asked) for name in dict.fromkeys(names)}


def _one(name: str, ready: Prepared[pd.DataFrame]) -> Ready:
    return ready.plan, lambda told: {name: ready.run(told)}


def _of_both(asked: Asked, name: str, make: Callable[[Any, str, Mapping[int, str]], Prepared[pd.DataFrame]]) -> Ready:
    """A measure of one model and its start, for model A and model B, in one table."""
    from unpooled.connectivity.plan import together

    both = [
        make(model, start, snapshots)
        for model, start, snapshots in zip((asked.a, asked.b), asked.start(name), asked.snapshots, strict=True)
    ]

    def run(told: Told) -> Tables:
        found = [ready.run(told).assign(model=which) for which, ready in zip("ab", both, strict=True)]
        return {name: pd.concat(found, ignore_index=True)}

    return together([ready.plan for ready in both]), run


def _robustness(asked: Asked) -> Ready:
    from unpooled.connectivity import perturb

    ready = perturb.prepared(asked.a, asked.b, asked.data, **asked.drawn, **asked.aligned)
    return _one("robustness", ready)


def _subspaces(asked: Asked) -> Ready:
    from unpooled.connectivity.spans import Trajectory
    from unpooled.connectivity.subspaces import prepared

    asked.require_unaligned("subspaces")
    starts = asked.start("subspaces")
    if not all(asked.snapshots):
        raise BadSetting("The measure 'subspaces' needs snapshots of both models: --snapshots-a and --snapshots-b.")
    paths = [Trajectory(s, list(found.values())) for s, found in zip(starts, asked.snapshots, strict=True)]
    more: dict[str, Any] = {"model": asked.model, **asked.drawn, **asked.settings}
    ready = prepared(asked.a, asked.b, asked.data, trajectories=paths, **more)

    def run(told: Told) -> Tables:
        found = ready.run(told)
        return {"subspaces": found.losses, "spaces": found.spaces}

    return ready.plan, run


def _flatness(asked: Asked) -> Ready:
    from unpooled.connectivity.flatness import prepared

    seed = asked.settings["seed"]
    return _one("flatness", prepared(asked.a, asked.b, asked.data, model=asked.model, seed=seed, **asked.drawn))


def _resets(asked: Asked) -> Ready:
    from unpooled.connectivity.resets import prepared

    more = {"model": asked.model, **asked.drawn, **asked.settings}
    return _of_both(asked, "resets", lambda m, s, found: prepared(m, {0: s, **found}, asked.data, **more))


def _criticality(asked: Asked) -> Ready:
    from unpooled.connectivity.criticality import prepared

    more = {"model": asked.model, **asked.drawn, **asked.settings}
    return _of_both(asked, "criticality", lambda m, s, found: prepared(m, s, asked.data, **more))


def _features(asked: Asked) -> Ready:
    from unpooled.connectivity.features import prepared

    return _one("features", prepared(asked.a, asked.b, asked.data, **asked.aligned))


def _ways(asked: Asked) -> Ready:
    from unpooled.connectivity.plan import NOTHING
    from unpooled.connectivity.ways import ways

    asked.require_unaligned("ways")
    starts = asked.start("ways")
    return NOTHING, lambda told: {"ways": ways(asked.a, asked.b, *starts, layers=asked.settings["layers"])}


def _epochs(asked: Asked) -> Ready:
    from unpooled.connectivity.epochs import prepared

    first, second = asked.snapshots
    pairs = {epoch: (first[epoch], second[epoch]) for epoch in first if epoch in second}
    if not pairs:
        raise BadSetting(
            "The measure 'epochs' needs snapshots of both models from the same epochs: --snapshots-a and --snapshots-b."
        )
    return _one("epochs", prepared(pairs, asked.data, **asked.aligned))


MEASURES: dict[str, Callable[[Asked], Ready]] = {
    "robustness": _robustness,
    "subspaces": _subspaces,
    "flatness": _flatness,
    "resets": _resets,
    "criticality": _criticality,
    "features": _features,
    "ways": _ways,
    "epochs": _epochs,
}
"""Name -> what makes it ready."""

"""All explanations: a newcomer is a script in `scripts/` and one entry here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from unpooled.errors import BadSetting, did_you_mean

Setting = int | float | str | bool | tuple[int | float | str | bool, ...]


@dataclass(frozen=True)
class Explanation:
    """One page: its name, what it explains in a sentence, and settings of its script for a quick form (for tests)."""

    name: str
    sentence: str
    quick: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The script's file name."""
        return f"{self.name.replace('-', '_')}.py"

    def text(self) -> str:
        """The script."""
        return files("unpooled.explain").joinpath("scripts", self.file).read_text(encoding="utf-8")


EXPLANATIONS = (
    Explanation(
        "bias-variance",
        "What averaging models repairs, and what it does not.",
        quick={"RESAMPLES": 12, "LAMBDAS": (0.01, 1.0), "REPEATS": 2},
    ),
    Explanation(
        "non-convex",
        "When the mean of good models is good, and when it is worse than all of them.",
        quick={"STEPS": 300, "WAYS": (0.0, 1.0)},
    ),
    Explanation(
        "kernel-trick",
        "Curved boundaries from inner products, and what kernels cost across sites.",
        quick={"SEEDS": 1, "GRID": 30, "ANGLES": (-90, 0), "FEATURES": (10, 80, 640)},
    ),
    Explanation(
        "radon-point",
        "A middle of models that a single bad one cannot move: four points to drag, the tree, the outlier.",
        quick={"DRAWS": 20, "TRIALS": 300},
    ),
    Explanation(
        "daisy-chaining",
        "Models hop between hospitals while data stay; how many data sets they see, beside the formula.",
        quick={"RUNS": 60, "STEPS": 60, "HOPS": 5},
    ),
    Explanation(
        "layer-wise",
        "Where averaging breaks a network: three surfaces of the smallest example.",
        quick={"EPOCHS": 15, "SIDE": 7},
    ),
    Explanation(
        "causal-discovery",
        "Two environments tell what one cannot, and regrets stand in for data.",
        quick={"REPEATS": 10},
    ),
    Explanation(
        "dynamic-averaging",
        "When to communicate: learners on a drifting stream, watched live.",
        quick={"ROUNDS": 300, "DRIFT_EVERY": 100, "LEARNERS": 4, "POINTS": 30, "FRAMES": 3},
    ),
    Explanation(
        "learning-rate",
        "What averaging does to the learning rate, for summed and for mean losses.",
        quick={"STEPS": 10, "COUNTS": (1, 8)},
    ),
    Explanation(
        "gradient-descent",
        "One example, a few, or all in a step: why large batches hurt.",
        quick={"EXAMPLES": 512, "BATCHES": (1, 64), "RATES": (0.1, 1.0)},
    ),
)


def explanation(name: str) -> Explanation:
    """The explanation of that name. Raises `BadSetting` for a name that is none."""
    found = {known.name: known for known in EXPLANATIONS}
    if name not in found:
        hint = did_you_mean(name, found)
        raise BadSetting(f"There is no explanation called '{name}'.{hint} There are: {', '.join(found)}.")
    return found[name]

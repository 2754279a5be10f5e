"""What a site adds to its training so that what it sends tells less: settings, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from unpooled import errors
from unpooled.errors import BadSetting

Neighbours = Literal["replace", "zero_out"]


@dataclass(frozen=True)
class ClipAndNoise:
    """Clip what a site sends to a ball about what it last received, and add Gaussian noise, at the site.

    R. C. Geyer, T. Klein, M. Nabi, "Differentially Private Federated Learning: A Client Level Perspective", 2017, and
    Kamp et al., ICLR 2023 (daisy-chaining), in the local form: a site sends
    received + Delta / max(1, |Delta|_2 / clip) + N(0, (noise * clip)^2 I), where Delta is its row minus the row that it
    last received, over all trainable parameters jointly and however many local steps lie between.

    `noise` is the standard deviation over `clip`. `delta` is the small probability of (epsilon, delta)-differential
    privacy; a site refuses to send once its epsilon would exceed `budget`. `neighbours` says what is hidden:
    `replace` (default), any change of the site's rows, one of them or all (two clipped changes are up to 2 clip apart);
    `zero_out`, whether the site's rows were used at all (a clipped change is up to clip away from none).
    """

    clip: float
    noise: float
    delta: float = 1e-5
    budget: float | None = None
    neighbours: Neighbours = "replace"
    kind: ClassVar[str] = "clip_and_noise"

    def __post_init__(self) -> None:
        _check(self.clip, self.noise, self.delta, self.budget)
        if self.neighbours not in ("replace", "zero_out"):
            raise BadSetting(f"neighbours must be 'replace' or 'zero_out', got {self.neighbours!r}.")

    @property
    def multiplier(self) -> float:
        """Noise over sensitivity: what the accountant reckons with."""
        return self.noise / (2 if self.neighbours == "replace" else 1)


@dataclass(frozen=True)
class DPSGD:
    """Differentially private stochastic gradient descent at every site (`unpooled.training.privacy.dp_sgd`).

    Each sample's gradient is cut to length `clip`; noise of standard deviation `noise` * `clip` is added to their sum.
    What is hidden is one sample of a site (add or remove). `delta` and `budget` are those of `ClipAndNoise`; the price
    depends on the number of local steps, not on how often models are sent.
    """

    clip: float
    noise: float
    delta: float = 1e-5
    budget: float | None = None
    kind: ClassVar[str] = "dp_sgd"

    def __post_init__(self) -> None:
        _check(self.clip, self.noise, self.delta, self.budget)


def _check(clip: float, noise: float, delta: float, budget: float | None) -> None:
    errors.not_negative(noise=noise)
    if not 0.0 < clip < float("inf"):
        raise BadSetting(f"clip must be a finite number above 0, got {clip!r}.")
    if not 0.0 < delta < 1.0:
        raise BadSetting(f"delta must lie between 0 and 1, such as 1e-5, got {delta!r}.")
    if budget is not None and not 0.0 < budget < float("inf"):
        raise BadSetting(f"budget (an epsilon) must be a finite number above 0, got {budget!r}.")


Privacy = ClipAndNoise | DPSGD
PRIVACY: Mapping[str, type[Privacy]] = {"clip_and_noise": ClipAndNoise, "dp_sgd": DPSGD}
"""Every such setting by the name that configs use."""

"""What a causal discovery is asked to do: one frozen dataclass, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unpooled.causal.discovery.scores import SCORES
from unpooled.causal.graphs.background import Background
from unpooled.causal.peri.method import Aggregate
from unpooled.causal.scores.tables import Missing
from unpooled.errors import BadSetting, did_you_mean, not_negative, positive

Over = Literal["rows", "sites"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`method` and `score` by name. `pooled` puts the rows of all sites in one place first, for methods of one table.
    `reference` is the site without interventions, where one is known. `background` is what is known beforehand.
    `bootstrap` is how often the search is repeated on rows drawn at each site, or on sites drawn (`bootstrap_over`).
    `gains` asks every site what each edge of the result is worth there, unless `noise` or `secure` is to keep that from
    being known. `aggregate`, `search`, `participation`, `rounds`, `noise` (a scale), `clip` and `secure` are those of
    PERI, `level` is that of `combined`. With `leakage` the attack of `peri.leakage` says what first-round regrets
    reveal, on sites of this process only. `drop`, `categorical`, `log`, `missing` and `max_categories` are those of
    `agreement.agree`. Raises `BadSetting`.
    """

    method: str = "peri"
    score: str = "auto"
    pooled: bool = False
    reference: str | None = None
    background: Background = field(default_factory=Background)
    bootstrap: int = 0
    bootstrap_over: Over = "rows"
    gains: bool = True
    aggregate: Aggregate = "sum"
    search: Literal["ges", "delete_first"] = "ges"
    participation: float = 1.0
    rounds: int = 2
    noise: float | None = None
    clip: float | None = None
    secure: bool = False
    level: str = "C"
    leakage: bool = False
    seed: int = 0
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    log: tuple[str, ...] | bool = ()
    missing: Missing = "refuse"
    max_categories: int = 100

    def __post_init__(self) -> None:
        from unpooled.causal.discovery.methods import METHODS

        for setting, value, known in (("method", self.method, tuple(METHODS)), ("score", self.score, SCORES)):
            if value not in known:
                raise BadSetting(
                    f"There is no {setting} {value!r}; there are {', '.join(known)}.{did_you_mean(str(value), known)}"
                )
        if self.bootstrap_over not in ("rows", "sites"):
            raise BadSetting(f"bootstrap_over must be 'rows' or 'sites', got {self.bootstrap_over!r}.")
        not_negative(bootstrap=self.bootstrap)
        positive(rounds=self.rounds)
        if self.method == "combined" and self.bootstrap and self.bootstrap_over == "sites":
            raise BadSetting(
                "Method 'combined' compares different sites, so none can stand twice: bootstrap over rows."
            )
        if self.leakage and self.method != "peri":
            raise BadSetting(f"leakage attacks the regrets of method='peri', got method={self.method!r}.")
        if self.method != "peri" and (
            self.guarded or self.aggregate != "sum" or self.participation != 1.0 or self.search != "ges"
        ):
            raise BadSetting(
                f"aggregate, search, participation, noise and secure are for method='peri', got method={self.method!r}."
            )

    @property
    def guarded(self) -> bool:
        """Whether what a single site tells is to be hidden."""
        return self.noise is not None or self.secure

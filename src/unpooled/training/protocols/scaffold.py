"""SCAFFOLD: local gradients are corrected by how a site's data differ from everyone's.

The method, its source and the choices made are told in `unpooled.training.control_variates`. Daisy-chaining is not
offered with it: a model that hopped was trained at several sites, and (x - y_i) / (K eta_l) is the gradient of none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.errors import BadSetting
from unpooled.training.control_variates import control_variates
from unpooled.training.exchange import Exchange
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class Scaffold(Protocol):
    """Every `aggregate_period` local steps models become their mean; between, gradients are corrected.

    With `fraction` below 1 that share of the sites is drawn anew for each period, as in the paper.
    """

    aggregate_period: int
    server_rate: float = 1.0
    fraction: float = 1.0
    corrected: ClassVar[bool] = True
    plain_descent_only: ClassVar[bool] = True
    summary: ClassVar[str] = "models are averaged now and then, and gradients corrected for how sites differ"
    tolerates_absence: ClassVar[bool] = False

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        if not self.server_rate > 0:
            raise BadSetting(f"server_rate must be above 0, got {self.server_rate!r}.")
        errors.fraction(fraction=self.fraction)

    def exchange(self) -> Exchange:
        return control_variates(self.aggregate_period, self.server_rate, self.fraction)

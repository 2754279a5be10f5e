"""A score that a coordinator names and a site builds from its own table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unpooled.causal.scores.base import LocalScore
from unpooled.causal.scores.discrete import BDeu, DiscreteBIC, categories
from unpooled.causal.scores.gaussian import gaussian
from unpooled.causal.scores.mixed import mixed
from unpooled.causal.scores.spline_mdl import SplineMDL
from unpooled.causal.scores.tables import Missing
from unpooled.errors import BadSetting, above_zero, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

GAUSSIAN = ("bic", "aic")
OF_NUMBERS = (*GAUSSIAN, "mdl")
OF_CATEGORIES = ("bdeu", "discrete_bic")
OF_BOTH = ("conditional_gaussian",)
UNITS = {**dict.fromkeys((*GAUSSIAN, *OF_CATEGORIES, *OF_BOTH), "nats"), "mdl": "bits"}


@dataclass(frozen=True, kw_only=True)
class Announced:
    """`name` is "bic" or "aic" (linear-Gaussian), "mdl" (splines, `SplineMDL`), "bdeu" or "discrete_bic" (categories),
    "conditional_gaussian" (BIC of numbers and categories, `ConditionalGaussian`).

    `weight` multiplies the penalty of the Gaussian ones, `equivalent` is BDeu's prior in rows. `standardise` brings
    each column to mean 0 and standard deviation 1 at its site first, which no score here notices beyond rounding, and
    which takes the unit of measurement out of every number that leaves. Raises `BadSetting` for an unknown name.
    """

    name: str = "bic"
    weight: float = 1.0
    equivalent: float = 1.0
    standardise: bool = True
    missing: Missing = "refuse"

    def __post_init__(self) -> None:
        if self.name not in UNITS:
            raise BadSetting(
                f"There is no score {self.name!r}.{did_you_mean(self.name, UNITS)} There are {', '.join(UNITS)}."
            )
        above_zero(weight=self.weight, equivalent=self.equivalent)

    @property
    def unit(self) -> str:
        """What a difference of 1 is."""
        return UNITS[self.name]

    @property
    def same_for_a_class(self) -> bool:
        """Whether all DAGs of a class have one score; code lengths of splines tell directions apart."""
        return self.name != "mdl"

    @property
    def of_categories(self) -> bool:
        """Whether every column is taken as one of categories."""
        return self.name in OF_CATEGORIES

    @property
    def of_numbers(self) -> bool:
        """Whether every column has to hold numbers."""
        return self.name in OF_NUMBERS

    def build(self, table: pd.DataFrame) -> LocalScore:
        """The score of this table; raises `BadData` where it does not fit."""
        if self.name in OF_CATEGORIES:
            data = categories(table, missing=self.missing)
            return BDeu(data, self.equivalent) if self.name == "bdeu" else DiscreteBIC(data)
        if self.name in OF_BOTH:
            return mixed(table, missing=self.missing)  # which standardises by itself
        if self.name == "mdl":
            return SplineMDL(table, missing=self.missing)  # which standardises by itself
        rows = standardised(table) if self.standardise else table
        return gaussian(rows, "aic" if self.name == "aic" else "bic", weight=self.weight, missing=self.missing)


def standardised(table: pd.DataFrame) -> pd.DataFrame:
    """Each column of numbers with mean 0 and standard deviation 1 (divided by n); constant columns become 0."""
    from pandas.api.types import is_numeric_dtype

    rows = table.copy()
    for name in table.columns:
        if is_numeric_dtype(table[name]):
            values = table[name].astype("float64")
            spread = values.std(ddof=0)
            centred = values - values.mean()
            rows[name] = centred / spread if spread > 1e-12 * (values.abs().max() or 1.0) else centred * 0.0
    return rows

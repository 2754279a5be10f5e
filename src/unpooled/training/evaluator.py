"""Evaluates a federation in training: the aggregate and the local models, on one central test set or at the sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadData
from unpooled.sites.federation import Federation
from unpooled.sites.names import picked
from unpooled.sites.questions import raise_failures
from unpooled.sites.site import Samples
from unpooled.sites.transports.remote import Remote
from unpooled.training.custody import is_absent
from unpooled.training.evaluation import LOWER_IS_BETTER, Evaluated, merged, metrics, scores
from unpooled.training.exchange import Sites
from unpooled.training.layout import Layout
from unpooled.training.observation import models_of
from unpooled.training.questions import Evaluate
from unpooled.training.recipe import Recipe

Measured = dict[str, dict[str, float]]
"""Metrics of `aggregate`, `local_mean` and `local_min` (the worst site)."""


@dataclass(frozen=True, eq=False)
class Evaluator:
    """`test` is a central test set; with None, the sites in `testers` answer for their own test samples.

    `layout` is that of a whole model with all its buffers; only the first `sent` columns of an aggregate are sent to
    sites, which complete it with the buffers that stay there.
    """

    recipe: Recipe
    layout: Layout
    sent: int
    test: Samples | None
    testers: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.test is None and not self.testers:
            raise BadData("There is nothing to test on: give test=(X, y), or load the sites with a test_fraction.")

    def local(self, federation: Federation, active: Sites) -> dict[str, Evaluated]:
        """Each active site's own model."""
        names = list(picked(federation.names, active))
        if self.test is not None:
            if isinstance(federation, Remote):
                return {}  # real sites keep their models, and have no test rows here
            results = scores(self.recipe, self.layout, models_of(federation, active), self.test)
            return dict(zip(names, results, strict=True))
        return self._ask(federation, None, [n for n in names if n in self.testers])

    def model(self, federation: Federation, row: Array) -> dict[str, Evaluated]:
        """One model, centrally (key "") or at every site with test samples."""
        if self.test is not None:
            return {"": scores(self.recipe, self.layout, row[None], self.test)[0]}
        return self._ask(federation, row[: self.sent], list(self.testers))

    def _ask(self, federation: Federation, row: Array | None, names: list[str]) -> dict[str, Evaluated]:
        answers = federation.ask(dict.fromkeys(names, Evaluate(row=row)))
        there = {name: a for name, a in answers.items() if not is_absent(a)}
        raise_failures(there)
        return {name: cast(Evaluated, a) for name, a in there.items()}


def summary(aggregate: dict[str, Evaluated], local: dict[str, Evaluated]) -> Measured:
    """The aggregate over all test samples; mean and worst of the local models."""
    out: Measured = {"aggregate": metrics(merged(aggregate.values()))} if aggregate else {}
    each = [metrics(result) for result in local.values()]
    if each:
        out["local_mean"] = {name: float(np.mean([m[name] for m in each])) for name in each[0]}
        worst = {name: max if name in LOWER_IS_BETTER else min for name in each[0]}
        out["local_min"] = {name: float(worst[name](m[name] for m in each)) for name in each[0]}
    return out

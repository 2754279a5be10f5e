"""What a training run leaves behind: a history, the models, per-site results and the traffic."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unpooled.combine import Array
from unpooled.sites.site import Samples
from unpooled.sites.traffic import Traffic
from unpooled.training.evaluation import metrics, score, scores
from unpooled.training.evaluator import Measured
from unpooled.training.layout import Layout, write_row
from unpooled.training.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

HISTORY = ("step", "model", "metric", "value", "bytes", "messages")
"""Columns of a history: local steps done, whose model, which metric, and the training traffic so far."""
PRIVACY = ("site", "sends", "epsilon", "delta")
"""Columns of a privacy account: models sent, and the (epsilon, delta)-differential privacy that this leaves."""

ABSENCES = ("step", "site", "model")
"""Columns of the absences from real runs: local steps done, who did not answer, and what became of its model."""


class Result:
    """Grows while a run advances; `rows` (m, width), the models of `holders` with all their buffers, and
    `aggregate_row` (width,) are set at its end."""

    def __init__(self, label: str, recipe: Recipe, layout: Layout, names: Sequence[str]) -> None:
        self.label, self.recipe, self.layout, self.names = label, recipe, layout, names
        self.history: list[tuple[int, str, str, float, int, int]] = []
        self.per_site: dict[tuple[str, str], dict[str, float]] = {}
        self.rows: Array | None = None
        self.holders: tuple[str, ...] = ()
        self.aggregate_row: Array | None = None
        self.traffic: Traffic = Traffic(names)
        self.privacy: list[tuple[str, int, float, float]] = []
        self.absences: list[tuple[int, str, str]] = []

    def add(self, step: int, measured: Measured, total_bytes: int, messages: int, *, train_loss: float) -> None:
        """One evaluation."""
        for model, values in measured.items():
            for metric, value in values.items():
                self.history.append((step, model, metric, value, total_bytes, messages))
        if not math.isnan(train_loss):  # private sites keep it to themselves
            self.history.append((step, "local_mean", "train_loss", train_loss, total_bytes, messages))

    def frame(self) -> pd.DataFrame:
        """One row a step, model and metric: columns `HISTORY`. `model` is aggregate, local_mean or local_min."""
        import pandas as pd

        return pd.DataFrame(self.history, columns=list(HISTORY))

    def final(self, metric: str = "accuracy", model: str = "aggregate") -> float:
        """The last value of a metric; raises `KeyError` when it was never measured."""
        for _, of, name, value, _, _ in reversed(self.history):
            if (of, name) == (model, metric):
                return value
        raise KeyError(f"{model} {metric}")

    def sites(self) -> pd.DataFrame:
        """Final per-site results: columns site, model (aggregate or local), metric, value."""
        import pandas as pd

        rows = [
            (site, model, metric, value)
            for (site, model), values in self.per_site.items()
            for metric, value in values.items()
        ]
        return pd.DataFrame(rows, columns=["site", "model", "metric", "value"])

    @property
    def model(self) -> nn.Module:
        """The aggregate, ready to use (evaluation mode)."""
        return self._module(self.aggregate_row)

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The state dict of the model that each site ended with."""
        if self.rows is None:
            raise RuntimeError("The run has not finished.")
        return {name: self.weights_of(row) for name, row in zip(self.holders, self.rows, strict=True)}

    def weights_of(self, row: Array) -> dict[str, Any]:
        """The state dict, a copy, that a row of this training stands for."""
        return self._module(row).state_dict()

    def local_scores(self, data: Mapping[str, Samples] | Samples) -> dict[str, dict[str, float]]:
        """Metrics of the model that each site ended with, after the last exchange: on one set, or each on its own."""
        if self.rows is None:
            raise RuntimeError("The run has not finished.")
        recipe, layout = self.recipe, self.layout
        if isinstance(data, Samples):
            found = scores(recipe, layout, self.rows, data)
        else:
            each = zip(self.holders, self.rows, strict=True)
            found = [score(recipe, layout, row, data[name]) for name, row in each]
        return {name: metrics(one) for name, one in zip(self.holders, found, strict=True)}

    def _module(self, row: Array | None) -> nn.Module:
        if row is None:
            raise RuntimeError("The run has not finished.")
        module = copy.deepcopy(self.recipe.module)
        write_row(module, self.layout, torch.from_numpy(row.copy()), self.layout.model_layers)
        return module.eval()

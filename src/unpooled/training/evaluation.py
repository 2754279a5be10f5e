"""How good a model is on samples that it did not train on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unpooled.combine import Array
from unpooled.sites.questions import Answer
from unpooled.sites.site import Samples
from unpooled.training.layout import Layout, write_row
from unpooled.training.recipe import Recipe

CHUNK = 4096
"""Samples that go through a model at once."""


@dataclass(frozen=True, kw_only=True)
class Evaluated(Answer):
    """Counts and sums over `examples` test samples; never a single prediction.

    `loss` is the mean of the training loss function. Classification: `confusion` (C, C) counts true class by
    predicted class. Regression: sums of squared and absolute errors, each the mean over a sample's outputs.
    """

    examples: int
    loss: float
    confusion: Array | None
    squared: float
    absolute: float


def score(recipe: Recipe, layout: Layout, row: Array, data: Samples) -> Evaluated:
    """Score the model in `row` on `data`, in evaluation mode."""
    return scores(recipe, layout, row[None], data)[0]


def scores(recipe: Recipe, layout: Layout, rows: Array, data: Samples) -> list[Evaluated]:
    """Score each model of `rows`, shape (k, width), on the same data."""
    module = copy.deepcopy(recipe.module).eval()
    X, y = torch.from_numpy(data.X), torch.from_numpy(data.y)
    X = X.to(layout.dtype) if X.dtype.is_floating_point else X
    y = y.to(layout.dtype) if y.dtype.is_floating_point else y
    out = []
    with torch.no_grad():
        for row in rows:
            write_row(module, layout, torch.from_numpy(row.copy()))
            parts = [(module(X[i : i + CHUNK]), y[i : i + CHUNK]) for i in range(0, len(X), CHUNK)]
            out.append(_count(recipe, parts))
    return out


def _count(recipe: Recipe, parts: Sequence[tuple[Tensor, Tensor]]) -> Evaluated:
    examples = sum(len(y) for _, y in parts)
    loss = sum(float(recipe.loss(output, y)) * len(y) for output, y in parts) / examples
    output, y = torch.cat([o for o, _ in parts]), torch.cat([t for _, t in parts])
    if y.dtype.is_floating_point:
        error = (output.reshape(y.shape) - y).double().reshape(examples, -1)
        squared, absolute = float((error**2).mean(dim=1).sum()), float(error.abs().mean(dim=1).sum())
        return Evaluated(examples=examples, loss=loss, confusion=None, squared=squared, absolute=absolute)
    if output.ndim == 1 or output.shape[1] == 1:
        predicted, classes = (output.reshape(-1) > 0).long(), 2
    else:
        predicted, classes = output.argmax(dim=1), output.shape[1]
    classes = max(classes, int(y.max()) + 1)
    confusion = torch.bincount(y * classes + predicted, minlength=classes * classes).view(classes, classes)
    return Evaluated(examples=examples, loss=loss, confusion=confusion.numpy(), squared=0.0, absolute=0.0)


def merged(parts: Iterable[Evaluated]) -> Evaluated:
    """One result over all samples of several."""
    parts = list(parts)
    examples = sum(p.examples for p in parts)
    tables = [p.confusion for p in parts if p.confusion is not None]
    confusion = None
    if tables:
        classes = max(len(t) for t in tables)
        confusion = np.zeros((classes, classes), dtype=np.int64)
        for table in tables:
            confusion[: len(table), : len(table)] += table
    loss = sum(p.loss * p.examples for p in parts) / examples
    squared, absolute = sum(p.squared for p in parts), sum(p.absolute for p in parts)
    return Evaluated(examples=examples, loss=loss, confusion=confusion, squared=squared, absolute=absolute)


def metrics(result: Evaluated) -> dict[str, float]:
    """Named numbers: accuracy and balanced accuracy (mean recall of the classes present), or rmse and mae; loss."""
    if result.confusion is None:
        return {
            "rmse": float(np.sqrt(result.squared / result.examples)),
            "mae": result.absolute / result.examples,
            "loss": result.loss,
        }
    hits, present = np.diag(result.confusion), result.confusion.sum(axis=1)
    recall = hits[present > 0] / present[present > 0]
    return {
        "accuracy": float(hits.sum() / result.examples),
        "balanced_accuracy": float(recall.mean()),
        "loss": result.loss,
    }


LOWER_IS_BETTER = frozenset({"loss", "rmse", "mae"})
"""Metrics of which the largest value over sites is the worst."""

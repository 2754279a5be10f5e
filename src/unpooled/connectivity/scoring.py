"""What a model's outputs are worth, sample by sample: losses and errors, lower is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpooled.errors import BadData, BadSetting, did_you_mean

Metric = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> one value a sample, shape (n,)."""


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Nats; the mean over positions where a sample has several, as a text has. Outputs (n, ..., classes)."""
    scores = output.flatten(0, -2).t()
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32)).contiguous()
    chosen = scores.gather(0, target.reshape(1, -1))[0]
    greatest = scores.amax(dim=0)  # without places, which cost twenty times as much
    spread = scores.sub_(greatest).exp_().sum(dim=0).log_()  # classes first: rows of ten would waste the processor
    return _by_sample(spread + greatest - chosen, target)


def error(output: Tensor, target: Tensor) -> Tensor:
    """Per cent of wrong answers (0 or 100, or the share of positions). Outputs (n, ..., classes)."""
    wrong = (output.argmax(dim=-1) != target).double()
    return 100 * _by_sample(wrong, target)


def _by_sample(values: Tensor, target: Tensor) -> Tensor:
    """Means over a sample's positions, where it has several."""
    return values if target.dim() == 1 else values.view(len(target), -1).mean(dim=1)


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The squared error, mean over a sample's outputs."""
    return ((output.view(target.shape).double() - target.double()) ** 2).view(len(target), -1).mean(dim=1)


METRICS: dict[str, Metric] = {"loss": cross_entropy, "error": error, "mse": squared_error}
UNITS = {"loss": "nats", "error": "%", "mse": "squared units"}


@dataclass(frozen=True, eq=False)
class Samples:
    """The same fixed samples for every model, and several metrics of them in one pass. X (n, ...), y (n, ...)."""

    X: Tensor
    y: Tensor
    metrics: Mapping[str, Metric]

    def __len__(self) -> int:
        return len(self.y)

    def scores(self, output: Tensor, start: int, stop: int, models: int | None = None) -> Tensor:
        """The metrics of samples start..stop, double, shape (metrics, n); `output` is (n, ...).

        With `models` = K outputs are (K, n, ...) and the result is (K, metrics, n).
        """
        target = self.y[start:stop]
        if models is None:
            return torch.stack([metric(output, target).double() for metric in self.metrics.values()])
        flat, targets = output.flatten(0, 1), target.repeat(models, *[1] * (target.dim() - 1))
        found = torch.stack([metric(flat, targets).double() for metric in self.metrics.values()])
        return found.view(len(self.metrics), models, -1).transpose(0, 1)


def samples(data: Any, metrics: Any = None, *, dtype: torch.dtype, device: torch.device) -> Samples:
    """Arrays or tensors (X, y) made ready. `metrics` are names of `METRICS` or a dict of functions.

    Without them whole-number targets get loss and error, real ones mse. Real inputs become `dtype`. Raises `BadData`
    for empty, unequally long or not finite data, `BadSetting` for a metric that is not known.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise BadSetting("data must be a pair (X, y), arrays or tensors with one row a sample.")
    X, y = (part.detach() if isinstance(part, Tensor) else torch.as_tensor(np.asarray(part)) for part in data)
    if len(X) != len(y) or not len(y):
        raise BadData(f"X has {len(X)} rows and y has {len(y)}: each sample needs both, and there must be one.")
    if X.dtype.is_floating_point:
        if not bool(torch.isfinite(X).all()):
            raise BadData("X has values that are no finite numbers: replace or drop them.")
        X = X.to(dtype)
    chosen = metrics if metrics is not None else (["mse"] if y.dtype.is_floating_point else ["loss", "error"])
    if not isinstance(chosen, Mapping):
        for name in chosen:
            if name not in METRICS:
                known = ", ".join(METRICS)
                raise BadSetting(f"There is no metric '{name}'; there are {known}.{did_you_mean(name, METRICS)}")
        chosen = {name: METRICS[name] for name in chosen}
    if not chosen:
        raise BadSetting("At least one metric is needed, such as 'loss'.")
    whole = y if y.dtype.is_floating_point else y.long()
    return Samples(X.to(device), whole.to(device), dict(chosen))

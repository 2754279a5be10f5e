"""What a model's outputs are worth, sample by sample: losses and errors, lower is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpooled.errors import BadData, BadSetting, did_you_mean

Metric = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> one value a sample, shape (n,)."""


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Nats; the mean over positions where a sample has several, as a text has. Outputs (n, ..., classes)."""
    return loss_and_error(output, target)[0]


def error(output: Tensor, target: Tensor) -> Tensor:
    """Per cent of wrong answers (0 or 100, or the share of positions). Outputs (n, ..., classes)."""
    return 100 * _by_sample((output.argmax(dim=-1) != target).double(), target)


def loss_and_error(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`cross_entropy` and `error` at once, which share most of their work.

    Classes come first, because rows of ten would waste the processor, and the place of the greatest, which takes many
    times as long to find as the greatest itself, is looked for only where it is not plain (ties, no numbers).
    """
    return _loss_and_error(output[None], target)


def _loss_and_error(outputs: Sequence[Tensor] | Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The same of several outputs, one after the other; `target` is that of all."""
    first, right = outputs[0], target.reshape(1, -1)
    wide = torch.promote_types(first.dtype, torch.float32)
    others = torch.empty((first.shape[-1], right.shape[1]), dtype=wide, device=first.device)
    place = 0
    for output in outputs:  # always a copy: it is overwritten below
        flat = output.flatten(0, -2).t()
        others[:, place : place + flat.shape[1]] = flat
        place += flat.shape[1]
    chosen = others.gather(0, right)[0]
    greatest_other = others.scatter_(0, right, -torch.inf).amax(dim=0)
    wrong, fine = chosen < greatest_other, chosen > greatest_other
    unclear = ~(wrong | fine)
    if bool(unclear.any()):
        whole = others[:, unclear].scatter_(0, right[:, unclear], chosen[None, unclear])
        wrong[unclear] = whole.argmax(dim=0) != right[0, unclear]
    greatest = torch.maximum(greatest_other, chosen)
    spread = others.sub_(greatest).exp_().sum(dim=0).add_((chosen - greatest).exp_()).log_()
    return _by_sample(spread + greatest - chosen, target), 100 * _by_sample(wrong.double(), target)


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
    _latest: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.y)

    def scores(self, output: Tensor, start: int, stop: int) -> Tensor:
        """The metrics of samples start..stop, double, shape (metrics, n); `output` is (n, ...)."""
        return self._values([output], self.y[start:stop])

    def scores_of(self, outputs: Sequence[Tensor], start: int, stop: int) -> Tensor:
        """The same for several models: outputs are (K, n, ...), as many as C, and the result is (C, K, metrics, n)."""
        models = outputs[0].shape[0] * len(outputs)
        found = self._values([part.flatten(0, 1) for part in outputs], self._repeated(start, stop, models))
        return found.view(len(self.metrics), len(outputs), outputs[0].shape[0], -1).movedim(0, 2)

    def _repeated(self, start: int, stop: int, models: int) -> Tensor:
        """The targets of these samples, once for each model; kept, because many cuts ask for them in a row."""
        if self._latest.get("asked") != (start, stop, models):
            target = self.y[start:stop]
            made = target.repeat(models, *[1] * (target.dim() - 1))
            self._latest.update(asked=(start, stop, models), targets=made)
        targets: Tensor = self._latest["targets"]
        return targets

    def _values(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        wanted = list(self.metrics.values())
        both: dict[Metric, Tensor] = {}
        if cross_entropy in wanted and error in wanted:
            both = dict(zip((cross_entropy, error), _loss_and_error(outputs, target), strict=True))
        output = torch.cat(list(outputs)) if len(both) < len(wanted) else outputs[0]
        return torch.stack([(both[m] if m in both else m(output, target)).double() for m in wanted])


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

"""The plain way, which reads like the definition: for every model of every cut, load its weights and score it.

It is the reference of `engine`, the only way for functions that score a whole model, and for norm layers whose
statistics are made anew for every model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.cuts import Cut, mixed
from unpooled.connectivity.moments import Moments
from unpooled.connectivity.norms import batch_statistics, recalibrate
from unpooled.connectivity.scoring import Samples
from unpooled.errors import BadSetting

Evaluate = Callable[[nn.Module], Mapping[str, float]]
"""Scores a whole model: name of a metric -> value, lower is better."""
Told = Callable[[int, int], None]
"""Models scored, and to score."""


class Plain:
    """Scores cuts one model at a time, on `samples` or with a function of the whole model.

    `bases` are the models by name; the first two are the end-points. `model` is not touched: a copy does the work.
    """

    def __init__(
        self,
        model: nn.Module,
        bases: Mapping[str, Weights],
        scored: Samples | Evaluate,
        *,
        norms: str = "keep",
        calibration: Tensor | None = None,
        batch_size: int = 256,
    ) -> None:
        self.model, self.bases, self.scored = copy.deepcopy(model).eval(), bases, scored
        self.norms, self.calibration, self.batch_size = norms, calibration, batch_size
        self.metrics: tuple[str, ...] = tuple(scored.metrics) if isinstance(scored, Samples) else ()
        self.evaluations = 0

    def run(self, cuts: Sequence[Cut], told: Told = lambda done, all: None) -> list[Moments]:
        """For each cut the moments of its models, in the order of its alphas, and of both end-points after them."""
        total = 2 + sum(len(cut.alphas) for cut in cuts)
        ends = []
        for base in list(self.bases)[:2]:
            ends.append(self.score({**self.bases[base]}))
            told(self.evaluations, total)
        found = []
        for cut in cuts:
            start, stop = cut.ends()
            scores = []
            for alpha in cut.alphas:
                moved = {name: mixed(start[name], stop[name], alpha) for name in cut.names}
                scores.append(self.score({**self.bases[cut.base], **moved}))
                told(self.evaluations, total)
            moments = Moments(len(self.metrics), len(scores) + len(ends))
            moments.add(torch.stack([*scores, *ends], dim=1))
            found.append(moments)
        return found

    def score(self, weights: Weights) -> Tensor:
        """The metrics of one model, shape (metrics, samples), or (metrics, 1) of a function of the whole model."""
        self.load(weights)
        self.evaluations += 1
        if not isinstance(self.scored, Samples):
            return self._whole(self.scored(self.model))
        with torch.no_grad():
            parts = [self.scored.scores(self.model(X), i, j) for X, i, j in self._batches(self.scored)]
        return torch.cat(parts, dim=1)

    def load(self, weights: Weights) -> None:
        """Give the model these weights, and the statistics that the policy wants."""
        self.model.load_state_dict(dict(weights))
        self.model.eval()
        if self.norms == "recalibrate":
            assert self.calibration is not None
            recalibrate(self.model, iter(torch.split(self.calibration, self.batch_size)))
        elif self.norms == "batch":
            batch_statistics(self.model)

    def _batches(self, scored: Samples) -> Iterator[tuple[Tensor, int, int]]:
        for i in range(0, len(scored), self.batch_size):
            j = min(i + self.batch_size, len(scored))
            yield scored.X[i:j], i, j

    def _whole(self, values: Mapping[str, float]) -> Tensor:
        if not isinstance(values, Mapping) or not values:
            raise BadSetting("evaluate(model) must give a dict from names of metrics, lower is better, to numbers.")
        self.metrics = self.metrics or tuple(values)
        if tuple(values) != self.metrics:
            raise BadSetting(
                f"evaluate(model) gave {', '.join(values)} after {', '.join(self.metrics)}: one set always."
            )
        return torch.tensor([[float(value)] for value in values.values()], dtype=torch.float64)

"""The audit of a protocol: train it in many worlds, attack what it shows, and say how well that worked."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.sites.site import Samples, Site
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.coordinator import Coordinator
from unpooled.training.evaluation import metrics, scores
from unpooled.training.layout import Layout, layout_of, unflatten
from unpooled.training.observation import models_of, privacy_of
from unpooled.training.privacy.audit.attacks import Found, likelihood_ratio, loss_threshold
from unpooled.training.privacy.audit.worlds import halves, in_worlds
from unpooled.training.protocols import Protocol
from unpooled.training.questions import install
from unpooled.training.recipe import LOSSES, Recipe

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "protocol", "seen", "attack", "worlds", "rows", "auc", "auc_half_width", "advantage", "advantage_half_width",
    "tpr", "tpr_half_width", "metric", "value", "epsilon", "delta",
)  # fmt: skip
"""Columns of an audit's frame: what was attacked and how well (`attacks.Found`), and what the model was worth."""


@dataclass(frozen=True)
class Audit:
    """`found` by what was seen and the attack. `epsilon` is that of the worst site; None where nothing was protected.

    `metric` and `value` are those of the aggregate on the test set, mean over worlds; "" and NaN without one.
    """

    label: str
    worlds: int
    rows: int
    found: dict[tuple[str, str], Found]
    metric: str
    value: float
    epsilon: float | None
    delta: float | None

    def frame(self) -> pd.DataFrame:
        """One row a thing seen and attack, columns `COLUMNS`."""
        import pandas as pd

        rows = [
            (self.label, seen, attack, self.worlds, self.rows, f.auc, f.auc_half_width, f.advantage,
             f.advantage_half_width, f.tpr, f.tpr_half_width, self.metric, self.value, self.epsilon, self.delta)
            for (seen, attack), f in self.found.items()
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def __repr__(self) -> str:
        return f"<audit of {self.label} in {self.worlds} worlds>\n{self.frame().to_string(index=False)}"


def audit(
    sites: Sequence[Site],
    recipe: Recipe,
    protocol: Protocol,
    *,
    steps: int,
    worlds: int = 16,
    test: Samples | None = None,
) -> Audit:
    """Train `protocol` in `worlds` worlds, each on a random half of every site's rows, and attack what is seen.

    Attacked are the aggregate, which everybody sees, and the single models as they leave the sites in the end, which
    the coordinator sees and under daisy-chaining one other site; not under secure sums, which hide them. All worlds
    train at once. Raises `BadSetting` for an odd number of worlds or fewer than 8, and for unfit protocols.
    """
    errors.positive(worlds=worlds, steps=steps)
    if worlds < 8 or worlds % 2:
        raise BadSetting(f"worlds must be an even number of at least 8, got {worlds}: each row is in half of them.")
    if protocol.simulation_only:
        raise BadSetting(f"{protocol.label} hands over the rows themselves: there is nothing to infer.")
    hidden = recipe.secure_sum and not recipe.sealed_hops  # under sealed hops another site sees single models
    recipe = replace(recipe, proximal=protocol.mu, secure_sum=False, sealed_hops=False)
    split = halves(sites, worlds, recipe.streams)
    federation = InProcess.of(split.sites)
    install(split.sites, recipe)
    program = in_worlds(worlds, protocol.exchange())
    coordinator = Coordinator(federation, recipe, program, steps=steps, anchored=protocol.anchored)
    coordinator.local_phase()
    while not coordinator.done:
        coordinator.exchange_models()
        coordinator.local_phase()
    singles = models_of(federation, outgoing=True).reshape(worlds, len(sites), -1)
    aggregates = program.previews(singles, steps - 1, coordinator.state()["memory"], coordinator.facts)
    layout, data = layout_of(recipe.module), [site.require_train() for site in sites]
    views = {"aggregate": np.concatenate([confidence(recipe, layout, aggregates, d) for d in data], axis=2)}
    if not hidden:
        each = [confidence(recipe, layout, singles[:, i], d) for i, d in enumerate(data)]
        views["single model"] = np.concatenate(each, axis=2)
    found: dict[tuple[str, str], Found] = {}
    for seen, (phi, loss) in views.items():
        found[seen, "loss threshold"] = loss_threshold(loss, split.members)
        found[seen, "likelihood ratio"] = likelihood_ratio(phi, split.members)
    spent = privacy_of(federation)
    return Audit(
        protocol.label,
        worlds,
        split.members.shape[1],
        found,
        *_worth(recipe, layout, aggregates, test),
        max(row[2] for row in spent) if spent else None,
        spent[0][3] if spent else None,
    )


def confidence(recipe: Recipe, layout: Layout, models: Array, data: Samples) -> Array:
    """phi and the loss of each row under each model, shape (2, models, rows).

    For cross-entropy phi is the log-odds of the right class, otherwise minus the loss.
    """
    module = copy.deepcopy(recipe.module).eval()
    shapes = {**layout.parameters, **layout.buffers}
    X, y = (torch.from_numpy(a) for a in (data.X, data.y))
    X, y = (a.to(layout.dtype) if a.dtype.is_floating_point else a for a in (X, y))

    def of_one(row: Tensor) -> tuple[Tensor, Tensor]:
        output = functional_call(module, unflatten(row, shapes), (X,))
        if recipe.loss is LOSSES["cross_entropy"]:
            right = torch.nn.functional.one_hot(y, output.shape[1]).bool()
            others = torch.logsumexp(output.masked_fill(right, float("-inf")), dim=1)
            phi = (output * right).sum(dim=1) - others
            return phi, torch.nn.functional.softplus(-phi)
        losses = vmap(lambda out, target: recipe.loss(out[None], target[None]))(output, y)
        return -losses, losses

    with torch.no_grad():
        phi, loss = vmap(of_one)(torch.from_numpy(np.ascontiguousarray(models)))
    return np.stack([phi.numpy(), loss.numpy()]).astype(np.float64)


def _worth(recipe: Recipe, layout: Layout, aggregates: Array, test: Samples | None) -> tuple[str, float]:
    if test is None:
        return "", float("nan")
    measured: list[dict[str, Any]] = [metrics(e) for e in scores(recipe, layout, aggregates, test)]
    name = "accuracy" if "accuracy" in measured[0] else "rmse"
    return name, float(np.mean([m[name] for m in measured]))

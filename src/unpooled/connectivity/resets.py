"""Which layers need their training? Each is set back to an earlier checkpoint, or drawn anew, and the rest stays.

Zhang, Bengio, Singer, "Are all layers created equal?", JMLR 23, 2022. Re-initialisation: layer l from checkpoint t (t =
0: the start), all others as trained. Re-randomisation: layer l drawn from the distribution of its initial weights.
A layer is robust where the score hardly changes, critical where it falls to chance. Choices: ten draws, not one; the
row "all" sets the whole model back, which says what chance is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from unpooled.connectivity.alike import fitted, require_alike
from unpooled.connectivity.checkpoints import Checkpoint, Weights, open_checkpoint
from unpooled.connectivity.cuts import Cut
from unpooled.connectivity.moments import Moments
from unpooled.connectivity.pairs import drawn
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Prepared, Silent
from unpooled.connectivity.study import Study
from unpooled.errors import BadSetting, Unsupported, positive
from unpooled.seeds import Streams

DRAWS = 10


def resets(
    final: Checkpoint,
    checkpoints: Mapping[int, Checkpoint],
    data: tuple[Any, Any] | None = None,
    *,
    make: Callable[[], nn.Module] | None = None,
    draws: int = DRAWS,
    told: Told = Silent,
    **settings: Any,
) -> pd.DataFrame:
    """How scores change where one layer of `final` is that of a checkpoint (by epoch; 0 is the start), or drawn anew.

    One row a layer (and "all"), kind ("re-initialised" with its `epoch`, "re-randomised"), and metric: `mean` over
    draws, `std`, `q05`, `q95`, and `rise` above the trained model. `make` makes a module with new initial weights;
    without it modules draw their own (`reset_parameters`). `draws=0` leaves re-randomisation out. Other settings are
    those of `connect`. Raises `BadSetting` without a checkpoint, `Unsupported` for modules that cannot draw.
    """
    return prepared(final, checkpoints, data, make=make, draws=draws, **settings).run(told)


def prepared(
    final: Checkpoint,
    checkpoints: Mapping[int, Checkpoint],
    data: tuple[Any, Any] | None = None,
    *,
    make: Callable[[], nn.Module] | None = None,
    draws: int = DRAWS,
    **settings: Any,
) -> Prepared[pd.DataFrame]:
    """`resets` with its cost, before the work."""
    if not checkpoints:
        raise BadSetting("Layers can be set back to a checkpoint only: give at least {0: the initial weights}.")
    if draws:
        positive(draws=draws)
    opened = {epoch: open_checkpoint(one) for epoch, one in sorted(checkpoints.items())}
    study = Study(final, next(iter(opened.values())), data, **{**settings, "cuts": ("full",), "points": 3})
    for epoch, weights in opened.items():
        require_alike(open_checkpoint(final), weights, ("the trained model", f"the checkpoint of epoch {epoch}"))
        opened[epoch] = fitted(weights, study.model)
    new = _redrawn(study.model, make, draws, study.seed)
    cuts: list[Cut] = []
    rows: list[tuple[dict[str, Any], int, int]] = []
    for layer, own in {**{layer: (layer,) for layer in study.layers}, "all": tuple(study.layers)}.items():
        names = study.moving(own)
        sources: list[tuple[str, float, list[Any]]] = [("re-initialised", float(t), [w]) for t, w in opened.items()]
        if draws:
            sources.append(("re-randomised", float("nan"), new))
        for kind, at, stops in sources:
            rows.append(({"layer": layer, "kind": kind, "epoch": at}, len(cuts), len(cuts) + len(stops)))
            cuts += [Cut("a", names, study.a, stop, (1.0,)) for stop in stops]

    def run(told: Told) -> pd.DataFrame:
        moments = study.engine.run(cuts, told)
        metrics = tuple(study.engine.metrics)
        return pd.DataFrame([{**same, **row} for same, i, j in rows for row in _table(moments[i:j], metrics)])

    return Prepared(study.cost(cuts), run)


def _redrawn(
    model: nn.Module, make: Callable[[], nn.Module] | None, draws: int, seed: int
) -> list[Callable[[], Weights]]:
    """Functions that give new initial weights of the whole model, the same each time."""
    if draws and make is None:
        _require_drawing(model)
    again = make or (lambda: _reset(model))

    def drawing(draw: int) -> Callable[[], Weights]:
        return lambda: dict(drawn(again, Streams(seed).torch_seed("redraw", draw)).state_dict())

    return [drawing(draw) for draw in range(draws)]


def _require_drawing(model: nn.Module) -> None:
    for name, part in model.named_modules():
        if list(part.parameters(recurse=False)) and not callable(getattr(part, "reset_parameters", None)):
            raise Unsupported(
                f"'{name or 'the model'}', a {type(part).__name__}, cannot draw its weights anew: give make=, a "
                "function that makes a new module, or draws=0."
            )


def _reset(model: nn.Module) -> nn.Module:
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for part in fresh.modules():
            if list(part.parameters(recurse=False)):
                part.reset_parameters()  # type: ignore[operator]
    return fresh


def _table(moments: list[Moments], metrics: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for m, metric in enumerate(metrics):
        values = np.array([one.mean[m, 0] for one in moments])
        low, high = np.quantile(values, [0.05, 0.95])
        rows.append(
            {
                "metric": metric,
                "draws": len(values),
                "mean": float(values.mean()),
                "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
                "q05": float(low),
                "q95": float(high),
                "rise": float(values.mean() - moments[0].mean[m, -2]),
            }
        )
    return rows

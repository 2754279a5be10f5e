"""Are a layer's features half-way those of both models, averaged? A stronger notion than a low loss.

Zhou, Yang, Yang, Yan, Hu, "Going beyond linear mode connectivity: the layerwise linear feature connectivity", NeurIPS
2023. With f_l(w; x) the output of layer l and w_a = (1 - a) w + a w', for each sample the cosine of f_l(w_a) with
(1 - a) f_l(w) + a f_l(w'), and the coefficient with which the one is best written as a multiple of the other; beside
them the cosine of f_l(w) and f_l(w'), without which a high score of nearly equal models looks like a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from unpooled.connectivity.checkpoints import Checkpoint
from unpooled.connectivity.cuts import Cut, mixed
from unpooled.connectivity.plain import Plain, Told
from unpooled.connectivity.plan import Prepared, Silent
from unpooled.connectivity.scoring import Samples
from unpooled.connectivity.study import Study
from unpooled.errors import BadSetting, Unsupported


def feature_linearity(
    a: Checkpoint, b: Checkpoint, data: tuple[Any, Any], *, alphas: Sequence[float] = (0.5,), **settings: Any
) -> pd.DataFrame:
    """One row a module that owns weights and a alpha: means over samples of `cosine`, `coefficient` and `apart`.

    `cosine` is that of the mixed model's features and the mixed features (1: linear up to scale), `coefficient` the
    scale (1: linear), `apart` the cosine between both models' features, and `standard_error` that of `cosine`. Samples
    whose features are all zero in a model are left out and counted (`used`). Other settings are those of `connect`.
    Raises `BadSetting` for alphas outside (0, 1), `Unsupported` for a function instead of data.
    """
    return prepared(a, b, data, alphas=alphas, **settings).run(Silent)


def prepared(
    a: Checkpoint, b: Checkpoint, data: tuple[Any, Any], *, alphas: Sequence[float] = (0.5,), **settings: Any
) -> Prepared[pd.DataFrame]:
    """`feature_linearity` with its cost, before the work."""
    if not alphas or not all(0 < alpha < 1 for alpha in alphas):
        raise BadSetting(f"alphas must lie between 0 and 1; got {list(alphas)}.")
    study = Study(a, b, data, **{**settings, "cuts": ("full",), "points": 3, "engine": "plain"})
    plain = study.engine
    if not isinstance(plain, Plain) or not isinstance(plain.scored, Samples):
        raise Unsupported("Features are compared sample by sample: give data=(X, y).")
    mixtures = Cut("a", study.moving(tuple(study.layers)), study.a, study.b, tuple(alphas))
    return Prepared(study.cost([mixtures]), lambda told: _run(study, plain, alphas, told))


def _run(study: Study, plain: Plain, alphas: Sequence[float], told: Told) -> pd.DataFrame:
    assert isinstance(plain.scored, Samples)
    names = study.moving(tuple(study.layers))
    owners = [name for name, part in plain.model.named_modules() if name and list(part.parameters(recurse=False))]
    owners = owners or [""]  # a single layer is the model
    sums: dict[tuple[str, float], list[Tensor]] = {(owner, alpha): [] for owner in owners for alpha in alphas}
    X = plain.scored.X
    models = [dict(study.a), dict(study.b)]
    models += [{**study.a, **{n: mixed(study.a[n], study.b[n], alpha) for n in names}} for alpha in alphas]
    for i in range(0, len(X), plain.batch_size):
        seen = []
        for weights in models:
            plain.load(weights)
            seen.append(_outputs(plain.model, owners, X[i : i + plain.batch_size]))
        for k, alpha in enumerate(alphas):
            for owner in seen[0]:
                mid = seen[2 + k][owner]
                sums[owner, alpha].append(_compared(seen[0][owner], seen[1][owner], mid, alpha))
        told(min(i + plain.batch_size, len(X)), len(X))
    return pd.DataFrame([_row(owner, alpha, parts) for (owner, alpha), parts in sums.items() if parts])


def _outputs(model: nn.Module, owners: Sequence[str], X: Tensor) -> dict[str, Tensor]:
    """Each module's output, (n, features), double; outputs of several calls side by side."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor) and first.dim() > 1 and len(first) == len(X):
                found.setdefault(name, []).append(first.detach().double().flatten(1))

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in owners]
    try:
        with torch.no_grad():
            model(X)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts, dim=1) for name, parts in found.items()}


def _compared(first: Tensor, second: Tensor, middle: Tensor, alpha: float) -> Tensor:
    """Cosine, coefficient and the models' own cosine for each sample that has features, shape (3, n)."""
    mean = (1 - alpha) * first + alpha * second
    lengths = [part.norm(dim=1) for part in (first, second, middle, mean)]
    some = torch.stack(lengths).amin(dim=0) > 0
    left, right, mid, average = (length[some] for length in lengths)
    product = (middle * mean).sum(dim=1)[some]
    between = (first * second).sum(dim=1)[some]
    return torch.stack([product / (mid * average), product / average.square(), between / (left * right)])


def _row(owner: str, alpha: float, parts: Sequence[Tensor]) -> dict[str, Any]:
    values = torch.cat(list(parts), dim=1)
    count = values.shape[1]
    cosine, coefficient, apart = values.mean(dim=1).tolist() if count else [float("nan")] * 3
    error = float(values[0].std()) / count**0.5 if count > 1 else float("nan")
    return {
        "layer": owner,
        "alpha": alpha,
        "cosine": cosine,
        "standard_error": error,
        "coefficient": coefficient,
        "apart": apart,
        "used": count,
    }

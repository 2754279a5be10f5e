"""AUC of combined logistic models when some are replaced by an attacker's, for every combiner.

    python benchmarks/robustness.py [--groupings 15] [--fresh]

The workload of the 2024 robustness experiments (WAFL workshop, ECML-PKDD 2024) on made data: 441 = 21^2 logistic models
of 18 features and an intercept, 100 examples each. Collusion: the first k models become -10 times the first one.
Garbage: 50 times a Cauchy number in each coordinate. The Radon point depends on how models are grouped: median over
groupings, and the share of groupings that keep the AUC to 0.01. The mean of the clean models is the rival in each line.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from record import Record, Row, options, table
from sklearn.metrics import roc_auc_score

from unpooled.combine import COMBINERS, Array, Combine, NormClippedMean, Radon, TrimmedMean
from unpooled.seeds import Streams

FEATURES, MODELS, EXAMPLES, TEST = 18, 441, 100, 20_000
CORRUPT = (0, 4, 9, 22, 44, 88, 132)
KEEPS = 0.01
FIXED: Mapping[str, Combine] = {
    "mean": COMBINERS["mean"],
    "unit vectors": NormClippedMean(bound=1e-9, centre="zero"),
    "norm clipped": COMBINERS["norm_clipped_mean"],
    "coordinate median": COMBINERS["coordinate_median"],
    "geometric median": COMBINERS["geometric_median"],
    "trimmed 10 %": TrimmedMean(0.1),
    "krum": COMBINERS["krum"],
    "multi-Krum": COMBINERS["multi_krum"],
    "Bulyan": COMBINERS["bulyan"],
}


def local_models() -> tuple[Array, Array, Array]:
    """Models (441, 19), fitted by Newton's method with a small ridge; test inputs (20000, 19) and labels."""
    rng = Streams(0).generator("benchmarks", "robustness")
    truth = rng.normal(size=FEATURES + 1) * 0.28
    x = rng.normal(size=(MODELS * EXAMPLES + TEST, FEATURES + 1))
    x[:, -1] = 1.0
    y = (rng.random(len(x)) < sigmoid(x @ truth)).astype(float)
    inputs, labels = x[:-TEST].reshape(MODELS, EXAMPLES, -1), y[:-TEST].reshape(MODELS, EXAMPLES)
    models = np.zeros((MODELS, FEATURES + 1))
    for _ in range(8):
        chance = sigmoid(np.einsum("mnp,mp->mn", inputs, models))
        gradient = np.einsum("mnp,mn->mp", inputs, chance - labels) + models
        curvature = np.einsum("mnp,mn,mnq->mpq", inputs, chance * (1 - chance), inputs) + np.eye(FEATURES + 1)
        models -= np.linalg.solve(curvature, gradient[..., None])[..., 0]
    return models, x[-TEST:], y[-TEST:]


def sigmoid(score: Array) -> Array:
    return 1 / (1 + np.exp(-score))


def collusion(models: Array, corrupt: int) -> Array:
    """All corrupt models are -10 times the first model, but for 1e-10 of noise."""
    out = models.copy()
    noise = Streams(0).generator("benchmarks", "collusion").normal(size=(corrupt, models.shape[1]))
    out[:corrupt] = -10 * models[0] + 1e-10 * noise
    return out


def garbage(models: Array, corrupt: int) -> Array:
    """Corrupt models are independent and heavy-tailed."""
    out = models.copy()
    out[:corrupt] = 50 * Streams(0).generator("benchmarks", "garbage").standard_cauchy((corrupt, models.shape[1]))
    return out


ATTACKS = {"collusion": collusion, "garbage": garbage}


def one_row(attack: str, corrupt: int, groupings: int, models: Array, inputs: Array, labels: Array) -> Row:
    """AUC by combiner; "radon" is a median, "radon keeps" a share of groupings."""

    def auc(row: Array) -> float:
        return float(roc_auc_score(labels, inputs @ row))

    clean = auc(FIXED["mean"](models))
    rows = ATTACKS[attack](models, corrupt)
    found = {name: auc(combine(rows)) for name, combine in FIXED.items()}
    radon = np.array([auc(Radon(seed=seed)(rows)) for seed in range(groupings)])
    found |= {"radon": float(np.median(radon)), "radon keeps": float((radon > clean - KEEPS).mean())}
    return {"attack": attack, "corrupt": corrupt, "groupings": groupings, **found}


def main() -> None:
    """One table an attack."""
    parser = options(__doc__)
    parser.add_argument("--groupings", type=int, default=15)
    chosen = parser.parse_args()
    record = Record(__file__, ("attack", "corrupt", "groupings"), seed=0, fresh=chosen.fresh, folder=chosen.out)
    todo = [
        (attack, corrupt)
        for attack in ATTACKS
        for corrupt in CORRUPT
        if not record.of(attack=attack, corrupt=corrupt, groupings=chosen.groupings)
    ]
    models = local_models() if todo else None
    for attack, corrupt in todo:
        print(f"{attack}, {corrupt} of {MODELS} models corrupt", flush=True)
        assert models is not None
        record.add([one_row(attack, corrupt, chosen.groupings, *models)])
    columns = {"corrupt": "{corrupt} ({share:.1%})", **{n: f"{{{n}:.3f}}" for n in [*FIXED, "radon", "radon keeps"]}}
    parts = []
    for attack in ATTACKS:
        rows = [{**r, "share": r["corrupt"] / MODELS} for r in record.of(attack=attack, groupings=chosen.groupings)]
        parts.append(f"**{attack}**: AUC of {MODELS} models of {FEATURES + 1} parameters\n\n{table(columns, rows)}")
    text = "\n\n".join(parts)
    print(f"\n{text}\n")
    record.write(text)


if __name__ == "__main__":
    main()

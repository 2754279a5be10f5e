"""AUC of combined logistic models when some are replaced by an attacker's, for every combiner.

    python benchmarks/robustness.py [--groupings 15]

The workload of the 2024 robustness experiments (WAFL workshop, ECML-PKDD 2024) on made data: 441 = 21^2 logistic models
of 18 features and an intercept, 100 examples each. Collusion: the first k models become -10 times the first one.
Garbage: 50 times a Cauchy number in each coordinate. The Radon point depends on how models are grouped: median over
groupings, and the share of groupings that keep the AUC to 0.01. The mean of the clean models is the rival in each line.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
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
    "coord. median": COMBINERS["coordinate_median"],
    "geo. median": COMBINERS["geometric_median"],
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


def table(attack: str, groupings: int) -> dict[int, dict[str, float]]:
    """AUC by number of corrupt models and combiner; "radon" is a median, "radon keeps" a share of groupings."""
    models, inputs, labels = local_models()

    def auc(row: Array) -> float:
        return float(roc_auc_score(labels, inputs @ row))

    clean = auc(FIXED["mean"](models))
    out = {}
    for corrupt in CORRUPT:
        rows = ATTACKS[attack](models, corrupt)
        found = {name: auc(combine(rows)) for name, combine in FIXED.items()}
        radon = np.array([auc(Radon(seed=seed)(rows)) for seed in range(groupings)])
        out[corrupt] = found | {"radon": float(np.median(radon)), "radon keeps": float((radon > clean - KEEPS).mean())}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groupings", type=int, default=15)
    groupings = parser.parse_args().groupings
    for attack in ATTACKS:
        found = table(attack, groupings)
        names = list(found[0])
        print(f"\n{attack}: AUC of {MODELS} models of {FEATURES + 1} parameters")
        print("corrupt       " + " ".join(f"{n:>13}" for n in names))
        for corrupt, aucs in found.items():
            share = f"{corrupt:>4} ({corrupt / MODELS:5.1%})"
            print(f"{share:<14}" + " ".join(f"{aucs[n]:>13.3f}" for n in names))


if __name__ == "__main__":
    main()

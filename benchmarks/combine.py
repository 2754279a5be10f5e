"""Milliseconds for one combined model: combiners against their plain forms and the published Radon code.

    python benchmarks/combine.py [--repeats 5]

The plain forms are those of `unpooled.combine.reference`; the published Radon code fixes the first coefficient
(lambda_1 = 1) and solves one group after another by least squares. Both sides must give the same row (to 1e-6).
Medians of paired runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from unpooled.combine import Array, Bulyan, Krum, TrimmedMean, geometric_median, radon_point, reference


def first_coefficient_one(points: Array) -> Array:
    """The Radon point with lambda_1 = 1, by least squares, as in published code."""
    system = np.vstack([points.T, np.ones(len(points))])
    null = np.r_[1.0, np.linalg.lstsq(system[:, 1:], -system[:, 0], rcond=None)[0]]
    part = np.maximum(null, 0.0)
    return np.asarray(part @ points / part.sum())


def one_by_one(form: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda groups: np.stack([form(group) for group in groups])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape)

    svd, published = one_by_one(reference.radon_point), one_by_one(first_coefficient_one)
    works: list[tuple[str, Array, Callable[[Array], Array], str, Callable[[Array], Array]]] = [
        ("radon, 441 groups, P = 8", normal(441, 10, 8), radon_point, "SVD", svd),
        ("radon, 441 groups, P = 8", normal(441, 10, 8), radon_point, "lambda_1 = 1", published),
        ("radon, 21 groups, P = 19", normal(21, 21, 19), radon_point, "lambda_1 = 1", published),
        ("radon, 4 groups, P = 200", normal(4, 202, 200), radon_point, "SVD", svd),
        ("krum, 50 x 10 000", normal(50, 10_000), Krum(5), "loops", lambda r: reference.krum(r, 5)),
        ("bulyan, 15 x 1 000", normal(15, 1000), Bulyan(2), "loops", lambda r: reference.bulyan(r, 2)),
        (
            "trimmed mean, 50 x 10 000",
            normal(50, 10_000),
            TrimmedMean(),
            "loops",
            lambda r: reference.trimmed_mean(r, 0.2),
        ),
        (
            "geometric median, 50 x 1 000",
            normal(50, 1000),
            geometric_median,
            "Weiszfeld x 1000",
            lambda r: reference.weiszfeld(r, 1000),
        ),
    ]
    print(f"{'work':<30}{'ms':>10}{'rival':>18}{'ms':>10}{'ratio':>8}")
    for name, rows, ours, rival, plain in works:
        assert np.allclose(ours(rows), plain(rows), atol=1e-6), name
        times = np.array([[_seconds(form, rows) for form in (ours, plain)] for _ in range(repeats)])
        mine, other = 1000 * np.median(times, axis=0)
        ratio = np.median(times[:, 1] / times[:, 0])
        print(f"{name:<30}{mine:>10.3f}{rival:>18}{other:>10.3f}{ratio:>7.1f}x")


def _seconds(form: Callable[[Array], Array], rows: Array) -> float:
    start = time.perf_counter()
    form(rows)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

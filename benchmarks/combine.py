"""Milliseconds for one combined model: combiners against their plain forms and the published Radon code.

    python benchmarks/combine.py [--repeats 5] [--fresh]

The plain forms are those of `unpooled.combine.reference`; the published Radon code fixes the first coefficient
(lambda_1 = 1) and solves one group after another by least squares. Both sides must give the same row (to 1e-6).
Medians of paired runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from record import Record, load, options, table

from unpooled.combine import Array, Bulyan, Krum, TrimmedMean, geometric_median, radon_point, reference

AGREE = 1e-6


def first_coefficient_one(points: Array) -> Array:
    """The Radon point with lambda_1 = 1, by least squares, as in published code."""
    system = np.vstack([points.T, np.ones(len(points))])
    null = np.r_[1.0, np.linalg.lstsq(system[:, 1:], -system[:, 0], rcond=None)[0]]
    part = np.maximum(null, 0.0)
    return np.asarray(part @ points / part.sum())


def one_by_one(form: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda groups: np.stack([form(group) for group in groups])


def works() -> list[tuple[str, Array, Callable[[Array], Array], str, Callable[[Array], Array]]]:
    """Name, models, our form, the rival's name and its form."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape)

    svd, published = one_by_one(reference.radon_point), one_by_one(first_coefficient_one)
    return [
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


def main() -> int:
    """Exit status 1 when two forms disagree."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    record = Record(__file__, ("work", "rival"), seed=0, fresh=chosen.fresh, folder=chosen.out)
    print(f"load {load()}; {chosen.repeats} turns each")
    for name, rows, ours, rival, plain in works():
        if record.of(work=name, rival=rival):
            continue
        difference = float(np.abs(ours(rows) - plain(rows)).max())
        times = np.array([[_seconds(form, rows) for form in (ours, plain)] for _ in range(chosen.repeats)])
        mine, other = 1000 * np.median(times, axis=0)
        found = {"ms": mine, "rival_ms": other, "ratio": np.median(times[:, 1] / times[:, 0])}
        record.add([{"work": name, "rival": rival, **found, "difference": difference}])
        print(f"{name} against {rival}: {found['ratio']:.1f} x", flush=True)
    columns = {
        "work": "{work}",
        "ms": "{ms:.3f}",
        "rival": "{rival}",
        "ms of the rival": "{rival_ms:.3f}",
        "ratio": "{ratio:.1f} x",
    }
    text = table(columns, record.rows)
    print(f"\n{text}\n")
    record.write(text)
    wrong = [row for row in record.rows if not row["difference"] <= AGREE]
    for row in wrong:
        print(f"FAILED: {row['work']} and {row['rival']} differ by {row['difference']:.1e}")
    return 1 if wrong else 0


def _seconds(form: Callable[[Array], Array], rows: Array) -> float:
    start = time.perf_counter()
    form(rows)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())

"""How many models of how many rows, what they may gain, how sure they are, and when to leave it.

Kamp, Boley, Missura and Gaertner, "Effective Parallelisation for Machine Learning", NeurIPS 2017. paper -> here: N
rows, d parameters, r = d + 2 radon_number, h height, c workers. Their theorem 4, (r p)^(2^h), does not hold for h of 2
or more; the bound here is t (p / t)^(2^h) with t = 2 / (r (r - 1)), by the argument of Clarkson et al., IJCGA 6(3),
1996.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from unpooled.combine.radon import highest
from unpooled.errors import BadSetting, above_zero, positive

TALLEST = 10
"""No more levels than this, as in the published code."""
SECONDS = 4e-9
"""Seconds for a Radon point, divided by r^3: 0.03 ms at d = 18, 30 ms at d = 200 on one core."""
FEW = 3
"""Parts with fewer rows than this many times d give fits that are singular or separable."""


@dataclass(frozen=True)
class Size:
    """What is trained: `models` = radon_number ** height."""

    height: int
    radon_number: int
    models: int


def size(rows: int, parameters: int, height: int | str, min_samples: int) -> Size:
    """The size for so many rows; `height` "max" is the largest that leaves every part `min_samples` rows.

    Raises `BadSetting` where a height of your own asks for more parts than there are rows.
    """
    number = parameters + 2
    if height == "max":
        tall = min(TALLEST, highest(rows // min_samples, number)) if rows >= min_samples else 0
    elif isinstance(height, int) and not isinstance(height, bool) and height >= 0:
        tall = height
    else:
        raise BadSetting(f"height must be 'max' or a whole number of at least 0, got {height!r}.")
    models = number**tall
    if models > rows:
        raise BadSetting(
            f"A Radon machine of height {tall} over {parameters}-parameter models needs {number}^{tall} = {models} "
            f"parts of one row at least, got {rows} rows: use height='max', or fewer features."
        )
    return Size(tall, number, models)


@dataclass(frozen=True)
class Height:
    """One height: `speed_up` of the base phase, `combine` in seconds, and the bound on P(the result is bad)."""

    height: int
    models: int
    rows_per_part: int
    speed_up: float
    combine: float
    bad: float


@dataclass(frozen=True)
class RadonPlan:
    """What `plan` found; `print` shows it. `threshold` is t: where more models than that are bad, height harms."""

    rows: int
    parameters: int
    workers: int
    min_samples: int
    exponent: float
    p: float
    threshold: float
    radon_number: int
    height: int
    heights: tuple[Height, ...]
    advice: tuple[str, ...]

    def __str__(self) -> str:
        head = (
            f"{self.rows} rows, {self.parameters} parameters (r = {self.radon_number}), {self.workers} workers, a "
            f"learner that takes n^{self.exponent:g}; height='max' is {self.height} with min_samples={self.min_samples}"
        )
        titles = ("height", "models", "rows a part", "base phase faster by", "to combine, s", "P(bad) at most")
        cells = [titles, *(self._cells(h) for h in self.heights)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
        lines = ["  ".join(t.rjust(w) for t, w in zip(row, widths, strict=True)) for row in cells]
        chance = (
            f"P(bad): where each model is bad with probability p = {self.p:.2g}, by itself. It falls with height only "
            f"while p < t = {self.threshold:.2g}; models that are bad in the same way need no more than that."
        )
        return "\n".join([head, "", *lines, "", chance, *(f"- {text}" for text in self.advice)])

    def _cells(self, row: Height) -> tuple[str, ...]:
        faster = f"{row.speed_up:.1f} x"
        return (
            str(row.height),
            str(row.models),
            str(row.rows_per_part),
            faster,
            f"{row.combine:.2g}",
            f"{row.bad:.2g}",
        )

    def as_dict(self) -> dict[str, object]:
        """All of it as plain numbers and text."""
        return asdict(self)


def plan(
    n: int,
    d: int,
    workers: int = 1,
    *,
    min_samples: int = 100,
    exponent: float = 1.0,
    p: float | None = None,
) -> RadonPlan:
    """Heights for `n` rows and `d` parameters (weights and intercepts) on so many `workers`.

    `exponent` is how the learner's time grows with rows: 1 for linear-time solvers, 2 or more for libsvm. `p` is the
    chance that one local model is bad, in whatever sense; half the threshold t if not given. The speed-up is that of
    the base phase, n^k / (ceil(m / c) (n / m)^k) for m models, k the exponent; start-up and transport are not in it.

    >>> found = plan(5_000_000, 19, workers=2)
    >>> found.height, found.radon_number, found.heights[-1].models
    (3, 21, 9261)
    """
    positive(n=n, d=d, workers=workers, min_samples=min_samples)
    above_zero(exponent=exponent)
    number = d + 2
    threshold = 2 / (number * (number - 1))
    chance = threshold / 2 if p is None else p
    if not 0 <= chance <= 1:
        raise BadSetting(f"p is a probability, got {p!r}.")
    tall = size(n, d, "max", min_samples).height
    heights = tuple(_height(h, n, number, workers, exponent, chance) for h in range(max(tall, 1) + 1))
    return RadonPlan(
        n,
        d,
        workers,
        min_samples,
        exponent,
        chance,
        threshold,
        number,
        tall,
        heights,
        tuple(_advice(n, d, workers, min_samples, exponent, chance, heights[tall])),
    )


def bound(p: float, number: int, height: int) -> float:
    """G6: at most this is the probability that the iterated point is bad, if each model is with probability p.

    >>> bound(0.0, 21, 1), round(bound(0.001, 21, 1), 6), bound(0.5, 21, 2)
    (0.0, 0.00021, 1.0)
    """
    threshold = 2 / (number * (number - 1))
    if height == 0 or p >= threshold:
        return p if height == 0 else 1.0
    return float(threshold * (p / threshold) ** (2**height))


def _height(height: int, rows: int, number: int, workers: int, exponent: float, p: float) -> Height:
    models = number**height
    turns = -(-models // workers)
    groups = sum(number**level for level in range(height))
    return Height(
        height,
        models,
        rows // models,
        models**exponent / turns,
        groups * SECONDS * number**3,
        bound(p, number, height),
    )


def _advice(
    rows: int, parameters: int, workers: int, min_samples: int, exponent: float, p: float, best: Height
) -> list[str]:
    number, said = parameters + 2, []
    if best.height == 0:
        said.append(
            f"Do not use it as it is: one Radon point needs {number} parts of {min_samples} rows, "
            f"{number * min_samples} in all. Take fewer features (feature_map='projection'), an averaging machine, or "
            "the learner itself."
        )
    if best.height and best.rows_per_part < FEW * parameters:
        said.append(
            f"Parts of {best.rows_per_part} rows are fewer than {FEW} d: local fits may be singular or separable. "
            f"Raise min_samples to {20 * parameters} (20 d)."
        )
    if p >= 2 / (number * (number - 1)):
        said.append("p is not below t: more height makes the result worse. Give each part more rows, so that p falls.")
    if best.height and best.speed_up < 2:
        said.append(
            "Fitting the learner to all rows takes about as long: do that, unless they do not fit or lie apart."
        )
    elif best.height and exponent <= 1:
        said.append(
            f"A linear-time learner gains a factor of {workers} workers at best, and loses where a fit takes seconds."
        )
    if best.height:
        said.append(
            f"If no local fit blows up, the mean of the models has about {1.5**best.height:.1f} times less variance: "
            "compare with combine='mean'."
        )
    return said

"""Code lengths, in bits, of whole numbers, real numbers and residuals.

Whole numbers: Rissanen, Annals of Statistics 11, 1983, log*(z) + log 2.865064. Real numbers and residuals: Mian, Marx
and Vreeken, "Discovering Fully Oriented Causal Networks" (GLOBE), AAAI 2021, as their code has them. Where that code
differs from what is published, `released=True` gives what the code does.
"""

from __future__ import annotations

from math import ceil, comb, log, log2, pi

from unpooled.causal.compiling import compiled

CONSTANT = log2(2.865064)
"""Makes the integer code's probabilities sum to 1."""
DIGITS = 1000.0
"""A real number is written with as many digits as bring it to at least this."""
NOTHING = 1e-12
"""A real number of at most this size is 0 and costs nothing."""


@compiled
def integer_code(z: float, released: bool = False) -> float:
    """LN(z) for z >= 1, rounded up; 0 bits below 1.

    log*(z) sums log z, log log z, ... while positive. The released code also adds the first one that is not.

    5 costs 5.3372 bits, by the released code 3.5075.
    """
    if z < 1:
        return 0.0
    bits, term = CONSTANT, log2(float(ceil(z)))
    while term > 0:
        bits += term
        term = log2(term)
    # log 1 = 0 ends the released code's sum before it comes to a logarithm of 0.
    return bits + (term if released else 0.0)


@compiled
def real_code(c: float, released: bool = False) -> float:
    """C(c): the digits of |c| as a whole number of at least 1000, how many decimals were taken (plus 1), and a sign."""
    size = abs(c)
    if size <= NOTHING:
        return 0.0
    shifted = 1
    while size < DIGITS:
        size *= 10.0
        shifted += 1
    return integer_code(size, released) + integer_code(float(shifted), released) + 1.0


def count_code(count: int, *, released: bool = False) -> float:
    """P(count): the integer code; the released code writes counts as real numbers."""
    return real_code(float(count), True) if released else integer_code(float(count), False)


def log_choices(n: int, k: int) -> float:
    """log C(n, k) in bits; 0 where there is nothing to choose, as in the released code."""
    ways = comb(n, k) if 0 <= k <= n else 0
    return log2(ways) if ways else 0.0


def residual_bits(sse: float, rows: int, resolution: float) -> float:
    """What Gaussian noise of variance sse / rows costs at this resolution, at least 0; 0 for a perfect fit."""
    if sse <= 0.0:
        return 0.0
    bits = rows / (2 * log(2)) + rows / 2 * log2(2 * pi * sse / rows) - rows * log2(resolution)
    return max(0.0, bits)

"""Section 8.1 of the notes on averaging: orderings of bias, variance and risk over lambda, and the sum of both."""

from __future__ import annotations

import pytest

import unpooled.explain.scripts.bias_variance as script


def test_bias_and_variance_are_in_the_published_order() -> None:
    bias, variance, risk = (
        dict(zip(script.table, column, strict=True)) for column in zip(*script.table.values(), strict=True)
    )
    for lam in script.LAMBDAS:
        assert risk[lam] == pytest.approx(bias[lam] + variance[lam], rel=1e-9)
    assert min(risk, key=risk.__getitem__) == 1.0
    assert min(bias, key=bias.__getitem__) == 0.01
    assert variance[0.001] > variance[0.01] > variance[0.1] > variance[1.0]
    assert bias[0.01] < bias[1.0] < bias[10.0] < bias[100.0]

"""One root, and a built-in beside it, so that callers may catch what they know."""

from __future__ import annotations

import inspect

import pytest

from unpooled import errors
from unpooled.errors import BadSetting, UnpooledError, did_you_mean, fraction, positive

ALL = [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, Exception) and e is not UnpooledError]


@pytest.mark.parametrize("error", ALL)
def test_every_error_has_the_one_root_and_says_when_it_is_raised(error: type[Exception]) -> None:
    assert issubclass(error, UnpooledError)
    assert error.__doc__
    assert error.__doc__.endswith(".") or "." in error.__doc__ or ";" in error.__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.BadSetting, ValueError),
        (errors.BadData, ValueError),
        (errors.BadRecord, ValueError),
        (errors.Refused, PermissionError),
        (errors.Unsupported, TypeError),
        (errors.Diverged, ArithmeticError),
        (errors.SiteFailed, RuntimeError),
    ],
)
def test_errors_are_builtins_too(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)
    assert str(error("found, needed, next")) == "found, needed, next"


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, True, "1", None])
def test_positive_takes_whole_numbers_from_one(value: object) -> None:
    with pytest.raises(BadSetting, match="daisy_period must be a whole number of at least 1, got"):
        positive(steps=3, daisy_period=value)  # type: ignore[arg-type]
    positive(steps=1, daisy_period=10**9)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.0000001, float("nan")])
def test_fraction_takes_what_lies_above_0_and_not_above_1(value: float) -> None:
    with pytest.raises(BadSetting, match="share must lie above 0 and not above 1, got"):
        fraction(share=value)
    fraction(share=1.0, other=1e-9)


def test_hints() -> None:
    assert did_you_mean("dasy_period", ["daisy_period", "steps"]) == " Did you mean 'daisy_period'?"
    assert did_you_mean("xyz", ["daisy_period", "steps"]) == ""
    assert did_you_mean("x", []) == ""

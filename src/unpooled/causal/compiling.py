"""numba, with types that survive it.

What takes it long: literals as arguments (see `constant`), slices that are assigned to, lists of arrays, NumPy's sorts
and sums, many arrays in one argument. All that a function calls is optimised again with it, so few layers are best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., object])
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
INSIDE: dict[str, Any] = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: F) -> F:
    """The same function as machine code, kept on disk for the next process; threads may run it side by side.

    numba does not notice that a function called from another file has changed: after an edit, remove `__pycache__`.
    """
    return cast(F, njit(**OPTIONS)(function))


def constant(value: int) -> int:
    """The number as a variable's value. numba compiles a function once more for each literal that it is passed."""
    return cast(int, np.int64(value))


def inside(function: F) -> F:
    """As `compiled`, to be called by compiled functions only, which takes less time to compile."""
    return cast(F, njit(**INSIDE)(function))


ZERO = constant(0)

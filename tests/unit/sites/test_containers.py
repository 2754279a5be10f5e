"""State as bytes and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unpooled.errors import BadRecord
from unpooled.sites.containers import pack, unpack
from unpooled.training.kept import _plain, _tensors

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES)
def test_containers_come_back_as_they_were(value: Any) -> None:
    back = unpack(pack(value))
    assert back == value
    assert repr(back) == repr(value)  # 1 is not True, a tuple is no list


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.arange(6, dtype=np.int32).reshape(2, 3).T, np.array(True), np.float64([math.nan])]
)
def test_arrays_come_back_to_the_bit_and_can_be_written_to(array: Any) -> None:
    back = unpack(pack({"a": ("b", array)}))["a"][1]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, np.ascontiguousarray(array).tobytes())
    assert back.flags.writeable
    assert back.flags.owndata or back.base.flags.owndata


def test_the_state_of_an_optimizer_survives() -> None:
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters(), betas=(0.8, 0.9))
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    back = _tensors(unpack(pack(_plain(state))))
    assert back["param_groups"] == state["param_groups"]
    for number, kept in state["state"].items():
        for name, tensor in kept.items():
            assert torch.equal(back["state"][number][name], tensor)


@pytest.mark.parametrize("value", [object(), {"a": {1}}, np.array([object()])])
def test_nothing_else_is_saved(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be saved"):
        pack(value)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 20, pack([1, 2])[:-1], pack(np.arange(4))[:-1], pack({"a": 1}).replace(b"dict", b"tick")]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadRecord, match="no saved state"):
        unpack(data)

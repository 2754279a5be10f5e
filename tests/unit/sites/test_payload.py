"""Arrays of every form on the wire; kinds of messages are tested in tests/contract/test_kinds.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unpooled.combine import Array
from unpooled.sites.payload import decode, encode, size
from unpooled.training.questions import Begin, HandedOver, Rows, Train, Trained


@settings(deadline=None)
@given(
    arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_, np.float16]),
        array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4),
    )
)
def test_arrays_survive_the_wire(array: Array) -> None:
    back = decode(encode(HandedOver(X=array, y=array)), answer_to=Rows)
    assert isinstance(back, HandedOver)
    for found in (back.X, back.y):
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("view", [np.s_[:, ::2], np.s_[::-1], np.s_[1:, 1:]])
def test_views_give_the_bytes_of_their_copies(view: tuple[slice, ...]) -> None:
    whole = np.arange(12.0).reshape(3, 4)
    for array in (whole[view], whole.T[view]):
        message, copied = HandedOver(X=array, y=array), HandedOver(X=array.copy(), y=array.copy())
        assert encode(message) == encode(copied)
        assert size(message) == size(copied) == 2 * array.size * 8


@settings(deadline=None)
@given(st.text(), st.text())
def test_text_of_any_script_survives_and_different_text_gives_different_bytes(one: str, other: str) -> None:
    assert decode(encode(Begin(task=one))) == Begin(task=one)
    assert (encode(Begin(task=one)) == encode(Begin(task=other))) == (one == other)


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_numbers_survive_to_the_bit(loss: float) -> None:
    back = decode(encode(Trained(loss=loss, row=None)), answer_to=Train)
    assert isinstance(back, Trained)
    assert np.float64(back.loss).tobytes() == np.float64(loss).tobytes()


def test_a_scalar_of_numpy_is_a_number() -> None:
    assert size(Trained(loss=np.float64(0.5), row=None)) == 10

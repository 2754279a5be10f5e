"""Named streams: stable across versions and machines, and apart from each other."""

from __future__ import annotations

import subprocess
import sys
from hashlib import blake2b

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unpooled.seeds import Streams

NAMES = st.lists(st.one_of(st.text(), st.integers()), max_size=4).map(tuple)


def test_known_values() -> None:
    """A change here changes every run that anybody ever recorded."""
    assert Streams(0).seed("site", "berlin", "batches", 17) == 7576662247252595223
    assert Streams(0).generator("subset", 0).integers(0, 1000, 4).tolist() == [80, 128, 920, 715]


def test_the_hash_is_that_of_the_parts_with_their_lengths() -> None:
    parts = [b"i7", b"sberlin", b"i-3"]
    message = b"".join(len(p).to_bytes(4, "big") + p for p in parts)
    assert Streams(7).seed("berlin", -3) == int.from_bytes(blake2b(message, digest_size=8).digest(), "big")


@settings(deadline=None)
@given(NAMES, NAMES, st.integers(), st.integers())
def test_different_names_have_different_seeds(
    one: tuple[str | int, ...], other: tuple[str | int, ...], root: int, other_root: int
) -> None:
    assert (Streams(root).seed(*one) == Streams(other_root).seed(*other)) == ((root, one) == (other_root, other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("1",), (1,)),
        (("a", ""), ("a",)),
        (("a/b",), ("a", "b")),
        ((1, 2), (12,)),
    ],
)
def test_names_that_look_alike_are_apart(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert Streams(0).seed(*one) != Streams(0).seed(*other)


def test_numbers_of_numpy_name_the_same_stream() -> None:
    assert Streams(int(np.int64(7))).seed(np.int64(3)) == Streams(7).seed(3)


def test_seeds_are_the_same_in_another_process() -> None:
    """`hash()` would not be: it differs from process to process."""
    code = "from unpooled.seeds import Streams; print(Streams(3).seed('a', 1))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == Streams(3).seed("a", 1)


@settings(deadline=None)
@given(NAMES, st.integers())
def test_torch_takes_the_seed(name: tuple[str | int, ...], root: int) -> None:
    torch.Generator().manual_seed(Streams(root).torch_seed(*name))


def test_streams_do_not_depend_on_each_other() -> None:
    streams = Streams(1)
    alone = streams.generator("b").random(3).tolist()
    streams.generator("a").random(100)
    assert streams.generator("b").random(3).tolist() == alone


def test_a_stream_made_later_gives_the_same_numbers() -> None:
    later, now = Streams(3).later("exchange", 7), Streams(3).generator("exchange", 7)
    assert later.permutation(9).tolist() == now.permutation(9).tolist()
    assert later.random() == now.random()

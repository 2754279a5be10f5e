"""Counts at the door."""

from __future__ import annotations

import json

import numpy as np

from unpooled.sites.traffic import COLUMNS, Traffic


def counted() -> Traffic:
    traffic = Traffic(["a", "b", "c"])
    traffic.count("train", slice(None), down=10, up=np.array([1, 2, 3]))
    traffic.count("train", np.array([0, 2]), down=np.array([5, 6]), up=7)
    traffic.count("rows", 1, down=0, up=100)
    return traffic


def test_counts_add_up() -> None:
    assert counted().table(["train"]).tolist() == [[2, 8, 2, 15], [1, 2, 1, 10], [2, 10, 2, 16]]
    assert counted().table(["rows"]).tolist() == [[0, 0, 0, 0], [1, 100, 1, 0], [0, 0, 0, 0]]
    assert counted().table().tolist() == [[2, 8, 2, 15], [2, 102, 2, 10], [2, 10, 2, 16]]


def test_totals_by_kind() -> None:
    assert counted().total_bytes("train") == 8 + 15 + 2 + 10 + 10 + 16
    assert counted().total_bytes("rows") == 100
    assert counted().total_bytes() == counted().total_bytes("train", "rows") == 161
    assert counted().total_messages("train") == 10
    assert counted().total_messages("never asked") == 0
    assert counted().total_bytes("never asked") == 0


def test_the_frame_has_a_row_a_site_and_kind() -> None:
    frame = counted().frame()
    assert frame.columns.tolist() == ["site", "kind", *COLUMNS]
    assert frame.values.tolist()[:2] == [["a", "rows", 0, 0, 0, 0], ["b", "rows", 1, 100, 1, 0]]
    assert frame[frame.kind == "train"][list(COLUMNS)].to_numpy().tolist() == counted().table(["train"]).tolist()
    assert Traffic(["a"]).frame().columns.tolist() == ["site", "kind", *COLUMNS]


def test_state_is_plain_and_restores() -> None:
    other = Traffic(["a", "b", "c"])
    other.restore(json.loads(json.dumps(counted().state())))
    assert other == counted()
    other.count("rows", 1, down=1, up=0)
    assert other != counted()


def test_equality_needs_the_same_sites() -> None:
    assert Traffic(["a"]) != Traffic(["b"])
    assert Traffic(["a"]) != "a"


def test_numbers_beyond_32_bits() -> None:
    traffic = Traffic(["a"])
    for _ in range(3):
        traffic.count("train", 0, down=0, up=2**40)
    assert traffic.total_bytes() == 3 * 2**40


def test_it_says_what_it_counted() -> None:
    assert repr(counted()) == "Traffic(up: 6 messages, 120 bytes; down: 6 messages, 41 bytes)"

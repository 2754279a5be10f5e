"""The ledger of a site: what it writes down, and which tampering it finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unpooled.errors import BadRecord
from unpooled.sites.ledger import GENESIS, Ledger, newest, read, verify
from unpooled.sites.payload import encode, size
from unpooled.sites.policy import Policy
from unpooled.sites.questions import Failure
from unpooled.sites.site import Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.questions import Rows, Train, Trained

QUESTION = Train(step=0, steps=1, row=None, layers=None, send=True, send_layers=None)


def answer(i: int) -> Trained:
    return Trained(loss=float(i), row=np.arange(i + 1, dtype=np.float32))


def clock() -> Callable[[], str]:
    ticks = iter(range(10**6))
    return lambda: f"2024-01-01T00:00:{next(ticks):02}+00:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of five lines."""
    ledger = Ledger(tmp_path / "site.jsonl", run="Läufe/7", clock=clock())
    for i in range(5):
        ledger.record(QUESTION, answer(i), round=i)
    return ledger.path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_line_says_what_left_the_site(path: Path) -> None:
    entry = list(read(path))[2]
    previous = entry.pop("previous")
    assert previous == list(read(path))[1]["hash"]
    digest = entry.pop("hash")
    assert entry == {
        "time": "2024-01-01T00:00:02+00:00",
        "run": "Läufe/7",
        "asker": "coordinator",
        "kind": "train",
        "round": 2,
        "answer": "Trained",
        "shape": {"row": [3]},
        "dtype": {"row": "float32"},
        "bytes": size(answer(2)),
        "sha256": sha256(encode(answer(2))).hexdigest(),  # whoever holds the answer can check it
        "privacy_spent": 0.0,
    }
    unhashed = json.dumps({**entry, "previous": previous}, sort_keys=True, ensure_ascii=False)
    assert digest == sha256(unhashed.encode()).hexdigest()


def test_an_untouched_ledger_verifies(path: Path) -> None:
    assert verify(path) == 5
    assert verify(path, head=list(read(path))[-1]["hash"]) == 5
    assert next(read(path))["previous"] == GENESIS


def test_an_empty_ledger_verifies(tmp_path: Path) -> None:
    Ledger(tmp_path / "deep" / "site.jsonl").path.touch()
    assert verify(tmp_path / "deep" / "site.jsonl") == 0
    assert list(read(tmp_path / "no such file")) == []


def test_a_missing_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"There is no ledger at .*none\.jsonl"):
        verify(tmp_path / "none.jsonl")


@pytest.mark.parametrize("number", range(5))
def test_a_changed_line_is_found(path: Path, number: int) -> None:
    kept = lines(path)
    kept[number] = kept[number].replace(b'"kind": "train"', b'"kind": "drift"')
    path.write_bytes(b"".join(kept))
    with pytest.raises(BadRecord, match=f"line {number + 1} was changed"):
        verify(path)


def test_a_changed_line_with_a_new_hash_of_its_own_is_found(path: Path) -> None:
    kept = lines(path)
    entry = json.loads(kept[2])
    del entry["hash"]
    entry["bytes"] = 1
    entry["hash"] = sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    kept[2] = json.dumps(entry, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    path.write_bytes(b"".join(kept))
    with pytest.raises(BadRecord, match="line 4 does not follow line 3"):
        verify(path)


@pytest.mark.parametrize("number", range(4))
def test_a_missing_line_is_found(path: Path, number: int) -> None:
    kept = lines(path)
    del kept[number]
    path.write_bytes(b"".join(kept))
    with pytest.raises(BadRecord, match=f"line {number + 1} does not follow line {number}: a line is missing or moved"):
        verify(path)


@pytest.mark.parametrize("swap", [(0, 1), (1, 3), (3, 4)])
def test_a_reordered_line_is_found(path: Path, swap: tuple[int, int]) -> None:
    kept = lines(path)
    kept[swap[0]], kept[swap[1]] = kept[swap[1]], kept[swap[0]]
    path.write_bytes(b"".join(kept))
    with pytest.raises(BadRecord, match=f"line {swap[0] + 1} does not follow"):
        verify(path)


def test_a_line_written_twice_is_found(path: Path) -> None:
    kept = lines(path)
    path.write_bytes(b"".join([*kept[:3], kept[2], *kept[3:]]))
    with pytest.raises(BadRecord, match="line 4 does not follow line 3"):
        verify(path)


@pytest.mark.parametrize("cut", [1, 5])
def test_a_cut_tail_is_found_by_who_kept_the_head(path: Path, cut: int) -> None:
    head = list(read(path))[-1]["hash"]
    path.write_bytes(b"".join(lines(path)[:-cut]))
    assert verify(path) == 5 - cut  # the ledger alone cannot tell
    with pytest.raises(BadRecord, match=f"ends after line {5 - cut}, but newer lines are known to exist"):
        verify(path, head=head)


def test_half_a_line_is_found(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadRecord, match="ends in half a line"):
        verify(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_single_byte_can_be_changed_added_or_removed(path: Path, data: st.DataObject) -> None:
    whole = b"".join(lines(path))
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != whole[place]))
    inserted = bytes([data.draw(st.sampled_from([*b' \n\r\t,"0}', byte]))])
    kind = data.draw(st.sampled_from(["change", "insert", "remove"]))
    middle = {"change": bytes([byte]), "insert": inserted + whole[place : place + 1], "remove": b""}[kind]
    copy = path.with_name("copy.jsonl")
    copy.write_bytes(whole[:place] + middle + whole[place + 1 :])
    with pytest.raises(BadRecord, match=r"copy\.jsonl"):
        verify(copy)


def test_a_process_killed_while_writing_is_recovered_and_says_so(path: Path) -> None:
    torn = lines(path)[-1][:-9]
    path.write_bytes(b"".join(lines(path)[:-1]) + torn)
    ledger = Ledger(path)
    ledger.record(QUESTION, answer(9), round=9)
    assert verify(path, head=ledger.head) == 6
    recovered = list(read(path))[4]
    assert (recovered["kind"], recovered["bytes"]) == ("recovered", len(torn))
    assert recovered["sha256"] == sha256(torn).hexdigest()


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_the_newest_lines_are_read_from_the_end(path: Path, count: int) -> None:
    assert newest(path, count) == list(read(path))[-count:]
    long = Ledger(path)
    long.record(QUESTION, Failure(code="x", reason="y" * 100_000), round=0)  # longer than what is read at first
    assert newest(path, 2) == list(read(path))[-2:]
    assert Ledger(path).head == long.head
    path.write_bytes(path.read_bytes() + b"{torn")
    assert Ledger(path).head == long.head
    assert newest(path, count) == list(read(path))[-count:]


def test_reopening_continues_the_chain(path: Path) -> None:
    Ledger(path).record(QUESTION, answer(1), round=9)
    assert verify(path) == 6


def test_a_ledger_that_is_no_ledger_is_not_written_to(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("dear diary\n")
    with pytest.raises(BadRecord, match="a line near its end is no ledger line"):
        Ledger(other)
    assert other.read_text() == "dear diary\n"


def test_refused_answers_are_written_with_the_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.jsonl")
    site = Site("a", samples([[1.0]], [0]), ledger=ledger)
    refused = site.answer(Rows(), round=3)
    assert isinstance(refused, Failure)
    entry = next(read(ledger.path))
    assert (entry["kind"], entry["answer"], entry["round"]) == ("rows", "Failure", 3)
    assert entry["refused"] == refused.reason
    assert entry["bytes"] == size(refused)
    assert entry["sha256"] == sha256(encode(refused)).hexdigest()


def test_every_answer_through_the_door_is_written_also_when_sites_answer_together(tmp_path: Path) -> None:
    from tests.contract.federations import sites, training
    from unpooled.training.protocols import FedDC

    members = sites([3, 4])
    for site in members:
        site.ledger = Ledger(tmp_path / f"{site.name}.jsonl")
    run = training(InProcess.of(members), FedDC(1, 2), steps=4)
    while not run.done:
        run.advance()
    for i, site in enumerate(members):
        assert site.ledger is not None
        entries = list(read(site.ledger.path))
        assert [e["kind"] for e in entries] == ["begin"] + ["train"] * 5
        counted = run.federation.traffic.table()[i]
        assert sum(e["bytes"] for e in entries) == counted[1]
        assert len(entries) == counted[0]
        assert verify(site.ledger.path, head=site.ledger.head) == 6


def test_with_pooling_the_rows_are_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.jsonl")
    site = Site("a", samples([[1.0, 2.0]], [0]), policy=Policy(allow_raw_data=True), ledger=ledger)
    handed = site.answer(Rows())
    assert next(read(ledger.path))["shape"] == {"X": [1, 2], "y": [1]}
    assert next(read(ledger.path))["sha256"] == sha256(encode(handed)).hexdigest()

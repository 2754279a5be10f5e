"""A site's ledger is held against what the coordinator wrote down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.federations import net, sites
from tests.network import AT_ONCE, MANY_FAULTS, network_of
from unpooled.errors import BadRecord
from unpooled.sites.answers import Answers, compare, read_answers
from unpooled.sites.ledger import Ledger, verify
from unpooled.sites.ledger import read as read_ledger
from unpooled.sites.policy import Policy
from unpooled.sites.questions import Failure
from unpooled.sites.summary import chosen, summarise
from unpooled.sites.transports.remote import Remote
from unpooled.training.coordinator import Coordinator
from unpooled.training.protocols import FedDC
from unpooled.training.questions import Rows, install
from unpooled.training.recipe import recipe
from unpooled.training.train import initialised


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs over a bad network, each with the coordinator's record; raw rows are asked for in between."""
    folder = tmp_path_factory.mktemp("trained")
    members = sites([5, 6])
    for site in members:
        site.policy = Policy()
    wanted = recipe(initialised(net, 0), lr=0.1, executor="reference")
    install(members, wanted)
    network = network_of(members, folder, MANY_FAULTS, seed=4)
    for run in ("first", "second"):
        heard = Answers(folder / "run" / "answers" / f"{run}.jsonl", run).heard
        remote = Remote(network, run, patience=AT_ONCE, heard=heard)
        coordinator = Coordinator(remote, wanted, FedDC(1, 3).exchange(), steps=7)
        while not coordinator.done:
            coordinator.local_phase()
            coordinator.exchange_models()
        remote.ask({"a": Rows()})
        coordinator.finish()
    network.close()
    return folder


def changed(path: Path, number: int, change: Callable[[dict[str, object]], None]) -> Path:
    """A ledger with a forged line: every hash after it is made anew, so that the chain is whole."""
    entries = list(read_ledger(path))
    change(entries[number])
    forged = Ledger(path.with_name("forged.jsonl"))
    for entry in entries:
        rest = {key: value for key, value in entry.items() if key not in ("previous", "hash")}
        forged.append(forged._next(rest))
    assert verify(forged.path) == len(entries)  # the chain alone shows nothing
    return forged.path


def test_what_left_is_what_the_coordinator_heard(trained: Path) -> None:
    told = read_answers(trained / "run")
    for site in ("a", "b"):
        path = trained / f"{site}.jsonl"
        sent = [line for line in read_ledger(path) if "refused" not in line]
        assert compare(path, told) == (len(sent), 0)
        assert len(sent) == len([key for key in told if key[0] == site]) - (2 if site == "a" else 0)


@pytest.mark.parametrize("name", ["sha256", "bytes", "kind"])
def test_a_forged_line_with_a_whole_chain_is_named(trained: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "a.jsonl"
    copy.write_bytes((trained / "a.jsonl").read_bytes())
    forged = changed(copy, 4, lambda line: line.update({name: 1 if name == "bytes" else "forged"}))
    with pytest.raises(
        BadRecord, match=rf"forged.jsonl, line 5 says {name} (1|forged) of question \d+ of run 'first', and"
    ):
        compare(forged, read_answers(trained / "run"))


def test_lines_that_were_cut_off_are_noticed(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.jsonl"
    copy.write_bytes(b"".join((trained / "a.jsonl").read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(copy) > 0
    with pytest.raises(
        BadRecord, match=r"The coordinator has an answer of site 'a' to question .* that is not in the ledger"
    ):
        compare(copy, read_answers(trained / "run"))


def test_an_answer_that_got_lost_is_no_lie(trained: Path) -> None:
    told = dict(read_answers(trained / "run"))
    del told["b", "first", 3]
    assert compare(trained / "b.jsonl", told)[1] == 1


def test_the_ledger_of_a_stranger_is_refused(trained: Path, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "old.jsonl", run="first")
    ledger.record(Rows(), Failure(code="Refused", reason="no."), round=None)
    with pytest.raises(BadRecord, match="has no answer of the site whose ledger is"):
        compare(ledger.path, read_answers(trained / "run"))


def test_the_coordinators_record_survives_a_kill_and_contradicts_nobody(tmp_path: Path, trained: Path) -> None:
    lines = (trained / "run" / "answers" / "first.jsonl").read_bytes()
    path = tmp_path / "answers" / "first.jsonl"
    path.parent.mkdir()
    path.write_bytes(lines + lines[:50])
    Answers(path, "first")
    assert path.read_bytes() == lines
    path.write_bytes(lines * 2)  # said again after a restart
    assert len(read_answers(tmp_path)) == len(lines.splitlines())
    liar = json.loads(lines.splitlines()[0])
    path.write_bytes(lines + json.dumps({**liar, "bytes": 1}).encode())
    with pytest.raises(BadRecord, match="says other than an earlier line about the same question"):
        read_answers(tmp_path)
    path.write_bytes(b"{}")
    with pytest.raises(BadRecord, match="line 1 is no answer: it was changed or cut"):
        read_answers(tmp_path)
    with pytest.raises(BadRecord, match=r"There is no answers/\*.jsonl in"):
        read_answers(tmp_path / "nowhere")


def test_sums_are_those_of_the_lines(trained: Path) -> None:
    lines = list(read_ledger(trained / "a.jsonl"))
    summary = summarise(lines)
    left = [line for line in lines if "refused" not in line]
    assert (summary.whole.answers, summary.whole.refused) == (len(left), len(lines) - len(left))
    assert len(lines) - len(left) >= 2  # one in each run, and its repeats
    assert summary.whole.bytes == sum(line["bytes"] for line in left)
    for sums in (summary.kinds, summary.runs, summary.days):
        assert sum(total.answers for total in sums.values()) == len(left)
        assert sum(total.bytes for total in sums.values()) == summary.whole.bytes
    assert summary.sites == ("a",)
    assert (summary.lines, summary.head) == (len(lines), lines[-1]["hash"])
    assert {line["kind"] for line in chosen(lines, kind="train")} == {"train"}
    assert len(chosen(lines, run="fir")) + len(chosen(lines, run="sec")) == len(lines)

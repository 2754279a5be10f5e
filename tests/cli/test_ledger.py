"""`unpooled ledger show|verify|report` and `unpooled policy`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.calls import Call
from tests.contract.federations import sites
from tests.network import network_of
from unpooled.sites.answers import Answers
from unpooled.sites.description import Describe
from unpooled.sites.policy import Policy
from unpooled.sites.transports.remote import Remote
from unpooled.training.questions import Rows


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A site that was asked twice, and once for its rows."""
    member = sites([12])[0]
    member.policy = Policy()
    network = network_of([member], tmp_path)
    remote = Remote(network, "trial", heard=Answers(tmp_path / "run" / "answers" / "facts.jsonl", "trial").heard)
    for question in (Describe(), Describe(), Rows()):
        remote.ask({"a": question}, round=3)
    network.agents["a"].handle(b"<script>alert(1)</script>")
    network.close()
    return tmp_path / "a.jsonl"


def test_show_tells_every_line_and_filters(ledger: Path, call: Call) -> None:
    shown = call("ledger", "show", ledger)
    assert shown.code == 0
    assert "describe 0" in shown.out
    assert "never hands out raw rows" in shown.out
    one = json.loads(call("ledger", "show", ledger, "--kind", "rows", "--format", "json").out)
    assert [(line["number"], line["site"], line["answer"]) for line in one] == [(2, "a", "Failure")]
    assert len(json.loads(call("ledger", "show", ledger, "--run", "tri", "--last", 2, "--format", "json").out)) == 2
    assert json.loads(call("ledger", "show", ledger, "--run", "other", "--format", "json").out) == []


def test_verify_holds_a_ledger_against_the_coordinators_record(ledger: Path, call: Call) -> None:
    run = ledger.parent / "run"
    good = call("ledger", "verify", ledger, "--record", run)
    assert good.out.strip().endswith(
        "4 lines, chain whole; 2 answers are those that the coordinator has, 0 never arrived there"
    )
    record = run / "answers" / "facts.jsonl"
    record.write_text(re.sub(r'"sha256": "[0-9a-f]{4}', '"sha256": "0000', record.read_text(), count=1))
    bad = call("ledger", "verify", ledger, "--record", run)
    assert bad.code == 2
    assert "line 1 says sha256" in bad.err
    assert "question 0 of run 'trial'" in bad.err


def test_report_is_one_page_or_plain_text_and_escapes_what_strangers_send(ledger: Path, call: Call) -> None:
    written = call("ledger", "report", ledger)
    page = Path(written.out.strip())
    assert page == ledger.with_suffix(".html")
    html = page.read_text(encoding="utf-8")
    assert "2 answers of" in html
    assert "2 refusals were written down" in html
    assert "How many samples the site holds" in html  # what the answer to `describe` tells
    assert "<script" not in html
    again = call("ledger", "report", ledger, "--out", ledger.parent / "again.html")
    assert Path(again.out.strip()).read_text(encoding="utf-8") == html
    policy = ledger.parent / "policy.toml"
    policy.write_text("min_samples = 7\n")
    text = call("ledger", "report", ledger, "--text", "--policy", policy).out
    assert "2 refusals were written down" in " ".join(text.split())
    assert re.search(r"Training samples needed\s+7 or more", text)
    assert max(map(len, text.splitlines())) <= 160


def test_a_ledger_that_was_changed_is_not_reported_on(ledger: Path, call: Call) -> None:
    ledger.write_bytes(ledger.read_bytes().replace(b'"describe"', b'"descripe"', 1))
    for command in ("show", "report", "verify"):
        told = call("ledger", command, ledger)
        assert told.code == 2
        assert "line 1 was changed" in told.err


def test_policy_prints_a_file_to_start_from_and_tells_its_rules(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(call("policy").out, encoding="utf-8")
    told = call("policy", path)
    assert (told.code, told.err) == (0, "")
    assert re.search(r"Raw rows\s+never leave", told.out)
    path.write_text("min_sample = 3\n")
    assert "Did you mean 'min_samples'?" in call("policy", path).err

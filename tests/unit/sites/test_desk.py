"""What a site keeps on its disk: one transaction a question, nothing twice, nothing without end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unpooled.errors import BadRecord, SiteFailed
from unpooled.sites.desk import LARGE, Desk, Work
from unpooled.sites.payload import encode
from unpooled.training.questions import Trained


def work(number: int, run: str = "run", answer: bytes = b"answer", **more: object) -> Work:
    return Work(run=run, number=number, question=b"question %d" % number, answer=answer, **more)  # type: ignore[arg-type]


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_an_answer_is_given_again_also_after_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.answer("run", 0, b"question 0") is None
    desk.write(work(0, answer=b"small"), 1)
    desk.write(work(1, answer=b"large" * LARGE), 1)
    for again in (desk, None):
        if again is None:
            desk.close()
            desk = Desk(tmp_path)
        assert desk.answer("run", 0, b"question 0") == b"small"
        assert desk.answer("run", 1, b"question 1") == b"large" * LARGE
        assert desk.answer("run", 2, b"question 2") is None
        assert desk.answer("another", 0, b"question 0") is None


def test_the_last_answers_are_kept_and_older_ones_say_that_the_run_went_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path, answers=2)
    for number in (0, 1, 5):
        desk.write(work(number), 1)
    assert desk.answer("run", 1, b"question 1") == b"answer"
    for number in (0, 3):  # 3 was never asked, and cannot be any more
        with pytest.raises(
            SiteFailed, match=f"question {number} came after question 5 was answered.*went on elsewhere"
        ):
            desk.answer("run", number, b"question")


def test_a_number_that_was_another_question_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(work(0), 1)
    with pytest.raises(BadRecord, match="it has answered another question 0 of this run"):
        desk.answer("run", 0, b"question one")


def test_state_counts_and_what_is_asked_again_come_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    secret = desk.kept("run").secret
    desk.write(work(0, again=True, parts={"model": b"m" * LARGE, "keys": b"k"}), secret)
    desk.write(
        work(1, again=True, parts={"keys": b"l"}, visits={"train": 3}, spent=0.5, facts={"sent": ["today", 7]}), secret
    )
    desk.close()
    desk = Desk(tmp_path)
    kept = desk.kept("run")
    assert kept.again == (b"question 0", b"question 1")
    assert kept.parts == {"model": b"m" * LARGE, "keys": b"l"}
    assert (kept.newest, kept.visits, kept.spent, kept.secret) == (1, {"train": 3}, 0.5, secret)
    assert desk.fact("sent") == ["today", 7]
    assert desk.fact("nothing") is None
    assert desk.kept("another").newest == -1
    assert desk.kept("another").secret != desk.kept("another").secret  # drawn until the run has begun


def test_what_was_spent_outlives_the_run_that_spent_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, runs=2)
    for name, spent in (("a", 0.5), ("b", 0.25), ("c", 1.0)):
        desk.write(work(0, run=name, spent=spent), 1)
    assert desk.runs() == ("b", "c")  # the one heard of least lately was forgotten
    assert desk.spent() == 1.75
    assert desk.spent(without="c") == 0.75
    desk.forget("b")
    desk.forget("b")
    desk.forget("never seen")
    assert (desk.runs(), desk.spent()) == (("c",), 1.75)


def test_the_disk_does_not_grow(tmp_path: Path) -> None:
    desk, rng = Desk(tmp_path, answers=3, runs=3), np.random.default_rng(0)
    sizes = []
    for number in range(60):
        state = rng.bytes(100_000)
        desk.write(work(number, run=f"run {number // 6}", answer=rng.bytes(100_000), parts={"model": state}), 1)
        sizes.append(folder_bytes(tmp_path / "slots"))
    assert max(sizes[18:]) <= max(sizes[:18])
    assert max(sizes) <= 3 * (3 + 1) * 100_000 + 2 * 100_000  # each run's answers and state, and what is being written
    assert (tmp_path / "desk.sqlite-wal").stat().st_size < 8_000_000
    for run in desk.runs():
        desk.forget(run)
    assert folder_bytes(tmp_path / "slots") == 0


def test_a_model_that_is_kept_and_sent_is_written_once(tmp_path: Path) -> None:
    row = np.random.default_rng(0).normal(size=50_000)
    answer = encode(Trained(loss=0.5, row=row))
    desk = Desk(tmp_path)
    desk.write(work(0, answer=answer, parts={"model": b"before" + row.tobytes() + b"behind"}), 1)
    assert folder_bytes(tmp_path / "slots") == row.nbytes + 12
    desk.write(
        work(1, answer=encode(Trained(loss=None, row=-row)), parts={"model": b"before" + (2 * row).tobytes()}), 1
    )
    assert desk.answer("run", 0, b"question 0") == answer  # also when the state has gone on
    assert desk.answer("run", 1, b"question 1") == encode(Trained(loss=None, row=-row))


def test_one_process_works_at_a_desk(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(BadRecord, match="another process works at it"):
        Desk(tmp_path)
    desk.close()
    Desk(tmp_path).close()


def test_a_folder_that_is_no_desk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "desk.sqlite").write_bytes(b"dear diary" * 1000)
    with pytest.raises(BadRecord, match="cannot be used"):
        Desk(tmp_path)


def test_a_run_cannot_set_a_site_up_without_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(100):
        desk.write(work(number, again=True), 1)
    with pytest.raises(SiteFailed, match="has set the site up 100 times"):
        desk.write(work(100, again=True), 1)
    desk.write(work(100), 1)

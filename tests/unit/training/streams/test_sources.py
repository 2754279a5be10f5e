"""Streams: what they draw, that reading them in pieces changes nothing, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams
from unpooled.training.streams import Disjunction, HiddenVariables
from unpooled.training.streams.source import Flow, Serial, Source, size
from unpooled.training.streams.table import TableStream, read_table, rounds_in

SOURCES: dict[str, Source] = {
    "disjunction": Disjunction(inputs=12, drift_every=300),
    "hidden": HiddenVariables(inputs=9, hidden=4, drift_probability=0.005),
}


def opened(source: Source, *, learners: int = 3, rounds: int = 700, batch: int | tuple[int, ...] = 1) -> Flow:
    return source.open(size(learners, rounds, batch), Streams(5))


@pytest.mark.parametrize("name", SOURCES)
def test_reading_in_pieces_gives_the_same_numbers(name: str) -> None:
    whole = opened(SOURCES[name]).block(0, 700)
    again = opened(SOURCES[name])
    for start, stop in ((699, 700), (0, 1), (250, 520), (255, 256), (256, 257)):
        for all_of, part in zip(whole, again.block(start, stop), strict=True):
            assert (all_of[start:stop] == part).all()


@pytest.mark.parametrize("name", SOURCES)
def test_a_longer_run_begins_like_a_shorter_one(name: str) -> None:
    short, long = opened(SOURCES[name], rounds=400), opened(SOURCES[name], rounds=900)
    assert (short.block(0, 400)[0] == long.block(0, 400)[0]).all()
    assert short.drifts == tuple(t for t in long.drifts if t < 400)


@pytest.mark.parametrize("name", SOURCES)
def test_learners_with_small_batches_have_empty_places(name: str) -> None:
    X, y = opened(SOURCES[name], batch=(1, 3, 2)).block(0, 50)
    assert X.shape[:3] == (50, 3, 3)
    assert (X[:, 0, 1:] == 0).all()
    assert (y[:, 0, 1:] == 0).all()
    assert (y[:, 2, 2] == 0).all()
    assert (np.abs(y[:, 1]) == 1).all()


def test_a_disjunction_of_four_literals_explains_every_label_between_drifts() -> None:
    flow = opened(Disjunction(drift_every=300))
    assert flow.drifts == (300, 600)
    literals = []
    for start, stop in ((0, 300), (300, 600), (600, 700)):
        X, y = flow.block(start, stop)
        bits, labels = X.reshape(-1, 51), y.reshape(-1)
        assert set(np.unique(bits)) == {0.0, 1.0}
        assert (bits[:, -1] == 1).all()
        always_negative = [j for j in range(50) if not (bits[labels < 0, j] == 1).any()]
        literals.append(always_negative)
        assert len(always_negative) == 4
        assert ((bits[:, always_negative].any(axis=1)) == (labels > 0)).all()
    assert literals[0] != literals[1]
    X, y = flow.block(0, 700)
    assert abs((y > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(y.size)
    ones = X[..., :-1].mean()
    assert abs(ones - (1 - 2**-0.25)) < 5 * 0.5 / np.sqrt(X[..., :-1].size)


def test_inputs_of_the_hidden_model_agree_with_the_label_as_their_bits_and_flips_say() -> None:
    flow = opened(HiddenVariables(drift_probability=0.0), learners=40)
    assert flow.drifts == ()
    X, y = flow.block(0, 700)
    concept = flow.concepts[0]  # type: ignore[attr-defined]
    q, flip = concept.agree[concept.of], concept.flip
    agree = q * (1 - flip) + (1 - q) * flip
    expected = concept.sign * (2 * agree - 1)  # the mean of y x
    found = (X * y[..., None]).mean(axis=(0, 1, 2))
    assert np.abs(found - expected).max() < 5 / np.sqrt(y.size)
    assert abs(y.mean()) < 5 / np.sqrt(y.size)
    assert ((concept.agree > 0.05) & (concept.agree < 0.95)).all()


def test_drifts_at_random_come_at_about_their_rate() -> None:
    drifts = HiddenVariables(inputs=2, hidden=1, drift_probability=0.01).open(size(1, 40_000), Streams(1)).drifts
    assert abs(len(drifts) - 400) < 100  # five standard deviations


def test_a_serial_learner_sees_round_by_round_learner_by_learner() -> None:
    flow = opened(SOURCES["disjunction"], batch=2)
    X, y = flow.block(0, 700)
    serial = Serial(flow)
    assert serial.size.rounds == 2100
    assert serial.drifts == (900, 1800)
    for start, stop in ((0, 7), (5, 6), (1000, 1301)):
        found, labels = serial.block(start, stop)
        for k in range(start, stop):
            assert (found[k - start, 0] == X[k // 3, k % 3]).all()
            assert (labels[k - start, 0] == y[k // 3, k % 3]).all()


ROWS = np.arange(24.0)[:, None] * np.array([1.0, 2.0]) + np.array([0.0, 5.0])
LABELS = np.arange(24) % 2


def test_round_robin_deals_the_table_in_its_order() -> None:
    flow = TableStream(ROWS, LABELS, scale="none").open(size(3, 4, 2), Streams(0))
    X, y = flow.block(0, 4)
    assert X[0, 0, 0].tolist() == [0, 5, 1]
    assert X[0, :, 0, 0].tolist() == [0, 1, 2]
    assert X[0, :, 1, 0].tolist() == [3, 4, 5]
    assert X[1, 2, 1, 0] == 11
    assert y[0, :, 0].tolist() == [-1, 1, -1]


def test_blocks_give_each_learner_a_stretch() -> None:
    X, _ = TableStream(ROWS, LABELS, deal="blocks", scale="none").open(size(3, 8), Streams(0)).block(0, 8)
    for learner in range(3):
        assert X[:, learner, 0, 0].tolist() == list(range(8 * learner, 8 * learner + 8))


def test_prequential_scaling_uses_earlier_rounds_only() -> None:
    X, _ = TableStream(ROWS, LABELS).open(size(3, 8), Streams(0)).block(0, 8)
    assert X[0, :, 0, 0].tolist() == [0, 1, 2]
    past = ROWS[:15]  # rounds 0 to 4 of 3 learners
    expected = (ROWS[15:18] - past.mean(axis=0)) / past.std(axis=0)
    np.testing.assert_allclose(X[5, :, 0, :2], expected, rtol=1e-10)
    changed = ROWS.copy()
    changed[18:] *= 7
    later, _ = TableStream(changed, LABELS).open(size(3, 8), Streams(0)).block(0, 8)
    assert (later[:6] == X[:6]).all()


def test_the_first_rounds_scale_all_and_what_does_not_vary_is_left_alone() -> None:
    table = np.concatenate([ROWS, np.full((24, 1), 0.1)], axis=1)
    X, _ = TableStream(table, LABELS, scale="first").open(size(3, 8), Streams(0)).block(0, 8)
    assert abs(X[..., 0].mean()) < 1e-12
    assert X[..., 0].std() == pytest.approx(1)
    assert np.abs(X[..., 2]).max() < 1e-12
    for scale in ("first", "prequential"):
        jump = table.copy()
        jump[20:, 2] = 0.4
        late, _ = TableStream(jump, LABELS, scale=scale).open(size(1, 24), Streams(0)).block(0, 24)  # type: ignore[arg-type]
        assert np.abs(late[20, 0, 0, 2]) < 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Disjunction(inputs=3), "literals must not exceed inputs"),
        (lambda: Disjunction(drift_every=0), "drift_every"),
        (lambda: HiddenVariables(drift_probability=1.0), "drift_probability must lie in"),
        (lambda: size(3, 5, (1, 2)), "2 numbers for 3 learners"),
        (lambda: size(3, 0), "rounds"),
        (lambda: TableStream(ROWS, LABELS, deal="round robin"), "Did you mean 'round_robin'"),  # type: ignore[arg-type]
        (lambda: TableStream(ROWS, np.zeros(24)), "the table has 1"),
        (lambda: TableStream(ROWS, LABELS[:3]), "shapes"),
        (lambda: TableStream(ROWS * np.nan, LABELS), "missing or infinite"),
        (lambda: TableStream(ROWS, LABELS).open(size(3, 9), Streams(0)), "come to 8 rounds, not 9"),
        (lambda: TableStream(ROWS, LABELS).open(size(2, 2, (1, 2)), Streams(0)), "one size"),
    ],
)
def test_what_is_refused(make: object, words: str) -> None:
    with pytest.raises((BadSetting, BadData), match=words):
        make()  # type: ignore[operator]


def test_a_csv_becomes_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("a,b,day,up\n1,2,mon,no\n3,4,tue,yes\n5,6,wed,no\n", encoding="utf-8")
    with pytest.raises(BadData, match="column 'day' holds no numbers"):
        read_table(path, "up")
    with pytest.raises(BadData, match=r"no column 'upp'.*'up'"):
        read_table(path, "upp")
    with pytest.raises(BadData, match="cannot be read"):
        read_table(tmp_path / "none.csv", "up")
    source = read_table(path, "up", drop=("day",), scale="none")
    X, y = source.open(size(1, rounds_in(3, 1)), Streams(0)).block(0, 3)
    assert X[:, 0, 0].tolist() == [[1, 2, 1], [3, 4, 1], [5, 6, 1]]
    assert y[:, 0, 0].tolist() == [-1, 1, -1]
    assert source.label == "prices"

"""What the statistic questions tell, and what they must not."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unpooled.errors import BadData
from unpooled.sites.description import describe_sites
from unpooled.sites.federation import ask_all
from unpooled.sites.ledger import Ledger, verify
from unpooled.sites.loading import from_frame, load_sites, read_sites
from unpooled.sites.payload import decode, encode, size
from unpooled.sites.policy import Policy
from unpooled.sites.preparation import prepare
from unpooled.sites.questions import KINDS, Answer, Question
from unpooled.sites.schema import Target, in_order, number, text
from unpooled.sites.site import Site, samples
from unpooled.sites.splitting import split
from unpooled.sites.statistics import Columns, ColumnsAnswer, Moments, MomentsAnswer
from unpooled.sites.transports.in_process import InProcess

KINDS_HERE = ("columns", "split", "categories", "moments", "describe", "prepare")


class Recording(InProcess):
    """Keeps every message that passes the door."""

    def ask(self, questions: Any, **settings: Any) -> Any:
        answers = super().ask(questions, **settings)
        self.log: list[tuple[Question, Answer]] = [
            *getattr(self, "log", []),
            *((questions[n], answers[n]) for n in answers),
        ]
        return answers


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "b": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
            "c": np.resize(["red", "blue", "green"], rows),
            "y": np.resize(["no", "yes"], rows),
        }
    )


def ask_everything(rows: int) -> list[tuple[Question, Answer]]:
    sites, _ = read_sites({"a": frame(rows), "b": frame(rows, 1)})
    federation = Recording.of(sites)
    assert isinstance(federation, Recording)
    prepare(federation, target="y", test_fraction=0.25)
    describe_sites(federation)
    return federation.log


def test_answers_do_not_grow_with_the_number_of_rows() -> None:
    few, many = ask_everything(40), ask_everything(4000)
    assert {question.kind for question, _ in few} == set(KINDS_HERE)
    assert [size(answer) for _, answer in few] == [size(answer) for _, answer in many]
    for _, answer in many:
        for field in fields(answer):
            value = getattr(answer, field.name)
            assert not isinstance(value, (np.ndarray, tuple)) or len(value) <= 4  # columns at most


def test_messages_survive_the_wire() -> None:
    for question, answer in ask_everything(20):
        for sent, got in (
            (question, decode(encode(question))),
            (answer, decode(encode(answer), answer_to=type(question))),
        ):
            assert type(sent) is type(got)
            for field in fields(sent):
                there, here = getattr(got, field.name), getattr(sent, field.name)
                if isinstance(here, np.ndarray):
                    assert there.dtype == here.dtype
                    there, here = there.tolist(), here.tolist()
                assert there == here


def test_every_kind_is_registered_and_its_traffic_counted() -> None:
    federation = load_sites({"a": frame(20), "b": frame(30)}, target="y")
    describe_sites(federation)
    assert set(KINDS_HERE) <= set(KINDS)
    for kind in KINDS_HERE:
        up_messages, up_bytes, down_messages, _ = federation.traffic.table([kind])[0]
        assert up_messages == down_messages > 0
        assert up_bytes > 0


@pytest.mark.parametrize("kind", KINDS_HERE[:-2])
def test_a_policy_can_refuse_each_kind(kind: str) -> None:
    sites, _ = read_sites({"a": frame(20), "b": frame(20)})
    sites[1].policy = Policy(kinds=frozenset(KINDS_HERE) - {kind})
    with pytest.raises(PermissionError, match=f"Site 'b': the policy does not allow the question '{kind}'"):
        prepare(InProcess.of(sites), target="y")


def test_the_ledger_of_a_site_holds_every_statistic(tmp_path: Any) -> None:
    sites, _ = read_sites({"a": frame(20), "b": frame(20)})
    sites[0].ledger = Ledger(tmp_path / "a.jsonl")
    federation = InProcess.of(sites)
    prepare(federation, target="y")
    assert verify(tmp_path / "a.jsonl") == federation.traffic.table()[0, 0]


def test_an_example_leaves_a_site_only_for_columns_asked_for() -> None:
    federation = InProcess.of(read_sites({"a": frame(20)})[0])
    plain = ask_all(federation, Columns(), ColumnsAnswer)["a"]
    assert plain.examples == ()
    assert plain.types == ("number", "number", "text", "text")
    assert plain.missing.tolist() == [0, int(frame(20)["b"].isna().sum()), 0, 0]
    asked = ask_all(federation, Columns(examples_of=("a", "c")), ColumnsAnswer)["a"]
    assert asked.examples == (("c", "'red' in row 1"),)


def test_identifiers_do_not_leave_a_site() -> None:
    names = pd.DataFrame({"name": [f"patient {i}" for i in range(200)], "v": range(200), "y": [0, 1] * 100})
    federation = Recording.of(read_sites({"a": names})[0])
    assert isinstance(federation, Recording)
    with pytest.raises(BadData, match=r"Column 'name' holds more than 100 different texts.*drop=\['name'\]"):
        prepare(federation, target="y")
    assert not any("patient" in repr(answer) for _, answer in federation.log)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2], "integer"),
        ([1.0, 2.0, None], "integer"),
        ([1.5, None], "number"),
        (["1", "2.5"], "number"),
        ([True, False], "bool"),
        ([True, None], "bool"),
        (["a", None], "text"),
        (["1_000", "b"], "text"),
        (["1", "a"], "mixed"),
        ([None, None], "empty"),
        (["?", " NA "], "empty"),
        (["None", "null"], "text"),
    ],
)
def test_types_are_inferred(cells: list[Any], kind: str) -> None:
    assert from_frame(pd.DataFrame({"c": cells})).type_of("c") == kind


def columns(**sites: list[Any]) -> dict[str, pd.DataFrame]:
    return {
        name: pd.DataFrame({"c": cells, "d": range(len(cells)), "y": np.resize([0, 1], len(cells))})
        for name, cells in sites.items()
    }


def test_whole_numbers_at_one_site_and_fractions_at_another_are_numbers() -> None:
    federation = load_sites(columns(a=[1, 2], b=[0.5, 1.5]), target="y", scale=False)
    assert federation["a"].require_train().X[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("cells", "features"), [([1, 2], ("c", "d")), (["u", "v"], ("c=u", "c=v", "c=(missing)", "d"))]
)
def test_a_site_that_misses_a_column_has_no_say_in_its_type(cells: list[Any], features: tuple[str, ...]) -> None:
    federation = load_sites(columns(a=cells, b=[None, None]), target="y")
    assert federation.schema is not None
    assert federation.schema.features == features
    assert federation.schema.warnings == ("Column 'c' is missing entirely at 'b': the federated value stands in.",)


def test_a_column_missing_everywhere_is_left_out_with_a_warning() -> None:
    federation = load_sites(columns(a=[None, None], b=[None, "?"]), target="y")
    assert federation.schema is not None
    assert federation.schema.features == ("d",)
    assert federation.schema.warnings == ("Column 'c' is missing at every site: it was left out.",)


def test_codes_are_numbers_unless_named_categorical() -> None:
    data = columns(a=[1, 3, 3], b=["10", "2+", "3"])
    with pytest.raises(BadData, match=r"Site 'b', column 'c': '2\+' in row 2 is text where numbers belong"):
        load_sites(data, target="y")
    federation = load_sites(data, target="y", categorical=["c"])
    assert federation.schema is not None
    assert federation.schema.features == ("c=1", "c=10", "c=2+", "c=3", "d")


def test_bools_are_categories_and_do_not_mix_with_numbers() -> None:
    federation = load_sites(columns(a=[True, False], b=[True, True]), target="y")
    assert federation.schema is not None
    assert federation.schema.features == ("c=False", "c=True", "d")
    with pytest.raises(BadData, match=r"Site 'a', column 'c': 'True' in row 1 is True/False where numbers belong"):
        load_sites(columns(a=[True, False], b=[0, 1]), target="y")


def test_moments_need_the_split_first() -> None:
    federation = InProcess.of(read_sites({"a": frame(20)})[0])
    with pytest.raises(BadData, match="Site 'a': its rows are not yet split: ask `split` first"):
        ask_all(federation, Moments(columns=("a",)), MomentsAnswer)


def test_statistics_of_arrays_ready_for_learning_are_refused() -> None:
    federation = InProcess.of([Site("a", samples([[0.0]], [1]))])
    with pytest.raises(BadData, match="holds no raw table"):
        ask_all(federation, Columns(), ColumnsAnswer)


def test_describe_counts_classes_by_name() -> None:
    described = describe_sites(load_sites({"a": frame(8), "b": frame(4)}, target="y", test_fraction=0.25))
    assert described.columns.tolist() == ["site", "train", "test", "no", "yes"]
    assert described.to_numpy().tolist() == [["a", 6, 2, 3, 3], ["b", 3, 1, *described.iloc[1, 3:]]]
    assert described.iloc[1, 3:].sum() == 3


def test_describe_tells_the_mean_of_a_regression_target() -> None:
    described = describe_sites(load_sites({"a": (np.eye(2), np.array([1.5, 2.0]))}))
    assert described.to_dict("records") == [{"site": "a", "train": 2, "test": 0, "mean": 1.75}]


def test_describe_without_a_schema_numbers_the_classes() -> None:
    sites = [Site("a", samples([[0.0]], [0])), Site("b", samples([[0.0]], [2]))]
    assert describe_sites(InProcess.of(sites)).to_numpy().tolist() == [
        ["a", 1, 0, 1, 0, 0],
        ["b", 1, 0, 0, 0, 1],
    ]
    with pytest.raises(BadData, match="class numbers run from -1 to -1"):
        describe_sites(InProcess.of([Site("a", samples([[0.0]], [-1]))]))


def test_describe_of_a_split_set_has_a_column_for_a_class_that_no_site_holds() -> None:
    described = describe_sites(split(np.eye(50), np.r_[np.zeros(49, int), 1], sites=2, samples=1, seed=0))
    assert described.columns.tolist() == ["site", "train", "test", "0", "1"]


@given(st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_a_cell_is_written_alike_as_value_and_as_text(cell: float | bool) -> None:
    written = text(cell)
    assert written is not None
    assert text(written) == text(f" {written} ") == written
    if not isinstance(cell, bool):
        assert number(written) == cell


@given(st.lists(st.integers(-50, 50).map(str)))
def test_numbers_are_put_in_numeric_order(values: list[str]) -> None:
    assert [int(v) for v in in_order(values)] == sorted({int(v) for v in values})


def test_a_column_whose_name_looks_like_a_comparison_is_a_column() -> None:
    assert Target.parse("a > 1", ["a", "a > 1"]) == Target("a > 1")
    assert Target.parse("a >= 1.5", ["a"]) == Target("a", ">=", "1.5")
    assert Target.parse("a b==x y", ["a b"]).levels == ("a b != x y", "a b == x y")

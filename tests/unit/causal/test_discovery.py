"""From tables to a graph: what is agreed, what is refused, what left, and how sure edges are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import unpooled as up
from unpooled.causal.discovery import Support, compare_graphs, open_sites
from unpooled.causal.discovery.agreement import agree, prepare, release
from unpooled.causal.discovery.support import DrawnSites
from unpooled.causal.generators import Intervention, LinearGaussian
from unpooled.causal.graphs import PDAG, class_of
from unpooled.causal.variables import frame_at
from unpooled.errors import BadData, BadSetting, Refused, UnpooledError
from unpooled.sites.loading import read_sites
from unpooled.sites.policy import Policy
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess

DAG = PDAG.from_edges(["age", "dose", "pain", "sleep"], arrows=[("age", "pain"), ("dose", "pain"), ("pain", "sleep")])


def tables(*rows: int) -> dict[str, pd.DataFrame]:
    """One law at every site."""
    model = LinearGaussian.random(DAG, np.random.default_rng(1))
    return {f"site{i}": model.sample(n, np.random.default_rng(i + 2)) for i, n in enumerate(rows)}


def federation(sites: dict[str, pd.DataFrame]) -> InProcess:
    found = open_sites(sites)
    assert isinstance(found, InProcess)
    return found


def test_pooled_rows_give_the_class_of_the_graph_that_made_them() -> None:
    found = up.discover(tables(800, 400), method="ges", pooled=True)
    assert found.graph == class_of(DAG)
    assert found.edges[["from", "mark", "to"]].to_numpy().tolist() == [list(edge) for edge in found.graph.edges()]
    assert found.unit == "nats"
    assert np.allclose(found.edges["gain"], found.edges["gain at site0"] + found.edges["gain at site1"])
    assert (found.edges["gain at site0"] > found.edges["gain at site1"]).all()  # twice the rows


def test_where_the_tables_come_from_makes_no_difference(tmp_path: Path) -> None:
    sites = tables(300, 200)
    whole = pd.concat([table.assign(clinic=name) for name, table in sites.items()], ignore_index=True)
    folder = tmp_path / "clinics"
    folder.mkdir()
    for name, table in sites.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.17g")
    whole.to_csv(tmp_path / "all.csv", index=False, float_format="%.17g")
    given = [
        (sites, {}),
        (folder, {}),
        (whole, {"site": "clinic"}),
        (tmp_path / "all.csv", {"site": "clinic"}),
        (whole, {"environment": "clinic"}),
    ]
    found = [up.discover(source, method="ges", pooled=True, **settings) for source, settings in given]
    for other in found[1:]:
        pd.testing.assert_frame_equal(other.edges, found[0].edges)


def test_one_site_may_hold_several_environments() -> None:
    table = pd.concat([t.assign(drug=name) for name, t in tables(100, 80).items()], ignore_index=True)
    whole = read_sites({"berlin": table, "rome": table.assign(drug="none")})[0]
    assert [site.name for site in open_sites(whole, environment="drug")] == [  # type: ignore[attr-defined]
        "berlin/site0",
        "berlin/site1",
        "rome/none",
    ]


def test_peri_is_what_happens_unless_told_otherwise() -> None:
    sites = tables(400, 300, 200)
    found = up.discover(sites)
    assert found.graph == class_of(DAG)
    assert set(found.disclosed[found.disclosed["phase"] == "search"]["kind"]) == {"columns", "announce", "regrets"}
    assert "rows" not in set(found.disclosed["kind"])
    supported = up.discover(sites, bootstrap=3, bootstrap_over="sites", seed=2)
    assert (supported.edges["support"] == 1.0).all()


def test_orion_finds_where_parents_are_cut_and_globe_directs_one_table() -> None:
    rng = np.random.default_rng(5)

    def sampled(cut: bool) -> pd.DataFrame:
        x = rng.uniform(-2, 2, 300)
        return pd.DataFrame({"x": x, "y": (0.0 if cut else 2.0) * x**3 + rng.normal(size=300)})

    found = up.discover({"a": sampled(False), "b": sampled(False), "c": sampled(True)}, method="orion")
    assert found.graph.edges() == [("x", "->", "y")]
    assert found.unit == "bits"
    assert found.targets[["site", "variable", "type"]].to_numpy().tolist() == [["c", "y", "hard: without x"]]
    assert found.edges["gain at a"][0] > 0 == found.edges["gain at c"][0]
    alone = up.discover(sampled(False), method="globe", bootstrap=2)
    assert alone.graph.edges() == [("x", "->", "y")]
    assert alone.edges["direction"].tolist() == [1.0]


@pytest.mark.parametrize("level", ["C", "D"])
def test_combined_says_what_differs_where(level: str) -> None:
    model = LinearGaussian.random(DAG, np.random.default_rng(1))
    changed = model.intervene({"pain": Intervention("hard")}, np.random.default_rng(2))
    laws = {"a": model, "b": model, "c": model, "d": changed}
    sites = {name: law.sample(500, np.random.default_rng(i)) for i, (name, law) in enumerate(laws.items())}
    found = up.discover(sites, method="combined", reference="a", level=level)
    assert ("age", "->", "pain") in found.graph.edges()
    assert ("d", "pain", "hard") in set(found.targets[["site", "variable", "type"]].itertuples(index=False, name=None))
    assert found.partitions["pain"] == (("a", "b", "c"), ("d",))
    assert found.edges["gain at a"].notna().all()
    assert "rows" not in set(found.disclosed["kind"])
    with pytest.raises(BadSetting, match="none can stand twice"):
        up.discover(sites, method="combined", bootstrap=2, bootstrap_over="sites")


def test_what_is_to_be_hidden_is_not_asked_for_afterwards() -> None:
    found = up.discover(tables(400, 300), noise=2.0, clip=500.0)
    assert "edge_gains" not in set(found.disclosed["kind"])
    assert any("epsilon" in warning for warning in found.warnings)
    with pytest.raises(BadSetting, match="are for method='peri'"):
        up.discover(tables(100), method="ges", noise=1.0)


def test_a_site_keeps_its_rows_as_they_were_after_a_discovery() -> None:
    site = Site("here", state={"table": read_sites({"x": tables(50)["site0"]})[0][0].state["table"]})
    before = site.state["table"]
    up.discover(site, method="ges", log=False, bootstrap=2)
    assert site.state == {"table": before}


def test_only_a_graph_and_gains_leave_the_only_site() -> None:
    found = up.discover(tables(200)["site0"], method="ges")
    assert set(found.disclosed["kind"]) == {"columns", "variables", "local_search", "edge_gains"}
    assert found.disclosed["bytes"].sum() < 1000
    without = up.discover(tables(200)["site0"], method="ges", gains=False)
    assert "edge_gains" not in set(without.disclosed["kind"])
    assert without.edges["gain"].isna().all()


def test_pooling_is_counted_as_what_it_is() -> None:
    found = up.discover(tables(200, 100), method="ges", pooled=True)
    rows = found.disclosed[found.disclosed["kind"] == "rows"]
    assert rows["bytes"].tolist() == [200 * 4 * 8, 100 * 4 * 8]


def test_rows_are_pooled_only_where_that_is_asked_for_and_allowed() -> None:
    with pytest.raises(BadSetting, match=r"'ges' is of one table, and there are 2 sites: use method="):
        up.discover(tables(50, 50), method="ges")
    guarded = [Site(s.name, state=s.state, policy=Policy()) for s in federation(tables(50, 50))]
    with pytest.raises(Refused, match="Site 'site0': the policy never hands out raw rows"):
        up.discover(guarded, method="ges", pooled=True)


def test_background_knowledge_directs_lines() -> None:
    chain = PDAG.from_edges("abc", arrows=[("a", "b"), ("b", "c")])
    table = LinearGaussian.random(chain, np.random.default_rng(0)).sample(500, np.random.default_rng(1))
    assert len(up.discover(table, method="ges").graph.edges()) == 2
    assert up.discover(table, method="ges").graph.undirected.any()
    assert up.discover(table, method="ges", tiers={"a": 0, "b": 1, "c": 2}).graph == chain
    assert up.discover(table, method="ges", required=[("a", "b")]).graph == chain


def test_categories_are_scored_as_categories() -> None:
    rng = np.random.default_rng(3)
    ill = rng.random(600) < 0.4
    cough = np.where(ill, rng.random(600) < 0.9, rng.random(600) < 0.2)
    table = pd.DataFrame({"ill": np.where(ill, "yes", "no"), "cough": cough, "coin": rng.integers(0, 2, 600)})
    found = up.discover(table, method="ges")
    assert found.found.score == "discrete_bic"
    assert found.graph.edges() == [("ill", "--", "cough")]
    assert up.discover(table, method="ges", score="bdeu").graph == found.graph
    numbered = pd.DataFrame({"ill": ill.astype(int), "cough": cough.astype(int)})
    assert up.discover(numbered, method="ges", score="bdeu").graph.edges() == [("ill", "--", "cough")]


BAD: dict[str, tuple[dict[str, pd.DataFrame], dict[str, object], str]] = {}
GOOD = tables(60, 60)
BAD["a column missing at one site"] = (
    {**GOOD, "site1": GOOD["site1"].drop(columns="dose"), "site2": GOOD["site0"]},
    {},
    "Site 'site1' lacks column 'dose', compared with site 'site0': rename",
)
BAD["text where others have numbers"] = (
    {**GOOD, "site1": GOOD["site1"].assign(dose="high")},
    {},
    "Site 'site1', column 'dose': 'high' in row 1 is text where numbers belong",
)
BAD["a category coded differently"] = (
    {
        "site0": GOOD["site0"].assign(sex=["m", "f"] * 30),
        "site1": GOOD["site1"].assign(sex=["male", "female"] * 30),
    },
    {},
    "Site 'site0', column 'sex': its values 'f', 'm' are none of those at the other sites, 'female', 'male'",
)
BAD["one row"] = ({**GOOD, "site1": GOOD["site1"].head(1)}, {}, "Site 'site1': it has 1 complete row, and 2 at least")
BAD["a missing value"] = (
    {**GOOD, "site1": GOOD["site1"].mask(np.eye(60, 4, k=-5) > 0)},
    {},
    "Site 'site1': column 'age' lacks 1 of 60 values: fill them in",
)
BAD["an infinite value"] = ({"site0": GOOD["site0"].assign(age=np.inf)}, {}, "column 'age' is infinite")
BAD["one variable"] = ({"site0": GOOD["site0"][["age"]]}, {}, "at least two variables, got 'age'")
BAD["sites drawn of one"] = (
    {"site0": GOOD["site0"]},
    {"bootstrap": 2, "bootstrap_over": "sites"},
    "have to be several",
)
BAD["no logarithm"] = (GOOD, {"log": True}, "holds values of 0 or less, which have no logarithm")
BAD["a score that does not fit"] = (
    GOOD,
    {"score": "bdeu"},
    "The score 'bdeu' is not of numbers, which the data hold",
)
BAD["a score of another method"] = (GOOD, {"score": "mdl"}, "The score 'mdl' is not one of method 'ges': use 'bic'")
BAD["numbers and categories"] = (
    {"site0": GOOD["site0"].assign(sex=["m", "f"] * 30)},
    {"score": "aic"},
    "The score 'aic' is not of numbers and categories, which the data hold: use 'bic'",
)
BAD["an unknown method"] = (GOOD, {"method": "gse"}, "There is no method 'gse'; there are")
BAD["an unknown score"] = (GOOD, {"score": "bicc"}, "Did you mean 'bic'?")
BAD["an unknown reference"] = (GOOD, {"reference": "site7"}, "reference names 'site7', which is no site. Did you mean")
BAD["an unknown column to drop"] = (GOOD, {"drop": ["dos"]}, "There is no column 'dos' (drop). Did you mean 'dose'?")
BAD["an unknown category"] = (GOOD, {"categorical": ["dos"]}, "categorical names 'dos', which is no column. Did you")
BAD["a category with fractions"] = (GOOD, {"categorical": ["dose"]}, "or numbers with fractions, which is no category")
BAD["knowledge of no column"] = (
    GOOD,
    {"required": [("agee", "pain")]},
    "'agee', which is no column. Did you mean 'age'",
)
BAD["knowledge that denies itself"] = (
    GOOD,
    {"required": [("pain", "age"), ("age", "pain")]},
    "The required arrows form a cycle",
)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case: str) -> None:
    sites, settings, says = BAD[case]
    with pytest.raises(UnpooledError) as caught:
        up.discover(sites, **{"method": "ges", "pooled": True, **settings})  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_that_lack_a_value_may_be_left_out() -> None:
    sites = {"site0": GOOD["site0"].mask(np.eye(60, 4) > 0)}
    found = up.discover(sites, method="ges", missing="drop")
    assert dict(found.found.agreed.rows) == {"site0": 56}
    assert "Site 'site0': 4 rows that lack a value were left out; 56 are used." in found.warnings


def test_few_rows_and_columns_without_information_are_told() -> None:
    table = GOOD["site0"].head(10).assign(copy=lambda t: 2 * t["age"] + 1, fixed=3.0)
    warnings = " ".join(up.discover(table, method="ges").warnings)
    assert "has 10 rows for 6 variables" in warnings
    assert "'fixed' never varies there" in warnings
    assert "'copy' is a linear function of the columns before it" in warnings


def test_codes_of_which_no_site_holds_all_are_told() -> None:
    sites = {"a": pd.DataFrame({"x": [0, 1] * 10, "y": [0, 0, 1, 1] * 5})}
    sites["b"] = sites["a"] + [1, 0]
    agreed = agree(federation(sites))
    assert agreed.warnings[0] == "No site holds all values of 'x', '0', '1', '2': is it coded alike everywhere?"


def test_logarithms_are_taken_at_the_site() -> None:
    sites = federation({name: np.exp(table) for name, table in tables(40, 30).items()})
    agree(sites, log=["age", "pain"])
    raw = tables(40, 30)["site1"]
    assert np.allclose(frame_at(sites["site1"]), raw.assign(dose=np.exp(raw["dose"]), sleep=np.exp(raw["sleep"])))


def test_drawn_rows_are_rows_and_the_same_number_draws_the_same_ones() -> None:
    sites = federation(tables(40, 30))
    agreed = agree(sites)
    whole = frame_at(sites["site0"])

    def drawn(number: int) -> pd.DataFrame:
        prepare(sites, agreed.variables, draw=number, seed=7)
        return frame_at(sites["site0"])

    first, second = drawn(0), drawn(1)
    assert len(first) == len(whole)
    assert set(first["age"]) < set(whole["age"])
    assert not first.equals(second)
    assert drawn(0).equals(first)
    release(sites)
    assert agree(sites).rows["site0"] == 40


def test_support_is_the_share_of_repetitions() -> None:
    a_to_b, b_to_a = PDAG.from_edges("abc", [("a", "b")]), PDAG.from_edges("abc", [("b", "a"), ("b", "c")])
    line = PDAG.from_edges("abc", [("b", "c")], [("a", "b")])
    support = Support.of([a_to_b, a_to_b, b_to_a, line])
    assert support.edge(0, 1) == 1.0
    assert support.marked(0, 1, "->") == 0.5
    assert support.marked(1, 0, "--") == 0.25
    assert support.stable(0.5).edges() == [("a", "->", "b"), ("b", "->", "c")]
    assert support.stable(0.6).edges() == [("a", "--", "b")]


def test_a_stable_graph_has_no_cycle() -> None:
    ways = [[("a", "b"), ("b", "c")], [("b", "c"), ("c", "a")], [("c", "a"), ("a", "b")]]
    support = Support.of([PDAG.from_edges("abc", arrows) for arrows in ways])
    assert sorted(mark for _, mark, _ in support.stable(0.6).edges()) == ["--", "->", "->"]


@pytest.mark.parametrize("over", ["rows", "sites"])
def test_the_bootstrap_repeats_the_search(over: str) -> None:
    found = up.discover(tables(400, 300), method="ges", pooled=True, bootstrap=4, bootstrap_over=over, seed=1)  # type: ignore[arg-type]
    assert found.support is not None
    assert found.support.repetitions == 4
    true = class_of(DAG).skeleton
    assert (found.edges["support"] == 1.0).all()
    assert found.support.stable(1.0).skeleton.tolist() == true.tolist()
    again = up.discover(tables(400, 300), method="ges", pooled=True, bootstrap=4, bootstrap_over=over, seed=1)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(again.edges, found.edges)


def test_a_site_that_is_drawn_twice_answers_twice() -> None:
    sites = federation(tables(20, 20))
    drawn = DrawnSites(sites, ["site1", "site1"])
    assert drawn.names == ("site1", "site1 (2)")
    assert agree(drawn).rows == {"site1": 20, "site1 (2)": 20}
    assert sites.traffic.table()[0].sum() == 0
    assert sites.traffic.table()[1, 0] == 3  # back to the raw table, columns, variables: each once


def test_two_graphs_are_compared_edge_by_edge() -> None:
    truth = PDAG.from_edges("abcd", [("a", "b"), ("b", "c"), ("c", "d")])
    found = PDAG.from_edges("dabc", [("b", "a"), ("b", "c"), ("a", "d")], [])
    table = compare_graphs(truth, found)
    verdicts = {(row["from"], row["to"]): row["verdict"] for _, row in table.edges.iterrows()}
    assert verdicts == {
        ("a", "b"): "other direction",
        ("b", "c"): "same",
        ("c", "d"): "missing",
        ("a", "d"): "extra",
    }
    assert table.numbers["shd"] == 3
    assert table.numbers["edge recall"] == pytest.approx(2 / 3)
    with pytest.raises(BadData, match="the reference lacks e"):
        compare_graphs(truth, PDAG.from_edges("abcde", []))

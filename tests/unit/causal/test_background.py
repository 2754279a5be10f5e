"""What is known beforehand, and columns of both kinds, in every method of a discovery."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import unpooled as up
from unpooled.causal.generators import LinearGaussian, erdos_renyi
from unpooled.causal.globe import globe
from unpooled.causal.graphs import PDAG, Background
from unpooled.causal.graphs.metrics import shd
from unpooled.causal.orion import orion_of_tables
from unpooled.causal.peri import peri
from unpooled.causal.scores import mixed, summed
from unpooled.causal.search import ges
from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams
from unpooled.sites.loading import read_sites
from unpooled.sites.transports.in_process import InProcess

METHODS: dict[str, dict[str, Any]] = {
    "peri": {},
    "peri, delete first": {"search": "delete_first"},
    "peri, max": {"aggregate": "max"},
    "peri, max per node": {"aggregate": "max_per_node"},
    "peri, iperi": {"aggregate": "iperi"},
    "peri, secure": {"secure": True},
    "combined, A": {"method": "combined", "level": "A"},
    "combined, C": {"method": "combined"},
    "combined, D": {"method": "combined", "level": "D"},
    "ges": {"method": "ges", "pooled": True},
    "orion": {"method": "orion"},
    "globe": {"method": "globe", "pooled": True},
}
KNOWN = {"required": [("e", "a"), ("b", "a")], "forbidden": [("c", "d"), ("d", "c")], "tiers": {"e": 1, "b": 1, "a": 2}}


def chain(rows: int, sites: int, *, cube: bool = False) -> dict[str, pd.DataFrame]:
    """a -> b -> c -> d -> e, each the cube or a multiple of the one before."""
    rng = Streams(5).generator("chain")

    def one() -> pd.DataFrame:
        columns = [rng.uniform(-2, 2, rows)]
        for _ in range(4):
            cause = columns[-1] / columns[-1].std()
            columns.append((cause**3 if cube else cause) + 0.7 * rng.normal(size=rows))
        return pd.DataFrame(dict(zip("abcde", columns, strict=True)))

    return {f"site{k}": one() for k in range(sites)}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_to_what_is_known_even_against_the_data(name: str) -> None:
    settings = METHODS[name]
    tables = chain(150, 3, cube=settings.get("method") in ("orion", "globe"))
    free = up.discover(tables, gains=False, **settings)
    assert ("b", "->", "a") not in free.graph.edges()  # the data say otherwise, or nothing
    assert {"c", "d"} in [{a, b} for a, _, b in free.graph.edges()]
    found = up.discover(tables, gains=False, **settings, **KNOWN)
    required, forbidden = Background(**KNOWN).matrices(found.graph.names)
    assert found.graph.directed[required].all()
    assert not (found.graph.adjacency & forbidden).any()
    assert found.found.outcome.score < free.found.outcome.score
    assert found.graph == up.discover(tables, gains=False, **settings, **KNOWN).graph


@pytest.mark.parametrize("name", ["peri", "peri, delete first", "combined, D", "ges", "orion", "globe"])
def test_what_the_method_finds_anyway_changes_nothing(name: str) -> None:
    settings = METHODS[name]
    tables = chain(150, 2, cube=settings.get("method") in ("orion", "globe"))
    free = up.discover(tables, gains=False, **settings)
    arrows = [(a, b) for a, mark, b in free.graph.edges() if mark == "->"]
    again = up.discover(tables, gains=False, **settings, forbidden=[(b, a) for a, b in arrows])
    assert again.graph == free.graph
    assert again.found.outcome.score == pytest.approx(free.found.outcome.score, rel=1e-9)


def test_orion_with_background_is_the_same_over_the_door() -> None:
    tables, known = chain(150, 3, cube=True), Background(**KNOWN)
    there = up.discover(tables, method="orion", **KNOWN)
    here = orion_of_tables(tables, background=known)
    assert (there.graph, there.found.outcome.score) == (here.graph, here.score)
    assert here.gains["b", "a"][0] >= 0.0
    assert globe(tables["site0"], background=known).graph.directed[4, 0]


def test_the_sum_over_one_site_is_equivalence_search_with_the_same_knowledge() -> None:
    rng = Streams(1).generator("one")
    dag = erdos_renyi(7, 3.0, rng)
    table = LinearGaussian.random(dag, rng).sample(300, rng)
    names = dag.names
    known = Background(required=[(names[3], names[0])], tiers={names[2]: 0, names[5]: 1, names[6]: 2})
    found = peri(InProcess.of(read_sites({"here": table})[0]), background=known)
    alone = up.discover(table, method="ges", required=known.required, tiers=known.tiers)
    plain = ges(up_score(table), phases=("insert", "delete"), background=known)
    assert found.graph == plain.graph
    empty = sum(up_score(table).local_score(node, ()) for node in range(7))
    assert found.score == pytest.approx(plain.score - empty)
    assert alone.found.outcome.score >= plain.score - 1e-6


def up_score(table: pd.DataFrame) -> Any:
    from unpooled.causal.scores import gaussian

    return gaussian(table)


# Columns of both kinds


def wards(rows: int, sites: int) -> dict[str, pd.DataFrame]:
    """smoker -> cough, smoker -> lung <- age, lung -> days; text, truth values and numbers."""
    rng = Streams(2).generator("wards")
    tables = {}
    for k in range(sites):
        smoker, age = rng.random(rows) < 0.4, rng.normal(50, 12, rows)
        cough = np.where(smoker, rng.random(rows) < 0.8, rng.random(rows) < 0.2)
        lung = 80.0 - 12.0 * smoker - 0.4 * (age - 50) + rng.normal(0, 5, rows)
        days = 3.0 - 0.1 * lung + rng.normal(0, 1, rows)
        tables[f"ward{k}"] = pd.DataFrame(
            {"smoker": np.where(smoker, "yes", "no"), "cough": cough, "age": age, "lung": lung, "days": days}
        )
    return tables


TRUE = PDAG.from_edges(
    ["smoker", "cough", "age", "lung", "days"],
    arrows=[("smoker", "lung"), ("age", "lung"), ("lung", "days")],
    lines=[("smoker", "cough")],
)


@pytest.mark.parametrize("settings", [{}, {"search": "delete_first"}, {"aggregate": "max"}, {"secure": True}])
def test_regrets_are_of_numbers_and_categories_alike(settings: dict[str, Any]) -> None:
    tables = wards(300, 3)
    found = up.discover(tables, **settings)
    assert found.found.score == "conditional_gaussian"
    assert shd(TRUE, found.graph) == 0
    whole = summed([mixed(table) for table in tables.values()])
    if "aggregate" not in settings:
        gain = ges(whole).score - sum(whole.local_score(node, ()) for node in range(5))
        assert found.found.outcome.score == pytest.approx(gain, rel=1e-9)


def test_one_table_and_sites_asked_directly_agree() -> None:
    tables = wards(400, 2)
    assert shd(TRUE, up.discover(pd.concat(tables.values()), method="ges").graph) == 0
    direct = peri(InProcess.of(read_sites(tables)[0]), "conditional_gaussian")
    through = up.discover(tables)
    assert direct.graph == through.graph
    assert direct.score == pytest.approx(through.found.outcome.score)


def test_numbers_named_as_categories_are_categories_at_every_site() -> None:
    tables = {name: t.assign(smoker=(t["smoker"] == "yes").astype(int)) for name, t in wards(300, 2).items()}
    found = up.discover(tables, categorical=["smoker"])
    assert found.graph == up.discover(wards(300, 2)).graph
    assert "gain at ward0" in found.edges.columns


def test_an_attack_on_correlations_is_refused_before_the_search_where_there_are_categories() -> None:
    with pytest.raises(BadSetting, match="Correlations leak from Gaussian scores, and the score of numbers and categ"):
        up.discover(wards(50, 3), leakage=True)


@pytest.mark.parametrize("method", ["orion", "combined", "globe"])
def test_methods_of_numbers_say_so(method: str) -> None:
    with pytest.raises(BadData, match="is of numbers, and the data hold numbers and categories: use method='peri'"):
        up.discover(wards(50, 2), method=method, pooled=method == "globe")

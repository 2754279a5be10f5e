"""The parts of the combined method: regrets, groups, masks, margins, types, levels, refusals, a site that is gone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

from tests.unit.causal.tables import drawn, federation, sites_of
from unpooled.causal.combined import combined
from unpooled.causal.combined.batches import described
from unpooled.causal.combined.cuts import edges_that_pay
from unpooled.causal.combined.disclosure import LEVELS
from unpooled.causal.combined.grouping import Family, Known, agglomerate, exhaustive, partitions
from unpooled.causal.combined.level_b import LevelB, ParameterRegrets, SealedParameters
from unpooled.causal.combined.level_c import MaskedMoments
from unpooled.causal.combined.level_d import LevelD
from unpooled.causal.combined.masks import introduce, masked, summed, unpacked
from unpooled.causal.combined.moments import (
    FORMS,
    Floats,
    Theta,
    fit,
    min_sum,
    of_rows,
    own_cost,
    own_theta,
    parameter_regret,
    pooled,
)
from unpooled.causal.combined.orientation import Pair, orient_by_invariance
from unpooled.causal.discovery.agreement import prepare
from unpooled.causal.generators import Intervention, LinearGaussian, environments
from unpooled.causal.graphs import PDAG, class_of
from unpooled.causal.variables import Variable
from unpooled.errors import BadData, BadSetting, Refused
from unpooled.seeds import Streams
from unpooled.sites.policy import Policy
from unpooled.sites.questions import ABSENT, KINDS, Answer, Failure, Question
from unpooled.sites.transports.in_process import InProcess


def rng(*name: str | int) -> np.random.Generator:
    return Streams(5).generator("combined", *name)


def loss(values: Floats, theta: Theta) -> float:
    """-log p of the last column, given those before it, row by row."""
    mean = values[:, :-1] @ theta.coefficients + theta.intercept
    return -float(norm.logpdf(values[:, -1], mean, np.sqrt(theta.variance)).sum())


def test_a_parameter_regret_is_what_other_parameters_cost_in_likelihood() -> None:
    values = rng("regret").standard_normal((40, 3)) @ np.array([[1, 0.5, 2], [0, 1, -1], [0, 0, 0.7]]) + 3
    moments = of_rows(values)
    other = Theta(0.3, np.array([1.2, -0.4]), 0.8)
    assert parameter_regret(moments, other) == pytest.approx(loss(values, other) - loss(values, fit(moments)))
    for form in FORMS:
        assert parameter_regret(moments, own_theta(moments, form), form) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_min_sum_is_the_least_sum_of_regrets(form: str) -> None:
    draw = rng("least")
    tables = [draw.standard_normal((30 + 20 * k, 3)) * (1 + k) + k for k in range(3)]
    parts = [of_rows(t) for t in tables]
    changed = pooled([p.in_form(form, fit(p).variance) for p in parts])  # type: ignore[arg-type]
    found = min_sum(changed, 150.0, sum(map(own_cost, parts)), form)  # type: ignore[arg-type]
    best = fit(changed)
    assert sum(parameter_regret(p, best, form) for p in parts) == pytest.approx(found)  # type: ignore[arg-type]
    for _ in range(50):
        near = Theta(
            best.intercept + 0.1 * draw.standard_normal(),
            best.coefficients + 0.1 * draw.standard_normal(2),
            best.variance * np.exp(0.1 * draw.standard_normal()),
        )
        assert sum(parameter_regret(p, near, form) for p in parts) >= found - 1e-9  # type: ignore[arg-type]


def test_pooled_moments_are_those_of_the_tables_one_below_the_other() -> None:
    tables = [rng("pooled", k).standard_normal((5 + k, 2)) + 1e6 for k in range(3)]
    whole, parts = of_rows(np.vstack(tables)), pooled([of_rows(t) for t in tables])
    assert parts.rows == whole.rows
    assert parts.mean == pytest.approx(whole.mean, rel=1e-14)
    assert parts.scatter == pytest.approx(whole.scatter, rel=1e-9)


def levelled(tables: list[Floats]) -> LevelD:
    return LevelD([of_rows(t) for t in tables], tuple(f"x{i}" for i in range(tables[0].shape[1])))


def test_agglomeration_finds_the_best_of_all_partitions_of_five_sites() -> None:
    """Check 7 of the spec: 40 of 40."""
    equal = 0
    for case in range(40):
        draw = rng("seven", case)
        slopes = draw.choice([-1.0, 0.3, 1.5], 5)
        tables = []
        for slope in slopes:
            x = draw.standard_normal(60)
            tables.append(np.column_stack([x, slope * x + draw.standard_normal(60)]))
        known = Known(levelled(tables))
        greedy, best = agglomerate(known, [(1, (0,))])[1, (0,)], exhaustive(known, (1, (0,)))
        assert greedy.cost >= best.cost - 1e-9
        equal += greedy.groups == best.groups
    assert equal == 40


def test_there_are_as_many_partitions_as_bells_numbers_say() -> None:
    assert [sum(1 for _ in partitions(tuple(range(n)))) for n in range(6)] == [1, 1, 2, 5, 15, 52]


def false_splits(rows: int, merge: float | str, cases: int) -> int:
    """How often two sites with the same mechanism, but other parents, are kept apart."""
    found = 0
    for case in range(cases):
        draw = rng("eight", rows, case)
        tables = []
        for spread in (1.0, 2.0):
            x = draw.standard_normal(rows) * spread
            tables.append(np.column_stack([x, 0.8 * x + draw.standard_normal(rows)]))
        known = Known(levelled(tables))
        found += len(agglomerate(known, [(1, (0,))], merge)[1, (0,)].groups) == 2  # type: ignore[arg-type]
    return found


def test_false_splits_fall_with_rows_under_bic_and_stay_at_alpha_under_the_test() -> None:
    """Check 8 of the spec. 99.9 % of binomial(200, 0.05) lies in 2..20."""
    few, many = false_splits(20, "bic", 200), false_splits(2000, "bic", 200)
    assert few > 4 * many  # chi2(3) above 3 log(rows / 2): 0.075 and 0.0001, of 200
    assert 2 <= false_splits(50, 0.05, 200) <= 20
    assert 2 <= false_splits(2000, 0.05, 200) <= 20


def test_regrets_in_each_others_parameters_are_bounds_and_have_the_distribution_that_calibrates_them() -> None:
    scaled, bound = [], True
    for case in range(300):
        draw = rng("level b", case)
        parts = []
        for rows in (100, 300):
            x = draw.standard_normal(rows)
            parts.append(of_rows(np.column_stack([x, x + draw.standard_normal(rows)])))
        one, two = parts
        exact = min_sum(pooled(parts), 400.0, own_cost(one) + own_cost(two))
        across = parameter_regret(two, fit(one)), parameter_regret(one, fit(two))
        bound &= min(across) >= exact - 1e-9
        scaled.append(across[0] / (1 + 300 / 100))
    assert bound
    assert np.mean(scaled) == pytest.approx(1.5, abs=0.25)  # half of chi-squared of 3: sd 1.22, standard error 0.07
    assert np.quantile(scaled, 0.95) == pytest.approx(0.5 * 7.815, rel=0.25)


FAMILIES = [
    Family(node, parents, group, form)
    for node, parents in ((0, ()), (2, (0,)), (3, (0, 1)))
    for group in ((0, 1), (1, 2), (0, 1, 2))
    for form in FORMS
]


@pytest.mark.parametrize("level", ["C", "E"])
def test_sums_under_masks_give_what_all_moments_give(level: str) -> None:
    _, tables = drawn("levels", nodes=4, rows=[60, 90, 200])
    for name in tables:
        tables[name]["X3"] = tables[name]["X3"] * 1e-5 + 20  # units do not matter
    columns = tuple(tables["s00"].columns)
    open_there, here = LEVELS[level](federation(tables), columns), LevelD.of(federation(tables), columns)
    assert open_there is not None
    assert open_there.min_sums(FAMILIES) == pytest.approx(here.min_sums(FAMILIES), abs=1e-9, rel=1e-9)


def test_level_b_tells_equal_mechanisms_from_unlike_ones_and_is_about_right_for_equal_ones() -> None:
    tables = {}
    for k, slope in enumerate((1.0, 1.0, 1.0, -1.0)):
        x = rng("b", k).standard_normal(300)
        tables[f"s{k}"] = pd.DataFrame({"x": x, "y": slope * x + rng("b noise", k).standard_normal(300)})
    columns = ("x", "y")
    sealed, exact = LevelB(federation(tables), columns), LevelD.of(federation(tables), columns)
    family = Family(1, (0,), (0, 1, 2))
    assert sealed.min_sums([family]) == pytest.approx(exact.min_sums([family]), rel=0.2)
    groups = agglomerate(Known(sealed), [(1, (0,))])[1, (0,)].groups
    assert groups == ((0, 1, 2), (3,)) == agglomerate(Known(exact), [(1, (0,))])[1, (0,)].groups
    regrets = sealed.regrets[Family(1, (0,), (0, 1, 2, 3))]
    parts = [of_rows(t.to_numpy()) for t in tables.values()]
    for j, k in permutations(range(4), 2):
        assert regrets[k, j] == pytest.approx(parameter_regret(parts[k], fit(parts[j])))


def test_numbers_under_masks_add_up_and_show_nothing_alone() -> None:
    _, tables = drawn("masks")
    inside = federation(tables)
    introduce(inside)
    names, numbers = inside.names, {name: [1.5 * k, -1e-20, 3e20] for k, name in enumerate(inside.names)}
    shares = {name: masked(inside[name], names, numbers[name], b"one") for name in names}
    assert summed(shares.values()) == pytest.approx([4.5, -3e-20, 9e20], rel=1e-8)
    alone = summed([shares[names[0]]])
    assert all(abs(a - b) > 1e6 for a, b in zip(alone, numbers[names[0]], strict=True))
    again = masked(inside[names[0]], names, numbers[names[0]], b"two")
    assert all(a != b for a, b in zip(again, shares[names[0]], strict=True))


def asked_alone(kind: type[Question], inside: InProcess, group: tuple[int, ...], **more: object) -> Answer:
    question = kind(
        session="ab", columns=("X0", "X1"), names=inside.names, **described([Family(1, (0,), group)]), **more
    )
    return inside.ask({inside.names[0]: question})[inside.names[0]]


def test_a_site_does_not_stand_alone_in_a_sum() -> None:
    _, tables = drawn("alone", nodes=2, degree=1.0)
    inside = federation(tables)
    introduce(inside)
    for group in ((0,), (0, 0), (1, 2)):
        answer = asked_alone(MaskedMoments, inside, group, center=np.zeros(2))
        assert isinstance(answer, Failure)
        assert answer.code == "Refused"
    assert not isinstance(asked_alone(MaskedMoments, inside, (0, 1), center=np.zeros(2)), Failure)


def test_the_same_sum_over_rows_drawn_anew_has_other_masks() -> None:
    """With equal masks a coordinator that names one session twice would learn a site's differences of moments."""
    _, tables = drawn("redrawn", nodes=2, degree=1.0)
    inside = federation(tables)
    introduce(inside)
    variables, sums, words = [Variable("X0"), Variable("X1")], [], []
    for draw in (0, 1):
        prepare(inside, variables, draw=draw)
        shares = []
        for name in inside.names:
            fields = described([Family(1, (0,), (0, 1, 2))])
            question = MaskedMoments(
                session="ab", columns=("X0", "X1"), names=inside.names, center=np.zeros(2), **fields
            )
            shares.append(unpacked(inside.ask({name: question})[name].words))  # type: ignore[attr-defined]
        words.append(shares[0])
        sums.append(summed(shares))
    assert sums[0][0] == sums[1][0] == pytest.approx(900)  # rows of three sites
    assert sums[0] != sums[1]
    differences = summed([words[0], [-word for word in words[1]]])
    assert all(abs(difference) > 1e6 for difference in differences)


def test_a_letter_is_opened_by_its_recipient_and_for_its_question_only() -> None:
    _, tables = drawn("letters", nodes=2, degree=1.0)
    inside = federation(tables)
    introduce(inside)
    fields = {
        "session": "ab",
        "columns": ("X0", "X1"),
        "names": inside.names,
        **described([Family(1, (0,), (0, 1, 2))]),
    }
    sealed = inside.ask(dict.fromkeys(inside.names, SealedParameters(**fields)))
    one, two = (sealed[name].letters for name in inside.names[1:])  # type: ignore[attr-defined]
    right, swapped = np.stack([one[0], two[0]]), np.stack([two[0], one[0]])
    first = inside.names[0]
    assert not isinstance(inside.ask({first: ParameterRegrets(**fields, letters=right)})[first], Failure)
    assert isinstance(inside.ask({first: ParameterRegrets(**fields, letters=swapped)})[first], Failure)
    other = {**fields, "session": "cd"}
    assert isinstance(inside.ask({first: ParameterRegrets(**other, letters=right)})[first], Failure)
    misplaced = np.stack([one[1], two[0]])  # the letter for the third site
    assert isinstance(inside.ask({first: ParameterRegrets(**fields, letters=misplaced)})[first], Failure)


class Table:
    """Costs drawn at random for each variable and its parents."""

    def __init__(self, *name: str | int) -> None:
        self._rng, self._costs = rng(*name), dict[Pair, float]()

    def fetch(self, pairs: object) -> None:
        """Nothing to ask."""

    def cost(self, pair: Pair) -> float:
        return self._costs.setdefault(pair, float(self._rng.standard_normal()))


@pytest.fixture(scope="module")
def dags() -> dict[PDAG, PDAG]:
    """All DAGs of four nodes, each with its class."""
    found = all_dags(4)
    assert len(found) == 543
    return {dag: class_of(dag) for dag in found}


def all_dags(nodes: int) -> list[PDAG]:
    pairs, found = list(combinations(range(nodes), 2)), []
    for code in range(3 ** len(pairs)):
        matrix = np.zeros((nodes, nodes), bool)
        for i, (a, b) in enumerate(pairs):
            mark = code // 3**i % 3
            matrix[a, b], matrix[b, a] = mark == 1, mark == 2
        try:
            found.append(PDAG(matrix))
        except BadData:
            continue
    return found


def test_margins_are_those_of_all_members_of_the_class(dags: dict[PDAG, PDAG]) -> None:
    for case in range(30):
        costs, start = Table("members", case), list(dags)[int(rng("start", case).integers(543))]
        found = orient_by_invariance(costs, start, within_class=True)
        members = [dag for dag, own in dags.items() if own == dags[start]]
        totals = {dag: sum(costs.cost((y, dag.parents(y))) for y in range(4)) for dag in members}
        assert found.whole_class
        assert found.dag == min(totals, key=lambda dag: totals[dag])
        for (x, y), margin in found.margins.items():
            least = min(total for dag, total in totals.items() if dag.adjacency[y, x])
            assert margin == pytest.approx(least - found.cost)
        lines = dags[start].undirected
        assert set(found.margins) == {(x, y) for x, y in zip(*np.nonzero(found.dag.adjacency & lines), strict=True)}


def test_no_change_of_one_edge_and_no_member_of_the_class_is_better_than_what_the_climb_finds(
    dags: dict[PDAG, PDAG],
) -> None:
    for case in range(10):
        costs = Table("climb", case)
        found = orient_by_invariance(costs, PDAG(np.zeros((4, 4), bool)))
        for dag, own in dags.items():
            differs = np.triu((dag.adjacency != found.dag.adjacency) | (dag.adjacency != found.dag.adjacency).T).sum()
            if differs == 1 or own == dags[found.dag]:
                assert sum(costs.cost((y, dag.parents(y))) for y in range(4)) >= found.cost - 1e-9


def test_an_edge_that_does_not_pay_for_its_bits_goes() -> None:
    """Of two edges into c one gains 100 nats a site, the other 2 at one site and nothing at two."""
    dag = PDAG.from_edges(("a", "b", "c"), [("a", "c"), ("b", "c")])
    lengths = {(): [0.0] * 3, (0,): [-100.0] * 3, (1,): [1.0, 1.0, -2.0], (0, 1): [-99.0, -99.0, -102.0]}

    class Given:
        def fetch(self, pairs: object) -> None:
            """Nothing to ask."""

        def lengths(self, pair: Pair) -> Floats:
            return np.array(lengths[pair[1]] if pair[0] == 2 else [0.0] * 3)

    assert edges_that_pay(Given(), dag, 3, np.zeros((3, 3), bool)).edges() == [("a", "->", "c")]


CHAIN = PDAG.from_edges(("a", "b", "c"), [("a", "b"), ("b", "c")])


def changed_at(kind: str, size: float = 1.0) -> Mapping[str, pd.DataFrame]:
    """Five sites, of which the last has another mechanism of c."""
    model = LinearGaussian.random(CHAIN, rng("types"), low=0.8)
    changes = [{}, {}, {}, {}, {"c": Intervention(kind, size)}]  # type: ignore[arg-type]
    return environments(model, [400] * 5, changes, rng("types", kind), standardise=False).tables


@pytest.mark.parametrize(("kind", "size"), [("hard", 1.0), ("coefficient", 3.0), ("noise", 2.0), ("shift", 2.0)])
def test_targets_have_the_type_of_what_was_done(kind: str, size: float) -> None:
    found = combined(federation(changed_at(kind, size)), "D")
    assert [(t.site, t.variable, t.type) for t in found.target_list] == [
        ("s4", "c", "mechanism" if kind == "coefficient" else kind)
    ]
    assert found.target_list[0].confidence > 0.99
    assert found.partitions["c"].groups == (("s0", "s1", "s2", "s3"), ("s4",))
    assert found.partitions["c"].over_together > 0 < found.partitions["a"].over_apart
    assert list(found.targets.columns) == ["site", "variable", "type", "confidence", "gain"]


def test_one_lacking_parent_of_two_is_a_soft_target() -> None:
    graph = PDAG.from_edges(("a", "b", "c"), [("a", "c"), ("b", "c")])
    model = LinearGaussian.random(graph, rng("soft"), low=0.8)
    lacking = LinearGaussian(model.names, model.weights * [[1, 1, 0], [1, 1, 1], [1, 1, 1]], model.noise, model.shift)
    draw = rng("soft rows")
    tables = {f"s{k}": m.sample(300, draw) for k, m in enumerate([model, model, model, lacking])}
    for level in ("A", "D"):
        found = combined(federation(tables), level)
        assert [(t.site, t.variable, t.type) for t in found.target_list] == [("s3", "c", "soft")]


def test_invariance_directs_what_one_population_cannot_and_level_a_leaves_it_open() -> None:
    tables = changed_at("coefficient", 3.0)
    directed = combined(federation(tables), "D")
    assert directed.graph.edges() == [("b", "->", "c"), ("a", "--", "b")]
    assert combined(federation(tables), "A").graph.undirected.sum() == 4
    assert directed.margins["b", "c"] > np.log(20) > directed.margins["b", "a"]


@pytest.mark.parametrize("level", ["C", "E"])
def test_over_the_door_gives_what_all_moments_give(level: str) -> None:
    tables = changed_at("coefficient", 3.0)
    far, near = combined(federation(tables), level, "s0"), combined(federation(tables), "D", "s0")
    assert (far.graph, far.dag, far.partitions.keys()) == (near.graph, near.dag, near.partitions.keys())
    assert far.score == pytest.approx(near.score, rel=1e-9)
    assert [(t.site, t.variable, t.type) for t in far.target_list] == [
        (t.site, t.variable, t.type) for t in near.target_list
    ]
    assert [t.gain for t in far.target_list] == pytest.approx([t.gain for t in near.target_list], rel=1e-9)


ASKED = {
    "A": set(),
    "B": {"sealed_parameters", "parameter_regrets"},
    "C": {"masked_moments"},
    "D": {"site_moments"},
    "E": {"masked_newton"},
}


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_asks_its_own_kinds_and_no_others_and_is_refused_before_the_search(level: str) -> None:
    tables = changed_at("coefficient", 3.0)
    found = combined(federation(tables), level)
    own = {"columns", *ASKED[level], *(() if level == "D" else ("announce", "regrets"))}
    assert set(found.disclosed["kind"]) == own
    assert (found.disclosed["bytes"] > 0).all()
    for kind in ASKED[level]:
        sites = sites_of(tables)
        sites[2].policy = Policy(kinds=frozenset(KINDS) - {kind})
        inside = InProcess.of(sites)
        with pytest.raises(Refused, match=f"Site 's2'.*'{kind}'.*Level {level} needs it"):
            combined(inside, level)
        assert "regrets" not in inside.traffic.kinds


class Leaving(InProcess):
    """The last site answers so many questions, and is gone then."""

    left: int = 0

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        last = self.names[-1]
        if last not in questions or (left := self.left - 1) >= 0:
            if last in questions:
                self.left = left
            return super().ask(questions, deadline=deadline, round=round)
        others = super().ask({n: q for n, q in questions.items() if n != last}, deadline=deadline, round=round)
        return {**others, last: Failure(code=ABSENT, reason="it did not answer in time.")}


@pytest.mark.parametrize(
    ("level", "answers"),
    [("A", 4), ("B", 9), ("C", 4), ("C", 14), ("D", 1), pytest.param("E", 20, marks=pytest.mark.slow)],
)
def test_a_site_that_drops_out_is_left_out(level: str, answers: int) -> None:
    tables = dict(changed_at("coefficient", 3.0))
    tables["s5"] = tables["s0"]
    leaving = Leaving(sites_of(tables))
    leaving.left = answers
    found = combined(leaving, level, "s0")
    assert found.absent == ("s5",)
    others = combined(federation({name: table for name, table in tables.items() if name != "s5"}), level, "s0")
    assert (found.graph, found.targets.round(6).to_csv()) == (others.graph, others.targets.round(6).to_csv())


def test_it_does_not_tell_where_all_sites_differ() -> None:
    draw = rng("unlike")
    tables = {f"s{k}": LinearGaussian.random(CHAIN, draw).sample(300, draw) * (1 + k) for k in range(5)}
    found = combined(federation(tables), "D")
    assert found.cannot_tell == ("a", "b", "c")
    assert found.targets.empty
    assert found.graph.undirected.sum() == 4
    assert "cannot be told" in found.warnings[0]


def test_of_two_sites_one_differs_and_a_reference_says_which() -> None:
    both = changed_at("coefficient", 3.0)
    tables = {name: both[name] for name in ("s0", "s4")}
    assert combined(federation(tables), "D").cannot_tell == ("c",)
    named = combined(federation(tables), "D", "s0")
    assert [(t.site, t.variable, t.type) for t in named.target_list] == [("s4", "c", "mechanism")]
    assert named.cannot_tell == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "F"}, "level is one of A, B, C, D, E"),
        ({"reference": "s9"}, "'s9', which is no site"),
        ({"alpha": 2.0}, "alpha must lie between 0 and 1"),
        ({"merge": 5}, "merge must be 'bic' or a level"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        combined(federation(changed_at("hard")), **settings)  # type: ignore[arg-type]


def test_data_that_cannot_be_used_are_refused() -> None:
    tables = dict(changed_at("hard"))
    with pytest.raises(BadSetting, match="two at least are needed"):
        combined(federation({"s0": tables["s0"]}))
    with pytest.raises(BadData, match="holds categories"):
        combined(federation({name: t.assign(a="high") for name, t in tables.items()}))
    tables["s3"] = tables["s3"].head(2)
    with pytest.raises(BadData, match=r"Site 's3'.*2 rows.*3 at least"):
        combined(federation(tables))


def test_the_gaussian_of_the_moments_is_that_of_scipy() -> None:
    """Plain fits against the conditional of a joint normal distribution."""
    values = rng("scipy").multivariate_normal([1, 2, 3], [[2, 1, 0.5], [1, 2, 0], [0.5, 0, 1]], 50)
    joint = multivariate_normal(values.mean(axis=0), np.cov(values.T, bias=True))
    parents = multivariate_normal(values[:, :2].mean(axis=0), np.cov(values[:, :2].T, bias=True))
    conditional = -(joint.logpdf(values) - parents.logpdf(values[:, :2])).sum()
    assert loss(values, fit(of_rows(values))) == pytest.approx(conditional)

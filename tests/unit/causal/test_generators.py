"""Generated data has the graph, the moments and the interventions that it says it has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unpooled.causal.generators import (
    AdditiveNoise,
    GaussianProcess,
    Intervention,
    LinearGaussian,
    Neural,
    Polynomial,
    Random,
    Target,
    environments,
    erdos_renyi,
    exact_edges,
    scale_free,
    varsortability,
)
from unpooled.causal.graphs import PDAG
from unpooled.errors import BadSetting
from unpooled.seeds import Streams


def test_graphs_have_the_degrees_that_were_asked_for() -> None:
    rng = Streams(0).generator("graphs")
    edges = [erdos_renyi(30, 4, rng).adjacency.sum() for _ in range(100)]
    assert np.mean(edges) == pytest.approx(60, abs=2.2)  # 3 standard errors: sqrt(60 * 26 / 29 / 100) = 0.73
    degrees = [scale_free(60, 2, rng).skeleton.sum(axis=0) for _ in range(20)]
    assert all(d.sum() == 2 * (1 + 2 * 58) for d in degrees)
    assert np.mean([d.max() for d in degrees]) > 12  # an Erdős-Rényi graph of this density has about 9


def test_a_sample_has_the_models_covariance() -> None:
    rng = Streams(1).generator("moments")
    model = LinearGaussian.random(erdos_renyi(5, 2, rng), rng)
    sample = model.sample(200_000, rng)
    assert np.cov(sample.to_numpy(), rowvar=False) == pytest.approx(model.covariance(), abs=0.1)
    sizes = np.abs(model.weights[model.weights != 0])
    assert ((sizes >= 0.4) & (sizes <= 1.2)).all()


def test_interventions_change_their_targets_mechanism_alone() -> None:
    rng = Streams(2).generator("interventions")
    model = LinearGaussian.random(erdos_renyi(6, 5, rng), rng)
    target = int(np.argmax((model.weights != 0).sum(axis=0)))
    name, others = model.names[target], np.arange(6) != target
    changed = {
        kind: model.intervene({name: Intervention(kind, 0.5)}, rng)  # type: ignore[arg-type]
        for kind in ("hard", "soft", "coefficient", "noise", "shift")
    }
    for other in changed.values():
        assert (other.weights[:, others] == model.weights[:, others]).all()
    own = {kind: m.weights[:, target] for kind, m in changed.items()}
    assert not own["hard"].any()
    assert set(np.flatnonzero(own["soft"])) < set(np.flatnonzero(model.weights[:, target]))
    assert ((own["coefficient"] != 0) == (model.weights[:, target] != 0)).all()
    assert (own["coefficient"] != model.weights[:, target]).any()
    assert changed["noise"].noise[target] == 0.5
    assert abs(changed["shift"].shift[target]) == 0.5


def test_environments_have_rows_of_their_own_number_and_name_their_targets() -> None:
    rng = Streams(3).generator("environments")
    model = LinearGaussian.random(erdos_renyi(3, 1, rng), rng)
    changes = [{}, {"X1": Intervention("shift", 100.0)}]
    made = environments(model, [5, 9], changes, rng, standardise=False)
    assert {name: len(table) for name, table in made.tables.items()} == {"s0": 5, "s1": 9}
    assert abs(made.tables["s1"]["X1"].mean()) > 90
    assert made.targets == (Target("s1", "X1", "shift"),)
    assert made.graph == model.graph
    together = pd.concat(environments(model, [5, 9], changes, rng).tables.values())
    assert together.mean().to_numpy() == pytest.approx([0.0] * 3, abs=1e-9)
    assert together.std(ddof=0).to_numpy() == pytest.approx([1.0] * 3)
    with pytest.raises(BadSetting, match="2 numbers of rows"):
        environments(model, [5, 9], [{}], rng)


def test_standardising_together_keeps_what_environments_share() -> None:
    """One shift and scale a column: a slope that two environments share stays shared."""
    rng = Streams(5).generator("invariance")
    dag = PDAG.from_edges("ab", [("a", "b")])
    model = LinearGaussian(("a", "b"), np.array([[0.0, 1.5], [0.0, 0.0]]), np.ones(2), np.zeros(2))
    changes = [{}, {"a": Intervention("noise", 3.0)}]
    tables = environments(model, [50_000] * 2, changes, rng).tables
    slopes = [np.polyfit(table["a"], table["b"], 1)[0] for table in tables.values()]
    assert slopes[0] == pytest.approx(slopes[1], abs=0.01)
    assert dag == model.graph


def test_variances_grow_along_paths_unless_they_are_taken_out() -> None:
    chain = PDAG.from_edges("abc", [("a", "b"), ("b", "c")])
    grows = pd.DataFrame({"a": [1, -1], "b": [2, -2], "c": [3, -3]})
    even = pd.DataFrame({name: [1, -1] for name in "abc"})
    shrinks = pd.DataFrame({"a": [3, -3], "b": [2, -2], "c": [1, -1]})
    assert (varsortability(chain, grows), varsortability(chain, shrinks)) == (1.0, 0.0)
    assert varsortability(chain, even) == 0.5
    assert varsortability(chain, grows.assign(c=[0.5, -0.5])) == pytest.approx(1 / 3)  # a-b grows; b-c and a-c do not
    rng = Streams(6).generator("sorted")
    dags = [exact_edges(12, 24, rng) for _ in range(10)]
    raw = [varsortability(d, LinearGaussian.random(d, rng, low=0.8, high=1.5).sample(500, rng)) for d in dags]
    assert np.mean(raw) > 0.8
    nets = [varsortability(d, AdditiveNoise.random(d, rng).sample(4000, rng)) for d in dags]
    assert abs(np.mean(nets) - 0.5) < 0.15


@pytest.mark.parametrize("function", [Polynomial, Neural, GaussianProcess])
def test_functions_have_the_covariance_of_their_law(function: type) -> None:
    """Between values at two points, over many draws: of the kernel, or of the features' inner product."""
    rng = Streams(7).generator("functions", function.__name__)
    x = np.array([[0.3, -0.5], [-0.4, 0.8]])
    values = np.stack([function.random(2, rng)(x) for _ in range(4000)])
    if function is GaussianProcess:
        wanted = np.exp(-0.5 * ((x[0] - x[1]) ** 2).sum())
        own = np.ones(2)
    elif function is Polynomial:
        features = np.stack([x, (x**2 - 1) / np.sqrt(2), (x**3 - 3 * x) / np.sqrt(6)], axis=-1).reshape(2, -1)
        wanted, own = features[0] @ features[1], (features**2).sum(axis=1)
    else:  # the network's kernel has no short form: E tanh(u) tanh(v) by drawing u and v from their joint normal law
        both = x @ x.T + 1.0
        u = rng.multivariate_normal(np.zeros(2), both, 400_000)
        wanted, own = np.mean(np.tanh(u[:, 0]) * np.tanh(u[:, 1])), np.mean(np.tanh(u) ** 2, axis=0)
    assert np.mean(values[:, 0] * values[:, 1]) == pytest.approx(wanted, abs=5 * np.sqrt(own.prod() * 2 / 4000))
    assert values.var(axis=0) == pytest.approx(own, rel=0.15)
    one = function.random(2, rng)
    lone = np.column_stack([x[:, 1], np.zeros(2)])
    assert one.of([1])(x[:, 1:]) - one.of([1])(np.zeros((2, 1))) == pytest.approx(one(lone[:, ::-1]) - one(0 * lone))


@pytest.mark.parametrize("function", ["polynomial", "neural", "gaussian_process"])
def test_additive_noise_is_what_is_left_when_the_function_is_taken_out(function: str) -> None:
    rng = Streams(8).generator("additive", function)
    dag = exact_edges(5, 7, rng)
    model = AdditiveNoise.random(dag, rng, function=function, noise=0.5, law="uniform")  # type: ignore[arg-type]
    assert model.graph == dag
    x = model.sample(20_000, rng).to_numpy()
    for node, own in enumerate(model.mechanisms):
        left = x[:, node] / own.scale - own.effect(x)
        assert left.std() == pytest.approx(0.5 if own.parents else 1.0, rel=0.03)
        assert np.abs(left).max() <= own.noise * np.sqrt(3) + 1e-9  # uniform: bounded
        for parent in own.parents:
            assert abs(np.corrcoef(left, x[:, parent])[0, 1]) < 0.03
        assert x[:, node].std() == pytest.approx(1.0, rel=0.25)


def test_interventions_on_functions_change_their_target_alone() -> None:
    rng = Streams(9).generator("changed")
    dag = PDAG.from_edges("abc", [("a", "c"), ("b", "c"), ("a", "b")])
    model = AdditiveNoise.random(dag, rng, function="gaussian_process")
    kinds = ("hard", "soft", "coefficient", "noise", "shift")
    changed = {k: model.intervene({"c": Intervention(k, 0.5, noise=2.0)}, rng) for k in kinds}  # type: ignore[arg-type]
    for other in changed.values():
        assert other.mechanisms[:2] == model.mechanisms[:2]
    cut = changed["hard"].sample(20_000, rng).corr()
    assert abs(cut.loc["c", "a"]) < 0.03 > abs(cut.loc["c", "b"])
    assert set(changed["soft"].graph.parents(2)) <= {0, 1}
    assert changed["coefficient"].graph == dag
    assert changed["coefficient"].mechanisms[2].function is not model.mechanisms[2].function
    assert [changed[k].mechanisms[2].noise for k in kinds] == [1.0, 1.0, 1.0, 0.5, 1.0]
    assert abs(changed["shift"].mechanisms[2].shift) == 0.5


def test_targets_say_what_differs_and_not_what_was_tried() -> None:
    rng = Streams(11).generator("differs")
    dag = PDAG.from_edges("abc", [("a", "c"), ("b", "c")])
    model = LinearGaussian.random(dag, rng)
    tried = {
        "hard": ("c", Intervention("hard", noise=2.0)),
        "soft": ("c", Intervention("soft", 0.5)),
        "mechanism": ("c", Intervention("coefficient", noise=2.0)),
        "noise": ("a", Intervention("hard", noise=2.0)),
        "shift": ("a", Intervention("shift", 2.0)),
        "": ("a", Intervention("coefficient")),
    }
    for differs, (name, how) in tried.items():
        made = environments(model, [9] * 40, [{name: how}] * 40, rng)
        told = {t.type for t in made.targets}
        assert told - {"hard"} == {"soft"} if differs == "soft" else told == ({differs} if differs else set())


def test_random_interventions_leave_the_first_environments_alone() -> None:
    rng = Streams(10).generator("random")
    drawn = Random(kind="hard", targets=2, untouched=2, noise=(1.5, 2.5)).draw("abcdef", 5, rng)
    assert [len(own) for own in drawn] == [0, 0, 2, 2, 2]
    assert all(how.kind == "hard" and 1.5 <= how.noise <= 2.5 for own in drawn for how in own.values())
    with pytest.raises(BadSetting, match="targets = 7"):
        Random(kind="hard", targets=7).draw("abcdef", 5, rng)
    with pytest.raises(BadSetting, match="lower and an upper"):
        Random(kind="hard", noise=(2.0, 1.0))


def test_settings_that_fit_nothing_are_refused() -> None:
    rng = Streams(4).generator("refused")
    with pytest.raises(BadSetting, match="degree of at most 2"):
        erdos_renyi(3, 2.5, rng)
    with pytest.raises(BadSetting, match="at most 3 edges"):
        exact_edges(3, 4, rng)
    with pytest.raises(BadSetting, match="function is one of"):
        AdditiveNoise.random(erdos_renyi(3, 1, rng), rng, function="nueral")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="hard, soft"):
        Intervention("wild")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="no node 'q'"):
        LinearGaussian.random(erdos_renyi(3, 1, rng), rng).intervene({"q": Intervention("hard")}, rng)

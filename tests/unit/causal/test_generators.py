"""Generated data has the graph, the moments and the interventions that it says it has."""

from __future__ import annotations

import numpy as np
import pytest

from unpooled.causal.generators import Intervention, LinearGaussian, environments, erdos_renyi, scale_free
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


def test_environments_have_rows_of_their_own_number() -> None:
    rng = Streams(3).generator("environments")
    model = LinearGaussian.random(erdos_renyi(3, 1, rng), rng)
    tables = environments(model, [5, 9], [{}, {"X1": Intervention("shift", 100.0)}], rng)
    assert [len(t) for t in tables] == [5, 9]
    assert abs(tables[1]["X1"].mean()) > 90
    with pytest.raises(BadSetting, match="2 numbers of rows"):
        environments(model, [5, 9], [{}], rng)


def test_settings_that_fit_nothing_are_refused() -> None:
    rng = Streams(4).generator("refused")
    with pytest.raises(BadSetting, match="degree of at most 2"):
        erdos_renyi(3, 2.5, rng)
    with pytest.raises(BadSetting, match="hard, soft"):
        Intervention("wild")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="no node 'q'"):
        LinearGaussian.random(erdos_renyi(3, 1, rng), rng).intervene({"q": Intervention("hard")}, rng)

"""Running statistics that stay at a site are that site's own, also when its model is evaluated."""

import numpy as np
import pytest
import torch
from torch import nn

from unpooled.sites.site import Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.protocols import FedAvg, Local
from unpooled.training.recipe import recipe
from unpooled.training.train import Training, run


def federation(*, own_tests: bool) -> InProcess:
    rng = np.random.default_rng(3)
    sites = []
    for i, shift in enumerate((-5.0, 5.0)):
        X = rng.normal(shift, 1.0, (16, 4)).astype(np.float32)
        y = (X[:, 0] > shift).astype(np.int64)
        data = samples(X, y)
        sites.append(Site(f"s{i}", data, data if own_tests else None))
    return InProcess(sites)


def module() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("own_tests", [True, False])
@pytest.mark.parametrize("buffers", ["stay", "travel"])
def test_a_local_model_is_evaluated_with_its_own_statistics(buffers: str, own_tests: bool) -> None:
    sites = federation(own_tests=own_tests)
    made = recipe(module(), lr=0.2, buffers=buffers, executor="reference")  # type: ignore[arg-type]
    test = None if own_tests else sites["s0"].train
    result = run(Training(sites, made, Local(), steps=60, test=test))
    first = result.models["s0"]
    assert first["0.running_mean"].mean() == pytest.approx(-5, abs=0.5)
    assert result.models["s1"]["0.running_mean"].mean() == pytest.approx(5, abs=0.5)
    trained = module()
    trained.load_state_dict(first, strict=False)
    with torch.no_grad():
        predicted = trained.eval()(torch.from_numpy(sites["s0"].require_train().X)).argmax(1).numpy()
    accuracy = float((predicted == sites["s0"].require_train().y).mean())
    reported = result.sites().query("site == 's0' and model == 'local' and metric == 'accuracy'")["value"].item()
    assert reported == pytest.approx(accuracy)
    assert accuracy > 0.9


def test_an_aggregate_meets_the_statistics_of_each_site() -> None:
    """FedAvg of one normalised problem seen at two offsets: only statistics that stay fit both sites."""
    scores = {}
    for buffers in ("stay", "travel"):
        made = recipe(module(), lr=0.2, buffers=buffers, executor="reference")  # type: ignore[arg-type]
        result = run(Training(federation(own_tests=True), made, FedAvg(1), steps=60))
        scores[buffers] = result.final("accuracy", "aggregate")
    assert scores["stay"] > 0.9 > scores["travel"]

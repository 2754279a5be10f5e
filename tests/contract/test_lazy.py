"""Lazy sites give the results, and the traffic, of the same sites made all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.contract.federations import assert_same_result, data, training
from tests.contract.programs import quick
from tests.contract.protocols import PROTOCOLS
from unpooled.errors import BadData, BadSetting, Unsupported
from unpooled.sites.site import Samples, Site
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.lazy import LazySites
from unpooled.training.operators import aggregate, every, only, subset
from unpooled.training.protocols import FedAvg, FedDC, FedProx, Protocol, Scaffold
from unpooled.training.recipe import recipe
from unpooled.training.train import Training, run

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

SIZES = (4, 7, 5, 4, 7, 6)
DRAWN: dict[str, Protocol] = {
    "fedavg": FedAvg(4, fraction=0.4),
    "fedavg-one-site": FedAvg(2, fraction=0.1),
    "fedavg-weighted": FedAvg(3, fraction=0.5, weighted_by_samples=True),
    "fedprox": FedProx(3, fraction=0.5),
    "scaffold": Scaffold(3, fraction=0.5),
    "feddc": FedDC(1, 3, fraction=0.5),
    "feddc-prox": FedDC(1, 3, fraction=0.5, proximal=0.3),
}
WHOLE = {n: p for n, p in PROTOCOLS.items() if not p.simulation_only and getattr(p, "fraction", 1.0) == 1.0}


class Made:
    """Makes site i, and remembers how often any was made."""

    def __init__(self, sizes: Sequence[int] = SIZES) -> None:
        self.sizes, self.calls = sizes, 0

    def __call__(self, number: int) -> Samples:
        self.calls += 1
        return data(self.sizes[number], np.random.default_rng(number))

    def all(self) -> InProcess:
        return InProcess([Site(f"site{i}", self(i)) for i in range(len(self.sizes))])


def lazily(protocol: Protocol, make: Made, *, executor: str = "reference", **settings: Any) -> Training:
    sites = LazySites(len(make.sizes), make, sizes=make.sizes)
    return training(sites, protocol, executor=executor, **settings)


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("name", DRAWN)
def test_a_subset_trains_as_if_all_sites_were_there(name: str, executor: str) -> None:
    how = {"executor": executor, "batch_size": 3, "evaluate_every": 2}
    found, wanted = run(lazily(DRAWN[name], Made(), **how)), run(training(Made().all(), DRAWN[name], **how))
    assert wanted.rows is not None
    wanted.rows = wanted.rows[[wanted.names.index(site) for site in found.holders]]
    assert_same_result(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_forgotten_while_the_same_sites_train(name: str) -> None:
    found, wanted = run(lazily(WHOLE[name], Made())), run(training(Made().all(), WHOLE[name], executor="reference"))
    assert_same_result(found, wanted, rtol=1e-9, atol=1e-12)


def test_only_sites_that_train_are_made_and_kept() -> None:
    make = Made([4] * 1000)
    made = lazily(FedAvg(2, fraction=0.003), make, steps=10)
    make.calls = 0
    result = run(made)
    assert make.calls == 5 * 3
    assert isinstance(made.federation, LazySites)
    assert len(result.holders) == len(made.federation.at_hand) == 3
    assert result.traffic.total_messages("train") > 2 * 1000  # the first model goes to every site


def test_what_sites_would_have_to_remember_is_refused() -> None:
    with pytest.raises(BadSetting, match='optimizer_state="reset"'):
        lazily(FedAvg(2, fraction=0.5), Made(), optimizer_state="stay", momentum=0.9)
    norm = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(BadSetting, match='buffers="travel"'):
        lazily(FedAvg(2, fraction=0.5), Made(), model=lambda: norm, buffers="stay", executor="reference")
    with pytest.raises(Unsupported, match="no checkpoint"):
        lazily(FedAvg(2, fraction=0.5), Made()).state()


def test_a_site_that_goes_on_with_its_own_layers_is_refused_by_name() -> None:
    class Heads(FedAvg):
        def exchange(self) -> Any:
            return subset(0.5, every(2, only(("0",), aggregate())), 2)

    with pytest.raises(BadSetting, match=r"Site 'site\d' was to go on with its own '2\.weight'"):
        run(lazily(Heads(2), Made()))


def test_sizes_that_are_not_true_are_named() -> None:
    with pytest.raises(BadData, match="'site0' holds 4 samples, but sizes says 5"):
        training(LazySites(6, Made(), sizes=5), FedAvg(2, fraction=0.5))
    with pytest.raises(BadSetting, match="one for each of 6 sites"):
        LazySites(6, Made(), sizes=[1, 2])


def test_nothing_to_test_on_is_said_before_training() -> None:
    with pytest.raises(BadSetting, match="give test="):
        Training(LazySites(6, Made(), sizes=SIZES), recipe(nn.Linear(3, 3), lr=0.1), FedAvg(2, fraction=0.5), steps=2)

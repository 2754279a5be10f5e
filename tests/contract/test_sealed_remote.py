"""Sealed hops over a link: the models are those of a simulation, and the coordinator looks only where it may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.contract.links import Direct, direct
from tests.contract.test_absence import PATIENCE, PLAN, members
from unpooled.errors import BadSetting
from unpooled.sites.sealing import STATE, strangers
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.transports.remote import Remote
from unpooled.training.protocols import DaisyChain, FedDC, Protocol
from unpooled.training.result import Result
from unpooled.training.train import Training, run


def sealing_link() -> Direct:
    """To sites that each have a key and the same roster in their own state."""
    found = members()
    keys = strangers(site.name for site in found)
    return Direct({s.name: lambda s=s: Site(s.name, s.train, s.test, state={STATE: keys[s.name]}) for s in found})


def trained(federation: Any, protocol: Protocol, *, secure_sum: bool = False) -> Result:
    made = replace(replace(PLAN, secure_sum=secure_sum).recipe("reference"), sealed_hops=True)
    return run(Training(federation, made, protocol, steps=8, evaluate_every=2))


def looks(result: Result, model: str) -> list[tuple[int, str, float]]:
    return [(step, metric, value) for step, of, metric, value, *_ in result.history if of == model]


@pytest.mark.parametrize("secure", [False, True])
def test_the_aggregate_is_measured_where_models_are_averaged_and_nowhere_else(secure: bool) -> None:
    link = sealing_link()
    found = trained(Remote(link, "run"), FedDC(1, 4), secure_sum=secure)
    wanted = trained(InProcess.of(members()), FedDC(1, 4), secure_sum=secure)
    assert np.array_equal(found.aggregate_row, wanted.aggregate_row) or secure  # type: ignore[arg-type]
    np.testing.assert_allclose(found.aggregate_row, wanted.aggregate_row, atol=2.0**-20)  # type: ignore[arg-type]
    assert {step for step, *_ in looks(wanted, "aggregate")} == {2, 4, 6, 8}
    assert {step for step, *_ in looks(found, "aggregate")} == {4, 8}
    if not secure:
        assert looks(found, "aggregate") == [look for look in looks(wanted, "aggregate") if look[0] in (4, 8)]
    assert looks(found, "local_mean") == looks(wanted, "local_mean")
    assert "show" not in {e.kind for e in link.sent}
    assert found.traffic.total_messages("train_sealed") == wanted.traffic.total_messages("train_sealed")


def test_where_models_only_hop_no_aggregate_is_made_up() -> None:
    found = trained(Remote(sealing_link(), "run"), DaisyChain(1))
    wanted = trained(InProcess.of(members()), DaisyChain(1))
    assert looks(found, "aggregate") == []
    assert found.aggregate_row is None
    assert looks(found, "local_mean") == looks(wanted, "local_mean")
    assert {metric for _, metric, _ in looks(found, "local_mean")} >= {"accuracy", "train_loss"}


def test_a_run_that_may_go_on_without_a_site_is_refused() -> None:
    """What was sealed for a site that is away can be read nowhere else."""
    with pytest.raises(BadSetting, match="waits for a site which is away can be read nowhere else: leave at_least out"):
        trained(Remote(sealing_link(), "run", patience=PATIENCE), FedDC(1, 4))


def test_a_site_that_was_not_admitted_says_so() -> None:
    with pytest.raises(BadSetting, match="Site 'a': site 'a' has no keys to seal models with"):
        trained(Remote(direct(members()), "run"), FedDC(1, 4))

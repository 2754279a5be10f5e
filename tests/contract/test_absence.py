"""Runs over a link go on without sites that do not answer, and lose nobody's work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.contract.federations import data
from tests.contract.links import direct
from unpooled.errors import BadSetting
from unpooled.sites.envelope import Envelope
from unpooled.sites.payload import decode
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.transports.remote import Patience, Remote
from unpooled.training.blueprint import Blueprint
from unpooled.training.coordinator import Coordinator
from unpooled.training.protocols import DaisyChain, DynamicAveraging, FedAvg, FedDC, MiniBatch, Protocol, Scaffold
from unpooled.training.questions import Train
from unpooled.training.result import Result
from unpooled.training.train import Training, run

PLAN = Blueprint(
    model={"kind": "mlp", "hidden": (4,)}, shape=(3,), outputs=3, loss="cross_entropy", lr=0.2, seed=0, batch_size=2
)
PATIENCE = Patience(deadline=0.05, at_least=2)


def members(names: str = "abc") -> list[Site]:
    """Sites of unlike sizes, each with its own rows whoever else there is."""
    rng = {name: np.random.default_rng(ord(name)) for name in "abc"}
    return [Site(name, data(5 + ord(name) % 3, rng[name]), data(6, rng[name])) for name in names]


def away(site: str, first: int, last: int = 10**9) -> Callable[[Envelope], bool]:
    """Whether a question does not reach the site: those about local steps from `first` to `last`."""

    def silent(envelope: Envelope) -> bool:
        return envelope.site == site and envelope.round is not None and first <= envelope.round <= last

    return silent


def remote(silent: Callable[[Envelope], bool] = lambda e: False, patience: Patience | None = PATIENCE) -> Remote:
    return Remote(direct(members(), silent=silent), "run", patience=patience)


def trained(federation: Any, protocol: Protocol, steps: int = 8) -> Result:
    recipe = PLAN.recipe("reference")
    return run(Training(federation, recipe, protocol, steps=steps, evaluate_every=steps))


@pytest.mark.parametrize("protocol", [FedAvg(1), FedAvg(4), FedDC(1, 4)], ids=lambda p: p.label)
def test_over_a_link_the_models_are_those_of_a_simulation_to_the_bit(protocol: Protocol) -> None:
    found, wanted = trained(remote(), protocol), trained(InProcess.of(members()), protocol)
    assert np.array_equal(found.aggregate_row, wanted.aggregate_row)  # type: ignore[arg-type]
    assert found.history == wanted.history
    assert found.traffic == wanted.traffic
    assert found.absences == []


def test_a_site_that_is_away_from_the_start_is_as_if_it_were_not_there() -> None:
    found = trained(remote(away("c", 0)), FedAvg(2))
    wanted = trained(InProcess.of(members("ab")), FedAvg(2))
    assert np.array_equal(found.aggregate_row, wanted.aggregate_row)  # type: ignore[arg-type]
    assert {(site, model) for _, site, model in found.absences} == {("c", "left out")}
    assert [step for step, *_ in found.absences] == [0, 2, 4, 6]


@pytest.mark.parametrize("last", [1, 3, 10**9])
def test_no_model_is_lost_while_a_site_is_away_and_it_gets_one_when_it_is_back(last: int) -> None:
    """Models carry work: what a coordinator holds at the end is the work of all who answered, each model once."""
    federation = remote(away("b", 1, last))
    recipe = PLAN.recipe("reference")
    coordinator = Coordinator(federation, recipe, DaisyChain(1).exchange(), steps=6, tolerant=True)
    federation.begun()
    rows = []
    while not coordinator.done:
        coordinator.local_phase()
        assert coordinator._held is not None
        before = coordinator._held.copy()
        coordinator.exchange_models()
        after = coordinator._pending[-1].rows
        assert sorted(map(bytes, before)) == sorted(map(bytes, after))  # a permutation of the same three models
        rows.append(before)
    custody = coordinator.custody
    assert custody is not None
    answered = [q for e in _train_questions(federation) if (q := decode(e.body)).send]  # type: ignore[union-attr]
    silent = [e for e in _train_questions(federation) if e.site == "b" and e.round is not None and 1 <= e.round <= last]
    assert len(answered) == 18
    assert len({a.step for a in custody.absences}) == len(silent) > 0
    assert {a.model for a in custody.absences} == {"the model that was sent there stands in"}
    for step, now in enumerate(rows[1:], start=1):  # who answered changed its model, the one that stood in waited
        waited = 1 <= step <= last
        moved = [not any(np.array_equal(row, old) for old in rows[step - 1]) for row in now]
        assert moved.count(False) == int(waited)


def _train_questions(federation: Remote) -> list[Envelope]:
    return [e for e in federation.link.sent if e.kind == Train.kind]  # type: ignore[attr-defined]


def test_a_model_that_hopped_to_a_missing_site_counts_in_the_next_aggregate() -> None:
    found = trained(remote(away("b", 2, 2)), FedDC(1, 4), steps=4)
    assert found.absences == [(2, "b", "the model that was sent there stands in")]
    alone = trained(remote(away("b", 0, 3)), FedAvg(4), steps=4)
    assert alone.absences == [(0, "b", "left out")]
    whole = trained(remote(), FedDC(1, 4), steps=4)
    assert not np.array_equal(found.aggregate_row, whole.aggregate_row)  # type: ignore[arg-type]


def test_fewer_than_needed_are_waited_for() -> None:
    told: list[tuple[str, ...]] = []

    def silent(envelope: Envelope) -> bool:
        return envelope.site in "bc" and envelope.round == 2 and len(told) < 1

    federation = Remote(
        direct(members(), silent=silent),
        "run",
        patience=Patience(resend=0.1, deadline=0.05, at_least=2),
        watch=lambda waiting: told.append(waiting.missing),
    )
    trained(federation, FedAvg(1), steps=4)
    assert told == [("b", "c")]  # long past the deadline: one site is not enough
    assert federation.traffic.table(["train"])[:, 0].min() >= 4


@pytest.mark.parametrize("protocol", [DynamicAveraging(0.1), MiniBatch(), Scaffold(2)], ids=lambda p: p.label)
def test_protocols_that_need_every_site_refuse_to_go_on_without(protocol: Protocol) -> None:
    with pytest.raises(BadSetting, match="needs every site in every exchange"):
        trained(remote(), protocol)


def test_models_of_ones_own_are_not_sent_as_code() -> None:
    from tests.contract.federations import net
    from unpooled.training.recipe import recipe

    with pytest.raises(BadSetting, match="no code but their own release"):
        Training(remote(), recipe(net(), lr=0.1), FedAvg(1), steps=2)

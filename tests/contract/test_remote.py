"""A federation over a network is the federation in one process, whatever the network loses and whoever is killed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract.federations import OneByOne, net, sites
from tests.network import AT_ONCE, MANY_FAULTS, NO_FAULTS, Faults, Network, network_of
from unpooled.combine import Array
from unpooled.seeds import Streams
from unpooled.sites.federation import Federation
from unpooled.sites.ledger import read, verify
from unpooled.sites.sealing import STATE, strangers
from unpooled.sites.site import Site
from unpooled.sites.traffic import Traffic
from unpooled.sites.transports.remote import Remote
from unpooled.training.coordinator import Coordinator
from unpooled.training.exchange import Exchange
from unpooled.training.guarded import guarded
from unpooled.training.privacy.settings import DPSGD, ClipAndNoise
from unpooled.training.protocols import DynamicAveraging, FedAvg, FedDC, FedProx, Protocol, Scaffold
from unpooled.training.questions import install
from unpooled.training.recipe import Recipe, recipe
from unpooled.training.train import initialised

CASES: dict[str, tuple[Protocol, dict[str, Any]]] = {
    "feddc": (FedDC(1, 3), {}),
    "feddc, adam stays": (FedDC(2, 4), {"optimizer": "adam", "optimizer_state": "stay", "lr": 0.01}),
    "fedavg, adam travels": (FedAvg(2), {"optimizer": "adam", "optimizer_state": "travel", "lr": 0.01}),
    "fedavg, some sites, batches": (FedAvg(2, fraction=0.6), {"batch_size": 2}),
    "fedprox": (FedProx(2), {}),
    "dynamic": (DynamicAveraging(0.003, 2), {}),
    "scaffold": (Scaffold(2), {}),
    "vectorised": (FedDC(1, 3), {"executor": "vectorised", "optimizer": "adam", "lr": 0.01}),
    "clip and noise": (FedDC(1, 3), {"privacy": ClipAndNoise(1.0, 0.5)}),
    "dp-sgd": (FedAvg(2), {"privacy": DPSGD(1.0, 0.5), "batch_size": 2}),
    "secure sum": (FedAvg(2), {"secure_sum": True}),
    "sealed hops": (FedDC(1, 3), {"sealed_hops": True, "optimizer": "adam", "optimizer_state": "travel", "lr": 0.01}),
    "sealed hops, secure sum": (FedDC(1, 3), {"sealed_hops": True, "secure_sum": True}),
}


@dataclass(frozen=True)
class Trained:
    """How a training ended: the models at the sites, the loss after each phase, and what each site has spent."""

    models: Array
    losses: list[float]
    spent: list[float]
    traffic: Traffic


def members(protocol: Protocol, settings: dict[str, Any]) -> tuple[list[Site], Recipe, Exchange]:
    """Three sites with the recipe installed, and noise that is the same in every federation."""
    wanted = recipe(initialised(net, 0), seed=3, **{"lr": 0.1, "executor": "reference", **settings})
    wanted = replace(wanted, proximal=protocol.mu, corrected=protocol.corrected)
    made = sites([5, 6, 4])
    keys = strangers(site.name for site in made)
    for site in made:
        site.state |= {"noise": Streams(9), STATE: keys[site.name]}
    install(made, wanted)
    program = guarded(protocol.exchange(), secure_sum=wanted.secure_sum, sealed_hops=wanted.sealed_hops)
    return made, wanted, program


def train(federation: Federation, wanted: Recipe, program: Exchange, anchored: bool) -> list[float]:
    coordinator = Coordinator(federation, wanted, program, steps=11, anchored=anchored)
    losses = []
    while not coordinator.done:
        coordinator.local_phase()
        coordinator.exchange_models()
        losses.append(coordinator.loss)
    coordinator.finish()
    return losses


def ended(found: list[Site], losses: list[float], traffic: Traffic) -> Trained:
    models = np.concatenate([site.state["seat"][0].models(np.array([0])) for site in found])
    return Trained(models, losses, [site.spent for site in found], traffic)


def in_process(name: str) -> Trained:
    made, wanted, program = members(*CASES[name])
    federation = OneByOne.of(made)
    return ended(made, train(federation, wanted, program, CASES[name][0].anchored), federation.traffic)


def remote(name: str, folder: Path, faults: Faults, seed: int = 0) -> tuple[Trained, Network]:
    made, wanted, program = members(*CASES[name])
    network = network_of(made, folder, faults, seed)
    federation = Remote(network, "run", patience=AT_ONCE)
    losses = train(federation, wanted, program, CASES[name][0].anchored)
    for site in network.names:
        network.restart(site)
    found = [network.agents[site]._run("run").site for site in network.names]
    return ended(found, losses, federation.traffic), network


@pytest.fixture(scope="module")
def oracle() -> Callable[[str], Trained]:
    return cache(in_process)


@pytest.mark.parametrize("faults", [NO_FAULTS, MANY_FAULTS], ids=["calm", "storm"])
@pytest.mark.parametrize("name", CASES)
def test_training_over_a_network_gives_the_same_bits(
    name: str, faults: Faults, tmp_path: Path, oracle: Callable[[str], Trained]
) -> None:
    wanted = oracle(name)
    found, network = remote(name, tmp_path, faults, seed=zlib.crc32(name.encode()))
    assert np.array_equal(found.models, wanted.models)
    np.testing.assert_array_equal(found.losses, wanted.losses)
    assert found.spent == wanted.spent
    assert found.traffic == wanted.traffic
    assert (network.kills > 0) == (faults.kill > 0)
    for i, site in enumerate(network.names):
        entries = list(read(tmp_path / f"{site}.jsonl"))
        assert verify(tmp_path / f"{site}.jsonl") == len(entries) == found.traffic.table()[i, 0]
        assert [entry["number"] for entry in entries] == list(range(len(entries)))  # each answer once, in order
        assert sum(entry["bytes"] for entry in entries) == found.traffic.table()[i, 1]
    network.close()

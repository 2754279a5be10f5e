"""A run that was stopped between two rounds and continued from disk ends bit-equal to one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.contract.federations import assert_equal_result, net, sites, train, training
from tests.contract.programs import quick
from tests.contract.protocols import PROTOCOLS
from unpooled.runs import checkpoint
from unpooled.training.protocols import DaisyChain, FedAvg, FedDC, Protocol
from unpooled.training.train import Training, run

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

STEPS = 11
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
    "adam": {"optimizer": "adam", "lr": 0.02},
}


def begun(protocol: Protocol, **settings: Any) -> Training:
    return training(sites([4, 6, 4]), protocol, **{"steps": STEPS, "batch_size": 3, "evaluate_every": 2, **settings})


def stopped_at(rounds: int, path: Path, protocol: Protocol, **settings: Any) -> Training:
    """Run that many rounds, save, throw all away, set up anew, load."""
    first = begun(protocol, **settings)
    for _ in range(rounds):
        first.advance()
    checkpoint.save(path, first.state())
    second = begun(protocol, **settings)
    second.restore(checkpoint.load(path))
    return second


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_resumes_at_any_round(protocol: str, executor: str, tmp_path: Path) -> None:
    optimizer = "sgd" if PROTOCOLS[protocol].plain_descent_only else "momentum"
    settings = {"executor": executor, **OPTIMIZERS[optimizer], "optimizer_state": "stay"}
    whole = run(begun(PROTOCOLS[protocol], **settings))
    rng = np.random.default_rng(list(PROTOCOLS).index(protocol))
    for rounds in {0, *rng.integers(1, 6, 2).tolist()}:
        resumed = run(stopped_at(rounds, tmp_path / "state", PROTOCOLS[protocol], **settings))
        assert_equal_result(resumed, whole)
        assert resumed.per_site == whole.per_site


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("state", ["reset", "stay", "travel"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_policy_resumes(optimizer: str, state: str, executor: str, tmp_path: Path) -> None:
    settings = {"executor": executor, **OPTIMIZERS[optimizer], "optimizer_state": state}
    for protocol in (FedDC(1, 5), FedAvg(4, fraction=0.5)):
        whole = run(begun(protocol, **settings))
        for rounds in (1, 4):
            assert_equal_result(run(stopped_at(rounds, tmp_path / "state", protocol, **settings)), whole)


def test_stopping_twice_is_no_worse(tmp_path: Path) -> None:
    settings = {"executor": "vectorised", **OPTIMIZERS["adam"], "optimizer_state": "travel"}
    resumed = stopped_at(2, tmp_path / "one", DaisyChain(1), **settings)
    resumed.advance()
    resumed.advance()
    checkpoint.save(tmp_path / "two", resumed.state())
    again = begun(DaisyChain(1), **settings)
    again.restore(checkpoint.load(tmp_path / "two"))
    assert_equal_result(run(again), run(begun(DaisyChain(1), **settings)))


def noisy() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 3)).double()


@pytest.mark.parametrize("buffers", ["travel", "stay"])
def test_running_statistics_and_dropout_resume(buffers: str, tmp_path: Path) -> None:
    settings = {"executor": "reference", "model": noisy, "buffers": buffers, "batch_size": 3}
    whole = begun(FedDC(1, 4), **settings)
    run(whole)
    resumed = stopped_at(3, tmp_path / "state", FedDC(1, 4), **settings)
    assert_equal_result(run(resumed), whole.result)
    for found, wanted in zip(resumed.state()["executors"], whole.state()["executors"], strict=True):
        for site, kept in wanted.items():
            for name, value in kept["module"].items():
                assert torch.equal(found[site]["module"][name], value), (site, name)


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_state_is_a_snapshot(executor: str, optimizer: str) -> None:
    """It does not change while the run goes on, nor while another run goes on from it."""
    settings = {"executor": executor, **OPTIMIZERS[optimizer], "optimizer_state": "stay"}
    source = begun(FedDC(1, 4), **settings)
    for _ in range(3):
        source.advance()
    state = source.state()
    run(source)
    for _ in range(2):
        other = begun(FedDC(1, 4), **settings)
        other.restore(state)
        assert_equal_result(run(other), source.result)


def test_a_saved_state_holds_no_code(tmp_path: Path) -> None:
    """It is read with weights_only=True, which refuses anything but tensors and plain containers."""
    path = tmp_path / "state"
    first = begun(FedDC(1, 4, fraction=0.5), executor="reference")
    first.advance()
    checkpoint.save(path, first.state())
    saved = path.read_bytes().partition(b"\n")[2]
    (tmp_path / "bare").write_bytes(saved)
    assert set(torch.load(tmp_path / "bare", weights_only=True)) == set(first.state())


def test_runs_here_do_what_they_seem_to() -> None:
    """Momentum matters, and so do batches; otherwise the tests above would prove little."""
    rows = [train(sites([4, 6, 4]), FedDC(1, 4), model=net, batch_size=3, **OPTIMIZERS[o]).rows for o in OPTIMIZERS]
    assert not np.allclose(rows[0], rows[2], rtol=1e-2)  # type: ignore[arg-type]

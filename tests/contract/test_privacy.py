"""Clip and noise on every way to run: the same noise, whoever asks and however the site trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract.federations import (
    BegunTogether,
    OneByOne,
    assert_equal_result,
    assert_same_result,
    sites,
    train,
    training,
)
from tests.contract.programs import quick
from tests.contract.protocols import PROTOCOLS
from unpooled.errors import Unsupported
from unpooled.runs import checkpoint
from unpooled.training.privacy import DPSGD, ClipAndNoise, Privacy
from unpooled.training.train import run

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

NOISY = ClipAndNoise(0.05, 0.4)
PROTECTED = ("feddc", "feddc-slow", "feddc-coprime-fraction", "fedavg", "fedavg-fraction", "daisy-chain", "local")
CASE: dict[str, Any] = {"batch_size": 3, "privacy": NOISY, "evaluate_every": 4}


@pytest.mark.parametrize("privacy", [NOISY, DPSGD(0.5, 0.8)], ids=["clip_and_noise", "dp_sgd"])
@pytest.mark.parametrize("protocol", [*PROTECTED, "fedprox", "scaffold"])
def test_vectorised_agrees_with_the_reference(protocol: str, privacy: Privacy) -> None:
    members, case = [4, 6, 3, 6], {**CASE, "privacy": privacy}
    fast, slow = (train(sites(members), PROTOCOLS[protocol], executor=e, **case) for e in ("vectorised", "reference"))
    assert_same_result(fast, slow, rtol=1e-9)
    assert fast.privacy == slow.privacy


@pytest.mark.parametrize("privacy", [NOISY, DPSGD(0.5, 0.8)], ids=["clip_and_noise", "dp_sgd"])
@pytest.mark.parametrize("federation", [OneByOne, BegunTogether])
@pytest.mark.parametrize("protocol", PROTECTED)
def test_joint_answers_are_those_of_one_by_one_answers(
    protocol: str, federation: type[OneByOne], privacy: Privacy
) -> None:
    case: dict[str, Any] = {**CASE, "privacy": privacy, "executor": "reference", "steps": 5}
    jointly = train(sites([4, 6, 3]), PROTOCOLS[protocol], **case)
    singly = train(federation.of(sites([4, 6, 3])), PROTOCOLS[protocol], **case)
    assert_equal_result(singly, jointly)
    assert singly.privacy == jointly.privacy


@pytest.mark.parametrize(
    ("executor", "privacy"),
    [(executor, privacy) for executor in ("reference", "vectorised") for privacy in (NOISY, DPSGD(0.5, 0.8))],
)
@pytest.mark.parametrize("protocol", ["feddc-slow", "feddc-coprime-fraction"])
def test_a_stopped_run_goes_on_with_the_same_noise_and_the_same_account(
    protocol: str, executor: str, privacy: Privacy, tmp_path: Path
) -> None:
    def begun() -> Any:
        return training(sites([4, 6, 4]), PROTOCOLS[protocol], executor=executor, **{**CASE, "privacy": privacy})

    whole = run(begun())
    for rounds in (1, 4):
        first = begun()
        for _ in range(rounds):
            first.advance()
        checkpoint.save(tmp_path / "state", first.state())
        second = begun()
        second.restore(checkpoint.load(tmp_path / "state"))
        resumed = run(second)
        assert_equal_result(resumed, whole)
        assert resumed.privacy == whole.privacy


@pytest.mark.parametrize("privacy", [ClipAndNoise(1e6, 0.0), DPSGD(1e6, 0.0)], ids=["clip_and_noise", "dp_sgd"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_noise_and_with_a_wide_clip_nothing_changes(protocol: str, privacy: Privacy) -> None:
    """For every protocol there is, but for those that tell exact things, which are refused."""
    case: Mapping[str, Any] = {"executor": "reference", "steps": 6}
    if protocol.startswith("dynamic") or protocol == "mini-batch":
        with pytest.raises(Unsupported, match="without noise: train with FedDC or FedAvg"):
            train(sites([4, 6, 3]), PROTOCOLS[protocol], privacy=privacy, **case)
        return
    plain = train(sites([4, 6, 3]), PROTOCOLS[protocol], **case)
    guarded = train(sites([4, 6, 3]), PROTOCOLS[protocol], privacy=privacy, **case)
    np.testing.assert_allclose(guarded.rows, plain.rows, rtol=1e-9, atol=1e-9)  # type: ignore[arg-type]
    np.testing.assert_allclose(guarded.aggregate_row, plain.aggregate_row, rtol=1e-9, atol=1e-9)  # type: ignore[arg-type]

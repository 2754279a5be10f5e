"""Clip and noise at the site: what is sent, what is told, what is written down, and when a site stops sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.contract import federations
from tests.contract.federations import OneByOne, sites, training
from tests.contract.programs import quick
from unpooled.combine import Array
from unpooled.errors import BadSetting, Diverged, Refused, Unsupported
from unpooled.seeds import Streams
from unpooled.sites.ledger import Ledger, read
from unpooled.sites.payload import encode
from unpooled.sites.questions import Answer, Question
from unpooled.sites.site import Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.privacy import ClipAndNoise
from unpooled.training.privacy.noise import clipped, gaussian
from unpooled.training.protocols import DynamicAveraging, FedAvg, FedDC, Local, Protocol
from unpooled.training.questions import Trained
from unpooled.training.result import Result
from unpooled.training.train import run

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

both_executors = pytest.mark.parametrize("executor", ["reference", "vectorised"])
PROTOCOLS = [FedAvg(3), FedDC(2, 5), FedDC(3, 4, fraction=0.5)]


def train(*what: Any, executor: str = "reference", **settings: Any) -> Result:
    """A whole run, on the reference executor unless a test is about both."""
    return federations.train(*what, executor=executor, **settings)


@dataclass
class Door:
    """What passed the door, site by site: the row last received and the row sent after it."""

    received: dict[str, Array] = field(default_factory=dict)
    sent: list[tuple[str, Array, Array]] = field(default_factory=list)
    losses: set[float | None] = field(default_factory=set)


class Listening(InProcess):
    """A federation that keeps what passes its door."""

    def listen(self) -> Door:
        self.door = Door()
        return self.door

    def ask(self, questions: Mapping[str, Question], **how: Any) -> Mapping[str, Answer]:
        answers = super().ask(questions, **how)
        for name, question in questions.items():
            if question.kind != "train":
                continue
            answer: Any = answers[name]
            asked: Any = question
            if asked.row is not None:
                self.door.received[name] = asked.row.copy()
            self.door.losses.add(answer.loss)
            if answer.row is not None:
                self.door.sent.append((name, self.door.received[name], answer.row.copy()))
        return answers


def overheard(protocol: Protocol, privacy: ClipAndNoise, **settings: Any) -> Door:
    federation = Listening.of(sites([4, 6, 5, 4]))
    door = federation.listen()
    train(federation, protocol, privacy=privacy, **settings)
    assert door.sent
    return door


# --- what is sent ----------------------------------------------------------------------------------------------------


@both_executors
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_sent_lies_in_the_ball_about_what_was_received(protocol: Protocol, executor: str) -> None:
    """However many local steps lie between, and some of the changes have to be clipped: they lie on the sphere."""
    door = overheard(protocol, ClipAndNoise(0.03, 0.0), executor=executor, lr=0.2)
    lengths = np.array([np.linalg.norm(sent - received) for _, received, sent in door.sent])
    assert lengths.max() <= 0.03 * (1 + 1e-12)
    assert np.isclose(lengths, 0.03).mean() > 0.5


@both_executors
def test_the_noise_has_the_deviation_that_the_setting_says(executor: str) -> None:
    """Noise far above the clip: what is seen is noise of deviation noise * clip, and each answer has its own."""

    def wide() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 500), nn.Tanh(), nn.Linear(500, 3)).double()

    clip, noise = 1e-3, 50.0
    door = overheard(FedAvg(2), ClipAndNoise(clip, noise), model=wide, steps=4, executor=executor)
    seen = np.stack([(sent - received) / (clip * noise) for _, received, sent in door.sent])
    count = seen.size  # 8 rows of 3503 numbers
    assert abs(seen.mean()) < 4 / np.sqrt(count)
    assert abs(seen.std() - 1) < 4 / np.sqrt(2 * count)
    correlations = np.corrcoef(seen)[np.triu_indices(len(seen), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(seen.shape[1]), "two answers share their noise"


def test_clipping_by_hand() -> None:
    """(3, 4) has length 5 and is cut to 2; a length of 0.5 is left alone."""
    received = np.array([[1.0, 1.0], [2.0, 0.0]])
    own = received + np.array([[3.0, 4.0], [0.3, 0.4]])
    np.testing.assert_allclose(clipped(own, received, 2.0), np.add(received, [[1.2, 1.6], [0.3, 0.4]]))


def test_noise_belongs_to_a_site_and_an_answer() -> None:
    streams = [Streams(3)] * 2
    a, b = gaussian(streams, ["a", "b"], [4, 4], 5)
    assert np.array_equal(gaussian(streams[:1], ["b"], [4], 5)[0], b)
    assert not np.array_equal(a, b)
    assert not np.array_equal(gaussian(streams[:1], ["a"], [5], 5)[0], a)


def test_a_site_may_keep_its_noise_secret_from_who_knows_the_seed() -> None:
    def sent(secret: int | None) -> Array:
        members = sites([4, 4])
        for site in members if secret is not None else ():
            site.state["noise"] = Streams(secret)
        federation = Listening.of(members)
        door = federation.listen()
        run(training(federation, FedAvg(1), privacy=ClipAndNoise(1.0, 1.0), steps=1, executor="reference"))
        return door.sent[0][2]

    assert np.array_equal(sent(1), sent(1))
    assert not np.allclose(sent(1), sent(2))
    assert not np.allclose(sent(1), sent(None))


@both_executors
def test_no_loss_leaves(executor: str) -> None:
    assert overheard(FedAvg(3), ClipAndNoise(1.0, 0.1), executor=executor).losses == {None}
    result = train(sites([4, 4]), FedAvg(3), privacy=ClipAndNoise(1.0, 0.1), executor=executor)
    assert "train_loss" not in {h[2] for h in result.history}


@both_executors
def test_the_aggregate_that_is_measured_is_the_noisy_one_that_was_sent(executor: str) -> None:
    result = train(sites([4, 6, 5]), FedAvg(3), privacy=ClipAndNoise(0.1, 2.0), executor=executor)
    assert result.rows is not None
    for row in result.rows:
        np.testing.assert_allclose(row, result.aggregate_row, rtol=1e-12)  # type: ignore[arg-type]


def test_an_aggregate_that_nobody_formed_is_measured_as_if_it_had_been_sent() -> None:
    noisy = train(sites([4, 6, 5]), Local(), privacy=ClipAndNoise(0.1, 2.0))
    plain = train(sites([4, 6, 5]), Local())
    assert np.array_equal(noisy.rows, plain.rows)  # type: ignore[arg-type]
    assert np.abs(noisy.aggregate_row - plain.aggregate_row).max() > 0.05  # type: ignore[operator]
    assert [sends for _, sends, _, _ in noisy.privacy] == [0, 0, 0]


# --- the account -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("federation", [InProcess, OneByOne])
def test_the_ledger_has_what_was_sent_and_what_was_spent(federation: type[InProcess], tmp_path: Path) -> None:
    members = sites([4, 5])
    for site in members:
        site.ledger = Ledger(tmp_path / f"{site.name}.jsonl")
    listening = type("Listening", (Listening, federation), {}).of(members)
    door = listening.listen()
    result = train(listening, FedAvg(4), privacy=ClipAndNoise(1.0, 3.0))
    spent = {site: epsilon for site, _, epsilon, _ in result.privacy}
    for name in ("a", "b"):
        lines = [line for line in read(tmp_path / f"{name}.jsonl") if line["kind"] == "train"]
        with_row = [line for line in lines if line["shape"]]
        assert [line["sha256"] for line in with_row] == [
            sha256(encode(Trained(loss=None, row=row))).hexdigest() for who, _, row in door.sent if who == name
        ]
        so_far = [line["privacy_spent"] for line in with_row]
        assert so_far == sorted(so_far)
        assert 0 < so_far[0] < so_far[-1] == spent[name]


@both_executors
def test_a_site_stops_sending_when_its_budget_is_spent(executor: str, tmp_path: Path) -> None:
    """Epsilon of 2 and 3 answers frame the budget, so that the third answer is refused."""
    free = ClipAndNoise(1.0, 3.0)
    two, three = (train(sites([4, 4]), FedAvg(1), privacy=free, steps=n).privacy[0][2] for n in (2, 3))
    members = sites([4, 4])
    for site in members:
        site.ledger = Ledger(tmp_path / f"{site.name}.jsonl")
    tight = ClipAndNoise(1.0, 3.0, budget=(two + three) / 2)
    begun = training(members, FedAvg(1), privacy=tight, executor=executor, evaluate_every=1)
    begun.advance()
    begun.advance()
    with pytest.raises(Refused, match=r"Site 'a': it has sent 2 models \(epsilon .* exceed its budget of .*2 sites"):
        begun.advance()
    assert [row[1] for row in begun.privacy] == [2, 2]
    assert {h[0] for h in begun.result.history} == {1, 2}
    for site in members:
        assert "budget" in list(read(tmp_path / f"{site.name}.jsonl"))[-1]["refused"]


def test_a_diverging_site_says_so_itself_without_telling_the_loss() -> None:
    """Squared errors that overflow at once, and a step that does."""
    model, privacy = lambda: nn.Linear(1, 1).double(), ClipAndNoise(1.0, 1.0)
    for x, lr, period, told in (
        (1e160, 1.0, 1, "training loss at site 'a' is not finite in local step 1:"),
        (1e160, 1.0, 11, "training loss at site 'a' is not finite in local steps 1 to 11:"),
        (1e100, 1e120, 1, "model at site 'a' is not finite: lower lr"),
    ):
        members = [Site("a", samples([[x]], [0.5])), Site("b", samples([[1.0]], [0.5]))]
        case: dict[str, Any] = {"model": model, "loss": "mse", "test": members[1].train}
        with pytest.raises(Diverged, match=told):
            train(InProcess.of(members), FedAvg(period), privacy=privacy, lr=lr, **case)


# --- what is refused -------------------------------------------------------------------------------------------------


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()


def test_what_noise_does_not_cover_does_not_travel() -> None:
    privacy = ClipAndNoise(1.0, 1.0)
    with pytest.raises(Unsupported, match=r"optimizer_state = 'travel' .* use 'reset' or 'stay'"):
        train(sites([4, 4]), FedAvg(1), privacy=privacy, optimizer_state="travel", momentum=0.9)
    with pytest.raises(Unsupported, match=r"Buffer '1.running_mean' would leave .* use buffers='stay'"):
        train(sites([4, 4]), FedAvg(1), privacy=privacy, model=normalised)
    assert train(sites([4, 4]), FedAvg(1), privacy=privacy, model=normalised, buffers="stay", steps=2).rows is not None


def test_sites_that_tell_exactly_when_they_have_moved_are_refused() -> None:
    with pytest.raises(Unsupported, match="told exactly, without noise: train with FedDC or FedAvg"):
        train(sites([4, 4]), DynamicAveraging(0.1), privacy=ClipAndNoise(1.0, 1.0))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"clip": 0.0, "noise": 1.0}, "clip must be a finite number above 0, got 0.0"),
        ({"clip": 1.0, "noise": -1.0}, "noise must be a finite number of at least 0"),
        ({"clip": 1.0, "noise": 1.0, "delta": 1.0}, "delta must lie between 0 and 1"),
        ({"clip": 1.0, "noise": 1.0, "budget": 0.0}, r"budget \(an epsilon\) must be"),
        ({"clip": 1.0, "noise": 1.0, "neighbours": "rows"}, "neighbours must be 'replace' or 'zero_out'"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSetting, match=told):
        ClipAndNoise(**settings)

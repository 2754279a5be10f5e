"""Sealed hops: not a bit of the result changes, and what hops can be read by its recipient alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract.federations import BegunTogether, OneByOne, sites, train, training
from tests.contract.programs import quick
from tests.contract.protocols import PROTOCOLS
from unpooled.errors import BadSetting, Refused, SiteFailed
from unpooled.runs import checkpoint
from unpooled.sites.ledger import Ledger, read
from unpooled.sites.payload import Stacked, encode
from unpooled.sites.policy import Policy
from unpooled.sites.questions import Answer, Failure, Question
from unpooled.sites.sealing import OVERHEAD, STATE, strangers
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.lazy import LazySites
from unpooled.training.observation import models_of
from unpooled.training.operators import aggregate, chain, every, only, permute
from unpooled.training.privacy import ClipAndNoise
from unpooled.training.privacy.audit.worlds import in_worlds
from unpooled.training.privacy.secure_sum.exchange import secured
from unpooled.training.protocols import DaisyChain, FedAvg, FedDC, FedMR, Local, Protocol
from unpooled.training.questions import Begin, Show, Train
from unpooled.training.sealed.exchange import hops, sealed
from unpooled.training.sealed.questions import SealedTrain, SealedTrained
from unpooled.training.train import Training, run

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

SIZES = [4, 6, 5, 4, 3]
WIDTH = 31
"""Parameters of the model, of 8 bytes."""
HOPPING = {n: p for n, p in PROTOCOLS.items() if hops(p.exchange()) and not isinstance(p, FedMR)}
"""Every protocol of the list in which models hop: a newcomer is tested without a line here."""


class Watched(InProcess):
    """A federation that keeps all that a coordinator receives and sends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[tuple[str, Question, Answer]] = []

    def ask(self, questions: Mapping[str, Question], **how: Any) -> Mapping[str, Answer]:
        answers = dict(super().ask(questions, **how))
        self.seen += [(name, question, answers[name]) for name, question in questions.items()]
        return answers

    def letters(self) -> list[bytes]:
        told = [answer.letter for _, _, answer in self.seen if isinstance(answer, SealedTrained)]
        return [letter.tobytes() for letter in told if letter is not None]


def watched(count: int = 4) -> Watched:
    return Watched.of(sites(SIZES[:count]))  # type: ignore[return-value]


# --- the result ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("name", HOPPING)
def test_sealing_changes_no_bit_of_the_result(name: str, executor: str) -> None:
    """Models, losses and evaluations; what it costs is bytes, never a message. Adam's state hops with the model."""
    case: dict[str, Any] = {"optimizer": "adam", "optimizer_state": "travel", "executor": executor, "evaluate_every": 3}
    open_, shut = (train(sites(SIZES), HOPPING[name], sealed_hops=seal, **case) for seal in (False, True))
    assert np.array_equal(shut.rows, open_.rows)  # type: ignore[arg-type]
    assert np.array_equal(shut.aggregate_row, open_.aggregate_row)  # type: ignore[arg-type]
    assert [h[:4] + h[5:] for h in shut.history] == [h[:4] + h[5:] for h in open_.history]
    assert shut.traffic.total_messages() == open_.traffic.total_messages()
    assert shut.traffic.total_bytes() > open_.traffic.total_bytes()


def test_the_list_has_ways_of_hopping() -> None:
    assert {"feddc", "feddc-coprime-fraction", "feddc-circle-seen", "daisy-chain", "partial"} <= set(HOPPING)


@pytest.mark.parametrize("federation", [OneByOne, BegunTogether])
@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_joint_and_one_by_one_training_agree(federation: type[OneByOne], executor: str) -> None:
    case: dict[str, Any] = {"sealed_hops": True, "executor": executor, "evaluate_every": 2}
    jointly = train(sites(SIZES), FedDC(2, 5), **case)
    singly = train(federation.of(sites(SIZES)), FedDC(2, 5), **case)
    np.testing.assert_allclose(singly.rows, jointly.rows, rtol=1e-12)  # type: ignore[arg-type]
    assert executor == "vectorised" or np.array_equal(singly.rows, jointly.rows)  # type: ignore[arg-type]
    assert singly.traffic == jointly.traffic


def test_bytes_are_those_of_letters() -> None:
    """DaisyChain(1) over 3 steps: three letters leave each site, three arrive, the last after the last step."""
    members = sites([4, 6])
    plain, shut = (train(members, DaisyChain(1), steps=3, sealed_hops=seal).traffic for seal in (False, True))
    up, down = shut.table(["train_sealed"])[:, 1], shut.table(["train_sealed"])[:, 3]
    row = 8 * WIDTH
    told = 8 + 1 + 1  # loss, no row, no bit
    assert up.tolist() == [3 * (told + row + OVERHEAD + 1) + (told + 1 + 1)] * 2, "the last answer has no letter"
    fixed = 2 * 8 + 8 + 32  # two numbers, eight flags and blanks, the session
    first, later, last = row + 1 + 1, 1 + row + OVERHEAD + 1, row + OVERHEAD + 1
    assert down.tolist() == [fixed - 1 + first + 2 * (fixed - 1 + later) + (fixed + last)] * 2
    assert shut.table()[:, [0, 2]].tolist() == plain.table()[:, [0, 2]].tolist()


# --- who can read what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_nothing_that_hops_passes_the_coordinator_in_the_clear(executor: str) -> None:
    """Each sealed model is looked for, number by number, in every message up to the next averaging."""
    federation = watched()
    begun = training(federation, FedDC(1, 4), steps=8, sealed_hops=True, executor=executor)
    models: list[bytes] = []
    while not begun.done:
        begun.coordinator.local_phase()
        if begun.coordinator.step % 4:
            models += [row.tobytes() for row in models_of(federation)]
        begun.coordinator.exchange_models()
    wire = b"".join(encode(message) for _, *pair in federation.seen for message in pair)
    assert len(models) == 6 * 4
    assert not any(model[i : i + 8] in wire for model in models for i in range(0, len(model), 8))
    averaged = [row.tobytes() for row in models_of(federation)]
    assert all(model in wire for model in averaged), "models that are averaged in the clear are there to be found"


def test_two_runs_alike_have_no_letter_alike() -> None:
    runs = [watched(), watched()]
    rows = [train(federation, FedDC(1, 4), sealed_hops=True, executor="reference").rows for federation in runs]
    assert np.array_equal(*rows)  # type: ignore[arg-type]
    first, second = (federation.letters() for federation in runs)
    assert len(first) == len(second) == 8 * 4, "of 11 steps, 3 end in an averaging"
    assert len({letter[40:] for letter in first + second}) == 2 * 8 * 4


def test_the_ledger_says_whom_a_letter_was_for(tmp_path: Path) -> None:
    members = sites([4, 6, 5])
    for site in members:
        site.ledger = Ledger(tmp_path / f"{site.name}.jsonl")
    federation = Watched.of(members)
    train(federation, DaisyChain(1), steps=3, sealed_hops=True)
    lines = {site.name: [e for e in read(tmp_path / f"{site.name}.jsonl") if "recipient" in e] for site in members}
    asked = [(n, q.recipient) for n, q, _ in federation.seen if isinstance(q, SealedTrain) and q.recipient]
    assert [(name, line["recipient"]) for name in lines for line in lines[name]] == sorted(asked, key=lambda a: a[0])
    assert all(line["shape"] == {"letter": [8 * WIDTH + OVERHEAD]} for own in lines.values() for line in own)


# --- attacks of who relays -------------------------------------------------------------------------------------------


class Tampering(InProcess):
    """A coordinator's network that changes questions on their way, at one local step."""

    step = 2

    def change(self, questions: dict[str, Any]) -> None:
        """To be told in each test."""

    def ask(self, questions: Mapping[str, Question], **how: Any) -> Mapping[str, Answer]:
        changed: dict[str, Any] = dict(questions)
        first = next(iter(changed.values()))
        if isinstance(first, SealedTrain) and first.step == self.step:
            self.change(changed)
        self.kept = {**getattr(self, "kept", {}), getattr(first, "step", -1): changed}
        return super().ask(changed, **how)


def attack(change: Any, protocol: Protocol | None = None, **settings: Any) -> None:
    federation: Any = Tampering.of(sites([4, 6, 5]))
    federation.change = lambda questions: change(federation, questions)
    hopping = protocol or DaisyChain(1, hops=1)
    train(federation, hopping, **{"sealed_hops": True, "executor": "reference", "steps": 5, **settings})


def test_a_changed_letter_is_refused() -> None:
    def change(federation: Any, questions: dict[str, Any]) -> None:
        letter = questions["b"].letter.copy()
        letter[-20] ^= 1
        questions["b"] = replace(questions["b"], letter=letter)

    with pytest.raises(SiteFailed, match=r"Site 'b': a sealed letter was changed on the way, or is not meant for this"):
        attack(change)


def test_letters_given_to_each_other_s_recipients_are_refused() -> None:
    def change(federation: Any, questions: dict[str, Any]) -> None:
        a, b = questions["a"], questions["b"]
        questions |= {"a": replace(a, letter=b.letter), "b": replace(b, letter=a.letter)}

    with pytest.raises(SiteFailed, match=r"is not meant for this place.*2 sites of 3"):
        attack(change)


def test_an_old_letter_is_refused() -> None:
    """With a shift of 1, b has its letter from a at each step: that of the step before fits in all but its age."""

    def change(federation: Any, questions: dict[str, Any]) -> None:
        questions["b"] = replace(questions["b"], letter=federation.kept[1]["b"].letter)

    with pytest.raises(Refused, match=r"Site 'b': a sealed letter of 'a' is from local step 1, where one after step 1"):
        attack(change)


def test_a_letter_of_the_future_is_refused() -> None:
    def change(federation: Any, questions: dict[str, Any]) -> None:
        questions["b"] = replace(questions["b"], step=1)

    with pytest.raises(Refused, match="is from local step 2, where one after step 1 and up to step 1 was due"):
        attack(change)


def test_a_recipient_whom_nobody_admitted_is_refused() -> None:
    def change(federation: Any, questions: dict[str, Any]) -> None:
        questions["c"] = replace(questions["c"], recipient="coordinator")

    with pytest.raises(Refused, match="Site 'c': its roster has no site 'coordinator', so nothing is sealed for it"):
        attack(change)


@pytest.mark.parametrize("joint", [False, True])
def test_a_letter_of_a_stranger_is_refused(joint: bool) -> None:
    forged = strangers(["a", "b", "c"])

    def change(federation: Any, questions: dict[str, Any]) -> None:
        own = federation["b"].state[STATE].roster
        forger = replace(forged["a"], roster=replace(own, keys={**own.keys, "a": forged["a"].roster.keys["a"]}))
        letter = np.frombuffer(forger.seal("b", bytes(8 * WIDTH), after=2, subject="any"), dtype=np.uint8)
        questions["b"] = replace(questions["b"], letter=letter)

    with pytest.raises(Refused, match="Site 'b': a sealed letter comes from a key that is not in its roster"):
        attack(change, executor="vectorised" if joint else "reference")


def test_a_letter_of_another_run_is_refused() -> None:
    def change(federation: Any, questions: dict[str, Any]) -> None:
        questions |= {name: replace(q, session="another") for name, q in questions.items()}

    with pytest.raises(SiteFailed, match="not meant for this place"):
        attack(change)


def test_a_letter_of_other_layers_is_refused() -> None:
    def change(federation: Any, questions: dict[str, Any]) -> None:
        questions |= {name: replace(q, layers=("0.weight",)) for name, q in questions.items()}

    with pytest.raises(SiteFailed, match="not meant for this place"):
        attack(change)
    with pytest.raises(SiteFailed, match=r"a letter of the layers 0\.weights fits no model"):
        attack(lambda _, qs: qs.update({n: replace(q, layers=("0.weights",)) for n, q in qs.items()}))


@pytest.mark.parametrize("stacked", [False, True])
def test_a_model_that_came_sealed_is_not_shown_before_it_was_trained(stacked: bool) -> None:
    """Else whoever relays it had only to ask the recipient for it."""
    federation: Any = Tampering.of(sites([4, 6, 5]))
    begun = training(federation, DaisyChain(1, hops=1), steps=5, sealed_hops=True, executor="reference")
    for _ in range(2):
        begun.advance()
    letters = begun.coordinator.state()["pending"][0]["rows"]
    question = SealedTrain(step=2, steps=0, row=None, layers=None, send=True, send_layers=None, session="")
    session = federation.kept[1]["a"].session
    asked = Stacked(federation.names, replace(question, session=session), {"letter": letters})
    answers = federation.ask(asked if stacked else dict(asked.messages()))
    reason = "its model came sealed from another site and was not trained here yet: nobody is shown it."
    assert [(a.code, a.reason) for a in answers.values()] == [("Refused", reason)] * 3
    show = Train(step=2, steps=0, row=None, layers=None, send=True, send_layers=None)
    looks = federation.ask(dict.fromkeys(federation.names, Show()))
    assert {a.reason for a in looks.values()} == {
        "its models hop sealed (sealed_hops), and this asks to see one between two exchanges."
    }
    assert all(isinstance(a, Failure) for a in federation.ask(dict.fromkeys(federation.names, show)).values())
    after = replace(show, steps=1)
    assert not any(isinstance(a, Failure) for a in federation.ask(dict.fromkeys(federation.names, after)).values())


# --- with other settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_with_secure_sums_the_coordinator_sees_no_single_model(executor: str) -> None:
    federation = watched()
    case: dict[str, Any] = {"steps": 8, "executor": executor}
    result = train(federation, FedDC(1, 4), sealed_hops=True, secure_sum=True, **case)
    plain = train(sites(SIZES[:4]), FedDC(1, 4), **case)
    np.testing.assert_allclose(result.rows, plain.rows, atol=50 * 2.0**-32)  # type: ignore[arg-type]
    rows = [a.row for _, _, a in federation.seen if isinstance(a, SealedTrained)]
    assert rows
    assert all(row is None for row in rows)
    assert all(a.loss is None for _, _, a in federation.seen if isinstance(a, SealedTrained))
    assert federation.traffic.total_messages("sum_masked") == 2 * 2 * 4


def test_clip_and_noise_come_before_the_seal() -> None:
    privacy = ClipAndNoise(0.1, 2.0)
    case: dict[str, Any] = {"privacy": privacy, "steps": 6, "executor": "vectorised"}
    open_, shut = (train(sites(SIZES), FedDC(1, 3), sealed_hops=seal, **case) for seal in (False, True))
    assert np.array_equal(shut.rows, open_.rows)  # type: ignore[arg-type]
    assert shut.privacy == open_.privacy
    assert shut.privacy[0][1] == 6
    assert ("local_mean", "train_loss") not in {h[1:3] for h in shut.history}
    with pytest.raises(Refused, match=r"Site 'a': it has sent 1 models .* exceed its budget"):
        train(sites(SIZES), FedDC(1, 3), sealed_hops=True, **{**case, "privacy": ClipAndNoise(1.0, 4.0, budget=3.0)})


def test_a_policy_may_refuse_sealed_hops() -> None:
    members = sites([4, 6])
    members[1].policy = Policy(kinds=frozenset({"begin", "train", "evaluate"}))
    with pytest.raises(Refused, match="Site 'b': the policy does not allow the question 'train_sealed'"):
        train(members, DaisyChain(1), sealed_hops=True)


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("federation", [InProcess, OneByOne])
def test_a_killed_run_resumes_to_the_bit(tmp_path: Path, federation: type[InProcess], executor: str) -> None:
    """The letters under way lie in the checkpoint as they are; so do, in a simulation, the keys that open them."""

    def begin() -> Training:
        members = federation.of(sites(SIZES))
        return training(members, FedDC(1, 4), sealed_hops=True, executor=executor, evaluate_every=4)

    whole = run(begin())
    for stop in (2, 5):
        begun = begin()
        for _ in range(stop):
            begun.advance()
        checkpoint.save(tmp_path / "state.pt", begun.state())
        models = [row.tobytes() for row in models_of(begun.federation, outgoing=True)]
        pending = checkpoint.load(tmp_path / "state.pt")["coordinator"]["pending"][0]
        assert pending["sealed"]
        assert pending["rows"].dtype == np.uint8
        assert not any(model[:16] in pending["rows"].tobytes() for model in models)
        again = begin()
        again.restore(checkpoint.load(tmp_path / "state.pt"))
        resumed = run(again)
        assert np.array_equal(resumed.rows, whole.rows)  # type: ignore[arg-type]
        assert resumed.history == whole.history
        assert resumed.traffic == whole.traffic


# --- what cannot be sealed -------------------------------------------------------------------------------------------


def test_models_that_must_be_seen_to_hop_are_refused() -> None:
    with pytest.raises(BadSetting, match=r"taken apart at the coordinator and shuffled \(FedMR\)"):
        training(sites([4, 4]), FedMR(1, 4), sealed_hops=True)
    with pytest.raises(BadSetting, match=r"A chain may average models in the very step .* put first\(\.\.\.\)"):
        sealed(chain(every(1, permute()), every(2, aggregate())))
    with pytest.raises(BadSetting, match="moves models in a way that cannot be sealed"):
        sealed(in_worlds(8, FedDC(1, 4).exchange()))
    with pytest.raises(BadSetting, match="set sealed_hops as well"):
        secured(FedDC(1, 4).exchange())
    kept = chain(every(1, only(("0",), aggregate())), every(2, aggregate()))
    assert sealed(kept).exchanges == kept.exchanges  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", [FedAvg(2), Local()])
def test_where_nothing_hops_nothing_is_added(protocol: Protocol) -> None:
    """In a comparison such protocols stand beside others whose hops are sealed."""
    open_, shut = (train(sites([4, 5]), protocol, sealed_hops=seal) for seal in (False, True))
    assert shut.traffic == open_.traffic


def test_a_site_without_keys_says_so() -> None:
    federation = InProcess.of(sites([4, 5]))
    begun = training(federation, DaisyChain(1), sealed_hops=True)
    begin = Begin(task=begun.recipe.describe())
    del federation["b"].state[STATE]
    answer = federation["b"].answer(begin)
    assert isinstance(answer, Failure)
    assert answer.reason.startswith(
        "site 'b' has no keys to seal models with: let it make a key and give it the roster"
    )


def test_sites_that_are_forgotten_keep_no_keys() -> None:
    lazy = LazySites(9, lambda i: (np.ones((2, 3)), [0, 1]), sizes=2)
    with pytest.raises(BadSetting, match="Sites that are forgotten keep no keys"):
        training(lazy, FedDC(1, 2, fraction=0.4), sealed_hops=True)

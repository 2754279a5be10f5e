"""What a site refuses, and that a refusal comes before any handler runs."""

from __future__ import annotations

import pytest

from tests.contract.federations import sites, training
from unpooled.errors import Refused
from unpooled.sites.policy import Policy
from unpooled.sites.questions import Failure
from unpooled.sites.site import Site, samples
from unpooled.training.protocols import FedAvg, Pooled
from unpooled.training.questions import Begin, Evaluate, Rows, Train

ALLOWED = None


@pytest.mark.parametrize(
    ("policy", "question", "held", "reason"),
    [
        (Policy(), Train, 1, ALLOWED),
        (Policy(), Rows, 9, "never hands out raw rows (question 'rows')"),
        (Policy(allow_raw_data=True), Rows, 9, ALLOWED),
        (Policy(kinds=frozenset({"rows"})), Rows, 9, "never hands out raw rows"),
        (Policy(kinds=frozenset({"train", "begin"})), Evaluate, 9, "the question 'evaluate', only begin, train"),
        (Policy(kinds=frozenset()), Begin, 9, "does not allow the question 'begin', only none"),
        (Policy(min_samples=5), Train, 4, "holds 4 samples and its policy needs at least 5"),
        (Policy(min_samples=5), Train, 5, ALLOWED),
        (Policy(min_samples=5), Train, None, ALLOWED),
    ],
)  # fmt: skip
def test_refusals(policy: Policy, question: type, held: int | None, reason: str | None) -> None:
    found = policy.refusal(question, held)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found
        assert found.endswith(".")


def test_a_refusal_is_an_answer_and_the_handler_never_ran() -> None:
    site = Site("a", samples([[1.0]], [0]), policy=Policy(kinds=frozenset({"evaluate"})))
    answer = site.answer(Begin(task="x"))
    assert answer == Failure(code="Refused", reason="the policy does not allow the question 'begin', only evaluate.")
    assert site.state == {}


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_one_site_that_refuses_stops_the_run_and_is_named(executor: str) -> None:
    members = sites([4, 4, 4])
    members[1].policy = Policy(kinds=frozenset({"begin"}))
    run = training(members, FedAvg(1), executor=executor)
    with pytest.raises(Refused, match="Site 'b': the policy does not allow the question 'train'"):
        run.advance()
    asked = run.federation.traffic.table(["train"])
    assert asked[:, 0].tolist() == [1, 1, 1]


def test_pooling_needs_leave_from_every_site() -> None:
    members = sites([4, 4])
    members[1].policy = Policy()
    with pytest.raises(Refused, match="Site 'b': the policy never hands out raw rows"):
        training(members, Pooled())

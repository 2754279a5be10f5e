"""The link over Flower's grid: who is who, what is lost, what is sent again, and what is never sent twice."""

from __future__ import annotations

import logging
import time

import pytest

from tests.flower.room import Mishap, Room, SuperNode
from unpooled.errors import BadData, BadSetting, SiteFailed
from unpooled.sites.transports.flower import FlowerLink, client_app
from unpooled.sites.transports.flower.link import Pace

pytestmark = pytest.mark.usefixtures("coordinator")
FAST = Pace(ttl=30.0, poll=0.001, look=0.005, pause=0.01)


class Echo:
    """Answers with the question and its own name, and counts."""

    def __init__(self, site: str) -> None:
        self.site, self.handled = site, 0

    def handle(self, data: bytes) -> bytes:
        self.handled += 1
        if data == b"raise":
            raise RuntimeError("no such folder")
        return data + b" from " + self.site.encode()

    def close(self) -> None:
        pass


def room(
    *names: str, mishap: Mishap = lambda site, number: None, registered: bool = True
) -> tuple[Room, dict[str, Echo]]:
    """One SuperNode a name."""
    agents = {name: Echo(name) for name in names}
    nodes = [
        SuperNode(name if registered else "", client_app(lambda config: agents[config["site"]]), {"site": name})
        for name in names
    ]
    return Room(nodes, mishap=mishap), agents


def answers(link: FlowerLink, number: int, seconds: float = 5.0) -> dict[str, bytes]:
    """So many answers by site; fewer where the seconds pass."""
    found: dict[str, bytes] = {}
    end = time.monotonic() + seconds
    while len(found) < number and time.monotonic() < end:
        arrival = link.receive(end - time.monotonic())
        if arrival is not None:
            assert arrival[0] not in found
            found[arrival[0]] = arrival[1]
    return found


def test_answers_come_back_under_the_name_of_their_site() -> None:
    grid, _ = room("berlin", "paris", "rome")
    link = FlowerLink(grid, ["rome", "berlin"], pace=FAST)
    assert link.names == ("rome", "berlin")
    link.send("rome", b"one")
    link.send("berlin", b"two")
    assert answers(link, 2) == {"rome": b"one from rome", "berlin": b"two from berlin"}
    assert link.receive(0.01) is None
    assert grid.nodes[101].pushed == 0  # nobody asked paris


def test_all_questions_of_a_round_go_out_in_one_push() -> None:
    grid, _ = room("berlin", "paris", "rome")
    link = FlowerLink(grid, ["berlin", "paris", "rome"], pace=FAST)
    for name in link.names:
        link.send(name, b"round")
    answers(link, 3)
    assert [sorted(push) for push in grid.pushes if push] == [[100, 101, 102]]


@pytest.mark.parametrize("code", [3, 4, 5, 8, 0, 1, 2, 6, 7])
def test_an_envelope_is_sent_again_after_any_error(code: int) -> None:
    grid, agents = room("berlin", "paris", mishap=lambda site, n: code if site == "berlin" and n < 3 else None)
    link = FlowerLink(grid, ["berlin", "paris"], pace=FAST)
    link.send("berlin", b"q")
    link.send("paris", b"q")
    assert answers(link, 2) == {"berlin": b"q from berlin", "paris": b"q from paris"}
    assert (grid.nodes[100].pushed, grid.nodes[101].pushed) == (4, 1)
    assert (agents["berlin"].handled, agents["paris"].handled) == (1, 1)


def test_an_expired_message_is_followed_by_one_that_lives_twice_as_long() -> None:
    grid, _ = room("berlin", mishap=lambda site, n: [3, 5, 3, None][n])
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"q")
    answers(link, 1)
    link.send("berlin", b"r")
    assert grid.ttls == [30.0, 60.0, 60.0, 120.0]


def test_an_answer_that_was_lost_on_the_way_is_asked_for_again() -> None:
    grid, agents = room("berlin", mishap=lambda site, n: "unheard" if n == 0 else None)
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"q")
    assert answers(link, 1) == {"berlin": b"q from berlin"}
    assert agents["berlin"].handled == 2  # the agent makes the second time free


def test_a_reply_that_comes_twice_counts_once() -> None:
    grid, _ = room("berlin", mishap=lambda site, n: "twice")
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    for question in (b"one", b"two", b"three"):
        link.send("berlin", question)
        assert answers(link, 1) == {"berlin": question + b" from berlin"}
    assert link.receive(0.02) is None


def test_what_the_coordinator_repeats_is_not_pushed_again_while_it_is_on_its_way() -> None:
    grid, _ = room("berlin", mishap=lambda site, n: "vanishes")
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    for _ in range(5):
        link.send("berlin", b"q")
        assert link.receive(0.01) is None
    assert grid.nodes[100].pushed == 1


def test_after_its_answer_the_same_envelope_goes_out_again_when_asked() -> None:
    grid, agents = room("berlin")
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    for _ in range(2):
        link.send("berlin", b"q")
        assert answers(link, 1) == {"berlin": b"q from berlin"}
    assert agents["berlin"].handled == 2


def test_a_newer_question_takes_the_place_of_an_older_one() -> None:
    grid, _ = room("berlin", mishap=lambda site, n: "vanishes" if n == 0 else None)
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"old")
    assert link.receive(0.01) is None
    link.send("berlin", b"new")
    assert answers(link, 1) == {"berlin": b"new from berlin"}


def test_a_node_that_started_again_is_asked_again_without_waiting_for_the_message_to_expire() -> None:
    grid, _ = room("berlin", mishap=lambda site, n: "restarts" if n == 0 else None)
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"q")
    began = time.monotonic()
    assert answers(link, 1) == {"berlin": b"q from berlin"}
    assert time.monotonic() - began < FAST.ttl / 10


def test_a_question_waits_for_a_site_that_is_away_and_for_one_that_comes_under_another_number() -> None:
    grid, _ = room("berlin", "paris")
    grid.nodes[100].online = False
    link = FlowerLink(grid, ["berlin", "paris"], pace=FAST)
    link.send("berlin", b"q")
    link.send("paris", b"q")
    assert answers(link, 2, seconds=0.1) == {"paris": b"q from paris"}
    assert set(link.seen()) == {"paris"}
    assert grid.nodes[100].pushed == 0
    grid.nodes[200] = SuperNode("berlin", grid.nodes[100].app, grid.nodes[100].config)
    assert answers(link, 1) == {"berlin": b"q from berlin"}
    assert 0.0 <= link.seen()["berlin"] < 5.0


def test_a_node_that_the_superlink_does_not_know_any_more_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    grid, _ = room("berlin")
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    listed = list(grid.get_nodes())
    node = grid.nodes.pop(100)
    with monkeypatch.context() as patch:
        patch.setattr(grid, "get_nodes", lambda: listed)
        link.send("berlin", b"q")
        assert link.receive(0.05) is None
    grid.nodes[300] = node
    assert answers(link, 1) == {"berlin": b"q from berlin"}


def test_two_nodes_of_one_name_are_refused() -> None:
    grid, _ = room("berlin", "paris")
    grid.nodes[500] = SuperNode("berlin", grid.nodes[100].app)
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"q")
    with pytest.raises(BadData, match="Two SuperNodes that are online are called 'berlin': 100 and 500"):
        link.receive(1.0)


def test_nodes_without_a_registered_name_are_nobody_unless_their_word_is_taken() -> None:
    grid, _ = room("berlin", "paris", registered=False)
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"q")
    assert link.receive(0.05) is None
    trusting = FlowerLink(grid, ["berlin"], pace=FAST, trusting=True)
    trusting.send("berlin", b"q")
    assert answers(trusting, 1) == {"berlin": b"q from berlin"}
    assert grid.nodes[100].pushed == 2  # its name, then the question


def test_two_nodes_that_say_the_same_name_are_refused() -> None:
    grid, _ = room("berlin", "paris", registered=False)
    grid.nodes[101].config = {"site": "berlin"}
    link = FlowerLink(grid, ["berlin"], pace=FAST, trusting=True)
    link.send("berlin", b"q")
    with pytest.raises(BadData, match="called 'berlin'"):
        answers(link, 1)


def test_a_node_that_cannot_say_its_name_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    grid, _ = room("berlin", registered=False, mishap=lambda site, n: 3 if n < 2 else None)
    link = FlowerLink(grid, ["berlin"], pace=FAST, trusting=True)
    link.send("berlin", b"q")
    assert answers(link, 1) == {"berlin": b"q from berlin"}
    assert grid.nodes[100].pushed == 4


def test_what_somebody_at_the_site_must_mend_is_said_and_tried_in_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    grid, agents = room("berlin")
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"raise")
    with caplog.at_level(logging.WARNING, logger="unpooled.flower"):
        assert link.receive(0.5) is None
    assert "Site 'berlin' failed (code 2): <class 'unpooled.errors.SiteFailed'>:<'RuntimeError" in caplog.text
    assert 3 <= agents["berlin"].handled <= 7  # pauses of 10, 20, 40, ... ms fill half a second


def test_a_site_without_a_name_in_its_config_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    grid, _ = room("berlin", registered=False)
    grid.nodes[100].config = {}
    link = FlowerLink(grid, ["berlin"], pace=FAST, trusting=True)
    link.send("berlin", b"q")
    with caplog.at_level(logging.WARNING, logger="unpooled.flower"):
        assert link.receive(0.05) is None
    assert "start it with 'site=\"berlin\"'" in caplog.text


def test_a_link_that_was_closed_says_so() -> None:
    grid, _ = room("berlin")
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.close()
    for call in (lambda: link.send("berlin", b"q"), lambda: link.receive(0.1)):
        with pytest.raises(SiteFailed, match="closed"):
            call()


def test_a_superlink_that_takes_no_message_of_that_size_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    grid, _ = room("berlin")
    monkeypatch.setattr(grid, "push_messages", lambda messages: [])
    link = FlowerLink(grid, ["berlin"], pace=FAST)
    link.send("berlin", b"12345678")
    with pytest.raises(SiteFailed, match="messages of 8 bytes"):
        link.receive(0.1)


@pytest.mark.parametrize("setting", ["ttl", "poll", "look", "pause"])
def test_times_must_be_above_zero(setting: str) -> None:
    with pytest.raises(BadSetting, match=setting):
        Pace(**{setting: 0.0})

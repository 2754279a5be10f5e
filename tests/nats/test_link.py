"""What a link promises: bytes come back exact, of any size, late or not, and nothing is left behind."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

import pytest

from tests.nats.hall import Hall, until
from unpooled.errors import BadSetting, SiteFailed
from unpooled.sites.transports.nats.link import NatsLink

Halls = Callable[..., Hall]


def ask(link: NatsLink, questions: dict[str, bytes], seconds: float = 30.0) -> dict[str, bytes]:
    """One question to each of some sites, and their answers."""
    for name, data in questions.items():
        link.send(name, data)
    answers: dict[str, bytes] = {}
    while len(answers) < len(questions):
        found = link.receive(seconds)
        assert found is not None, f"no answer of {set(questions) - set(answers)}"
        answers[found[0]] = found[1]
    return answers


@pytest.mark.parametrize("size", [0, 1000, 2**18, 2**18 + 1, 2**20, 5_000_003])
def test_bytes_come_back_exact(size: int, hall: Halls) -> None:
    here = hall()
    link = here.link()
    for name in here.names:
        here.site(name, lambda data, name=name: name.encode() + data[::-1])
    questions = {name: secrets.token_bytes(size) for name in here.names}
    assert ask(link, questions) == {name: name.encode() + data[::-1] for name, data in questions.items()}


def test_64_megabytes(hall: Halls) -> None:
    here = hall("a")
    link = here.link()
    here.site("a")
    data = secrets.token_bytes(2**26)
    assert ask(link, {"a": data}, 120) == {"a": data}


def test_the_newest_question_waits_for_a_site_that_is_away(hall: Halls) -> None:
    here = hall("a")
    link = here.link()
    link.send("a", b"old")
    link.send("a", b"new")
    assert link.receive(0.3) is None
    assert link.seen() == {}
    site = here.site("a")
    assert link.receive(20) == ("a", b"new")
    assert link.receive(0.3) is None
    assert site.agent.handled == 1
    assert 0 <= link.seen()["a"] < 5


def test_an_answer_waits_while_nobody_receives(hall: Halls) -> None:
    here = hall("a", "b")
    link = here.link()
    for name in here.names:
        here.site(name)
        link.send(name, name.encode())
    until(lambda: len(link._inbox) == 2)
    assert sorted([link.receive(5), link.receive(5)]) == [("a", b"a"), ("b", b"b")]  # type: ignore[type-var]


def test_a_repeated_question_is_free_while_the_site_works_on_it(hall: Halls) -> None:
    here, go = hall("a"), threading.Event()
    link = here.link()
    site = here.site("a", lambda data: data if go.wait(20) else b"")
    link.send("a", b"question")
    until(lambda: link._lines["a"].presence.parcel)
    for _ in range(5):
        link.send("a", b"question")
    go.set()
    assert link.receive(20) == ("a", b"question")
    assert link.receive(0.5) is None
    assert site.agent.handled == 1
    link.send("a", b"question")  # now it is wanted again, as after a coordinator's restart
    assert link.receive(20) == ("a", b"question")
    assert site.agent.handled == 2


def test_a_link_that_is_closed_refuses(hall: Halls) -> None:
    here = hall("a")
    link = here.link()
    with pytest.raises(BadSetting, match="no site 'aa'"):
        link.send("aa", b"")
    link.close()
    with pytest.raises(SiteFailed, match="closed"):
        link.send("a", b"")
    with pytest.raises(SiteFailed, match="closed"):
        link.receive(1)
    link.close()


def test_nothing_is_left_behind(hall: Halls) -> None:
    before = set(threading.enumerate())
    here = hall("a")
    link = here.link()
    site = here.site("a")
    assert ask(link, {"a": b"x"}) == {"a": b"x"}
    site.stop()
    link.close()
    here.broker.close()
    until(lambda: set(threading.enumerate()) <= before, 5)


def test_a_link_may_be_there_before_the_broker(hall: Halls) -> None:
    here = hall("a")
    here.broker.close()
    site = here.site("a")
    link = NatsLink(here.access("coordinator"), here.names)
    link.send("a", b"x")
    assert link.receive(0.3) is None
    here.restart()
    assert link.receive(20) == ("a", b"x")
    link.close()
    site.stop()

"""What breaks in a network: nothing is lost, and what was underway goes on by itself."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nats.hall import Hall, free_port, until
from tests.nats.test_link import ask
from tests.nats.tunnel import Tunnel
from unpooled.sites.transports.nats.access import Pace
from unpooled.sites.transports.nats.link import NatsLink
from unpooled.sites.transports.nats.serve import Post

Halls = Callable[..., Hall]


def rounds(link: NatsLink, names: tuple[str, ...], count: int, size: int = 300_000) -> None:
    """Lock-step rounds as a run has them, each question another one."""
    for _ in range(count):
        questions = {name: secrets.token_bytes(size) for name in names}
        assert ask(link, questions, 60) == questions


def test_the_broker_is_restarted_again_and_again(hall: Halls) -> None:
    here = hall()
    link = here.link()
    for name in here.names:
        here.site(name)
    done = threading.Event()

    def restarts() -> None:
        while not done.wait(1.0):
            here.restart()

    other = threading.Thread(target=restarts)
    other.start()
    try:
        while here.restarts < 3:
            rounds(link, here.names, 1, 1_000_000)
    finally:
        done.set()
        other.join()


def stopped_for(hall: Halls, seconds: float) -> None:
    here = hall()
    link = here.link()
    for name in here.names:
        here.site(name)
    rounds(link, here.names, 2)
    os.kill(here.broker.pid, signal.SIGSTOP)
    for name in here.names:
        link.send(name, b"in the dark " + name.encode())
    time.sleep(seconds)
    os.kill(here.broker.pid, signal.SIGCONT)
    found = {}
    while len(found) < 3:
        answer = link.receive(60)
        assert answer is not None
        found[answer[0]] = answer[1]
    assert found == {name: b"in the dark " + name.encode() for name in here.names}
    rounds(link, here.names, 2)


def test_the_broker_is_stopped_for_a_while(hall: Halls) -> None:
    stopped_for(hall, 3.0)


@pytest.mark.slow
def test_the_broker_is_stopped_for_a_minute(hall: Halls) -> None:
    stopped_for(hall, 60.0)


@pytest.mark.parametrize("quietly", [True, False], ids=["packets vanish", "connections break"])
def test_the_network_is_cut_in_the_middle_of_a_question(quietly: bool, hall: Halls) -> None:
    port = free_port()
    here = hall("a", port=port)
    with Tunnel(port, here.port, bytes_a_second=4_000_000) as tunnel:
        link = here.link()
        here.site("a")
        data = secrets.token_bytes(4_000_000)
        link.send("a", data)
        until(lambda: tunnel.carried > 1_000_000)
        tunnel.cut(quietly=quietly)
        assert link.receive(1.5) is None
        tunnel.mend()
        assert link.receive(60) == ("a", data)


CRASHING = """
import os, sys
from pathlib import Path
from tests.nats.hall import QUICK, Echo
from unpooled.sites.transports.nats.access import Access
from unpooled.sites.transports.nats.serve import serve

name, url, own, mark = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])

def answer(data):
    if not mark.exists():
        mark.write_text("killed once")
        os.kill(os.getpid(), 9)
    return data

serve(Echo(answer), Access(name, (url,), own / "authority", own / "certificate", own / "key"), pace=QUICK)
"""


def test_a_site_is_killed_while_it_works_and_started_again(hall: Halls, tmp_path: Path) -> None:
    here = hall("a")
    link = here.link()
    own = here.access("a").key.parent
    command = [sys.executable, "-c", CRASHING, "a", here.access("a").urls[0], str(own), str(tmp_path / "mark")]
    link.send("a", b"question")
    assert subprocess.run(command, check=False).returncode == -9
    again = subprocess.Popen(command)
    try:
        answer = None
        while answer is None:  # as `Remote` does: a question without an answer is sent again
            link.send("a", b"question")
            answer = link.receive(1)
        assert answer == ("a", b"question")
    finally:
        again.terminate()
        assert again.wait(20) == 0


def test_the_coordinator_is_killed_and_asks_again(hall: Halls) -> None:
    here = hall()
    sites = [here.site(name) for name in here.names]
    data = secrets.token_bytes(3_000_000)
    for _ in range(5):
        link = here.link()
        for name in here.names:
            link.send(name, data)
        time.sleep(secrets.randbelow(50) / 1000)
        link.close()  # the other half of a kill: nobody acknowledges any more
    link = here.link()
    assert ask(link, dict.fromkeys(here.names, data), 60) == dict.fromkeys(here.names, data)
    assert all(site.agent.handled >= 1 for site in sites)


def test_attempts_to_connect_become_rare(hall: Halls) -> None:
    here = hall("a")
    access = here.access("a")
    here.broker.close()
    pace = Pace(heartbeat=1, resend=1, first_pause=0.1, longest_pause=0.8, ping=1)
    posts = [Post(access, pace=pace) for _ in range(5)]
    time.sleep(4)
    attempts = [post.wire.attempts for post in posts]
    for post in posts:
        post.close()
    # 0.1 + 0.2 + 0.4 + 0.8 + ... with at least half of each: seldom more than 12 in 4 s, and not one after another
    assert all(1 <= count <= 13 for count in attempts), attempts


def test_sites_that_come_back_say_so_and_get_what_waits(hall: Halls) -> None:
    here = hall(*[f"s{i}" for i in range(10)])
    link = here.link()
    sites = [here.site(name) for name in here.names]
    until(lambda: len(link.seen()) == 10)
    for site in sites[:5]:
        site.stop()
    for name in here.names:
        link.send(name, name.encode())
    found = dict(link.receive(20) or ("", b"") for _ in range(5))
    assert set(found) == set(here.names[5:])
    for name in here.names[:5]:
        here.site(name)
    found = dict(link.receive(20) or ("", b"") for _ in range(5))
    assert set(found) == set(here.names[:5])


@pytest.mark.slow
def test_memory_does_not_grow_over_1000_rounds_of_50_sites(hall: Halls) -> None:
    here = hall(*[f"s{i}" for i in range(50)])
    link = here.link()
    for name in here.names:
        here.site(name, pace=Pace())
    rounds(link, here.names, 200, 20_000)
    before, broker = _resident("self"), _resident(str(here.broker.pid))
    rounds(link, here.names, 800, 20_000)
    assert _resident("self") < before + 20_000_000
    assert _resident(str(here.broker.pid)) < broker + 50_000_000


def _resident(process: str) -> int:
    """Bytes in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

"""Who tries what at the broker, and is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.nats.hall import QUICK, Hall, free_port, until
from unpooled.sites.transports.nats import certificates
from unpooled.sites.transports.nats.access import Access
from unpooled.sites.transports.nats.certificates import Pair
from unpooled.sites.transports.nats.parcels import MOST_BYTES
from unpooled.sites.transports.nats.reach import reach
from unpooled.sites.transports.nats.wire import Wire

Halls = Callable[..., Hall]


def with_pair(access: Access, pair: Pair, folder: Path) -> Access:
    """The same way in with another certificate and key."""
    folder.mkdir()
    (folder / "certificate").write_bytes(pair.certificate)
    (folder / "key").write_bytes(pair.key)
    return replace(access, certificate=folder / "certificate", key=folder / "key")


def signer(here: Hall) -> Pair:
    return here.folder._signer()


def forged(here: Hall, kind: str) -> Pair:
    """Keys that must not open the door."""
    listed = here.folder.read().sites["a"]
    if kind == "a stranger's authority, the right name":
        return certificates.for_client(certificates.authority("stranger"), listed)
    if kind == "our authority, a name that is not listed":
        return certificates.for_client(signer(here), "a")
    if kind == "expired":
        return certificates.for_client(signer(here), listed, days=-1)
    assert kind == "the broker's own certificate"
    return certificates.for_server(signer(here), ["localhost"])


@pytest.mark.parametrize(
    "kind",
    [
        "a stranger's authority, the right name",
        "our authority, a name that is not listed",
        "expired",
        "the broker's own certificate",
    ],
)
def test_a_key_that_is_not_admitted(kind: str, hall: Halls, tmp_path: Path) -> None:
    here = hall("a")
    here.link()
    assert reach(here.access("a"), 10) is None
    refused = reach(with_pair(here.access("a"), forged(here, kind), tmp_path / "forged"), 1.5)
    assert refused is not None
    if kind == "expired":
        assert "this certificate ended on" in refused


class Bare(Access):
    """Trusts the right authority and shows nothing."""

    def context(self) -> ssl.SSLContext:
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.load_verify_locations(cafile=self.authority)
        return bare


def test_no_certificate_at_all(hall: Halls) -> None:
    here = hall("a")
    here.link()
    assert reach(Bare(**vars(here.access("a"))), 0.7) is not None


def test_plain_text_is_not_spoken_to(hall: Halls) -> None:
    here = hall("a")
    here.link()
    with socket.create_connection(("127.0.0.1", here.port), timeout=20) as plain:
        greeting = plain.recv(4096)
        assert b'"tls_required":true' in greeting
        plain.sendall(b'CONNECT {"verbose":false}\r\nSUB from.* 1\r\nPING\r\n')
        said = b""
        while data := plain.recv(4096):
            said += data
    assert b"PONG" not in said
    assert b"MSG" not in said


def test_a_broker_that_offers_no_tls_is_told_nothing(hall: Halls) -> None:
    here = hall("a")
    heard: list[bytes] = []
    done = threading.Event()
    port = free_port()
    listener = socket.create_server(("127.0.0.1", port))

    def impostor() -> None:
        listener.settimeout(0.1)
        while not done.is_set():
            try:
                one, _ = listener.accept()
            except TimeoutError:
                continue
            with one:
                one.settimeout(1)
                one.sendall(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576}\r\n')
                try:
                    while data := one.recv(4096):
                        heard.append(data)
                        if b"PING" in data:
                            one.sendall(b"PONG\r\n")
                except OSError:
                    pass

    thread = threading.Thread(target=impostor)
    thread.start()
    access = replace(here.access("a"), urls=(f"tls://127.0.0.1:{port}",))
    trouble = reach(access, 2)
    done.set()
    thread.join()
    listener.close()
    assert "no TLS" in (trouble or "")
    assert not any(word in b"".join(heard) for word in (b"SUB", b"PUB"))


def test_a_broker_with_a_certificate_of_another_authority_or_host(hall: Halls, tmp_path: Path) -> None:
    here, other = hall("a"), hall("a")
    here.link()
    other.link()
    assert reach(replace(here.access("a"), urls=other.access("a").urls), 0.7) is not None
    # 127.0.0.2 is the same machine, but no name of the broker's certificate
    assert reach(replace(here.access("a"), urls=(f"tls://127.0.0.2:{here.port}",)), 0.7) is not None


def as_site(here: Hall, name: str, subscribe: list[str], publish: list[str]) -> tuple[list[str], list[str]]:
    """Say that to the broker with the key of site `name`: what it complains about, and the subjects that arrived."""
    errors: list[str] = []
    got: list[str] = []

    async def complain(error: Exception) -> None:
        errors.append(str(error))

    async def message(msg: Msg) -> None:
        got.append(msg.subject)

    async def work() -> None:
        access = here.access(name)
        client = Client()
        await client.connect(list(access.urls), tls=access.context(), allow_reconnect=False, error_cb=complain)
        for subject in subscribe:
            await client.subscribe(subject, cb=message)
        for subject in publish:
            await client.publish(subject, b"Afalse")
        await client.flush()
        await asyncio.sleep(1.0)
        await client.close()

    asyncio.run(work())
    return errors, got


def test_a_site_reads_nothing_but_its_own_questions(hall: Halls) -> None:
    here = hall("a", "b")
    link = here.link()
    here.site("b", lambda data: data[::-1])
    done = threading.Event()

    def traffic() -> None:
        while not done.is_set():
            link.send("b", b"secret")
            assert link.receive(20) == ("b", b"terces")

    thread = threading.Thread(target=traffic)
    thread.start()
    wanted = ["to.b", "from.b", "here.b", "from.a", "to.*", "from.>", ">", "*.b", "_INBOX.>", "$SYS.>", "$JS.API.>"]
    errors, got = as_site(here, "a", wanted, [])
    done.set()
    thread.join()
    assert got == []
    for subject in wanted:
        assert any(f'"{subject.lower()}"' in error.lower() for error in errors), subject


def test_a_site_writes_nothing_but_its_own_answers(hall: Halls) -> None:
    here = hall("a", "b")
    link = here.link()
    here.site("b")
    until(lambda: "b" in link.seen())
    wanted = ["from.b", "to.b", "here.b", "to.a", "call", "$SYS.REQ.USER.INFO", "$JS.API.INFO", "_INBOX.x"]
    errors, _ = as_site(here, "a", [], wanted)
    for subject in wanted:
        assert any(f'"{subject.lower()}"' in error.lower() for error in errors), subject
    link.send("b", b"x")
    assert link.receive(20) == ("b", b"x")
    assert "a" not in link.seen()


def test_the_coordinator_can_be_asked_by_nobody_and_asks_only_sites(hall: Halls) -> None:
    here = hall("a")
    here.link()
    errors, _ = as_site(here, "coordinator", ["to.*", "to.a"], ["from.a", "here.a"])
    assert len(errors) == 4


def test_a_message_that_is_too_large_ends_the_connection_and_nothing_else(hall: Halls) -> None:
    here = hall("a", "b")
    link = here.link()
    here.site("b")
    access = here.access("a")

    async def work() -> str:
        client = Client()
        said: list[str] = []

        async def complain(error: Exception) -> None:
            said.append(str(error))

        await client.connect(list(access.urls), tls=access.context(), allow_reconnect=False, error_cb=complain)
        client._max_payload = 2**30  # nats-py would refuse by itself
        try:
            await client.publish("from.a", bytes(2_000_000))
            await client.flush()
        except (TimeoutError, OSError, nats.errors.Error) as error:
            said.append(repr(error))
        await asyncio.sleep(0.2)
        closed = client.is_closed
        await client.close()
        return " ".join(said) if closed else "still open"

    assert "still open" not in asyncio.run(work())
    link.send("b", b"x")
    assert link.receive(20) == ("b", b"x")


def test_a_flood_of_malformed_messages_costs_the_link_nothing(hall: Halls) -> None:
    here = hall("a", "b")
    link = here.link()
    here.site("b")
    wire = Wire(here.access("a"), {}, pace=QUICK)
    wire.start()
    assert wire.wait(10)
    huge = b"C" + b"12345678" + MOST_BYTES.to_bytes(8) + bytes(4) + bytes(4) + (8192).to_bytes(4) + bytes(2**18)
    for message in (b"", b"A", b"C", b"?" * 100, huge, b"\xff" * 200_000):
        for _ in range(50):
            wire.call(wire.publish, "from.a", message)
            wire.call(wire.publish, "here.a", message)
    link.send("b", b"x")
    assert link.receive(20) == ("b", b"x")
    wire.close()
    assert link._lines["a"].receiver._chunks == {}


def test_a_site_that_was_removed_is_cut_off_and_stays_out(hall: Halls) -> None:
    here = hall("a", "b")
    here.link()
    access = here.access("a")
    site = here.site("a")
    assert site.post.wire.wait(10)
    here.folder.remove(["a"])
    here.broker.reload()
    until(lambda: not site.post.wire.connected)
    assert "does not admit" in (reach(access, 1.5) or "")
    assert reach(here.access("b"), 10) is None


def test_a_certificate_that_was_replaced_opens_nothing(hall: Halls) -> None:
    here = hall("a")
    here.link()
    old = here.access("a")
    before = old.certificate.read_bytes(), old.key.read_bytes()
    here.folder.admit(["a"])
    here.broker.reload()
    time.sleep(0.5)
    assert reach(here.access("a"), 10) is None
    old.certificate.write_bytes(before[0])
    old.key.write_bytes(before[1])
    assert "does not admit" in (reach(old, 1.5) or "")

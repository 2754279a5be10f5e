"""One connection to the broker in a thread of its own, kept up for ever. asyncio stays in here."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from threading import Event, Thread
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from unpooled.errors import SiteFailed
from unpooled.sites.transports.nats.access import Access, Pace

Heard = Callable[[str, bytes], None]
"""Called in the wire's thread with a subject and a message."""
PENDING = 64 * 2**20
"""Bytes that may wait in memory for a connection that is slower than we are."""
log = logging.getLogger(__name__)


def _no_noise(record: logging.LogRecord) -> bool:
    """asyncio's streams warn when the other end closes a connection that became TLS half-way, as NATS does."""
    return "eof_received() has no effect when using ssl" not in str(record.msg)


class Wire:
    """Connects to the broker, subscribes to `heard`'s subjects, and does so again whenever the connection was lost.

    `up` is called in the wire's thread after each success, `every` about twice a second. Messages that are published
    while there is no connection are dropped: whoever needs them has to send them again.
    """

    def __init__(
        self,
        access: Access,
        heard: Mapping[str, Heard],
        *,
        pace: Pace,
        up: Callable[[], None] = lambda: None,
        every: Callable[[float], None] = lambda now: None,
    ) -> None:
        self.access, self.pace = access, pace
        self._heard, self._up, self._every = dict(heard), up, every
        self._context = access.context()
        self._loop = asyncio.new_event_loop()
        self._client: Client | None = None
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._lost = asyncio.Event()
        self._connected = Event()
        self._closed = self._ending = False
        self.trouble = self._said = ""
        self.attempts = 0
        logging.getLogger("asyncio").addFilter(_no_noise)
        self._main = self._loop.create_task(self._all())
        self._own: set[asyncio.Task[None]] = set()
        self._thread = Thread(target=self._work, name=f"unpooled-{access.name}", daemon=True)

    def start(self) -> None:
        """Begin to connect, in a thread."""
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._connected.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait for the first, or the next, connection; False where `timeout` seconds were not enough."""
        return self._connected.wait(timeout)

    def publish(self, subject: str, data: bytes) -> None:
        """Queue a message. Only from the wire's thread; see `call`."""
        if self._client is not None:
            self._outgoing.put_nowait((subject, data))

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Let the wire's thread call `function`. Raises `SiteFailed` where the wire is closed."""
        if self._closed:
            raise SiteFailed("The connection to the broker was closed: open it anew.")
        self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Send what is queued, let go of the connection and end the thread."""
        if self._closed:
            return
        self._closed = True
        if not self._thread.is_alive():  # never started
            self._thread.start()
        while self._thread.is_alive():
            with suppress(RuntimeError):  # its loop may have been closed just now
                self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(0.5)

    def _stop(self) -> None:
        """Cancel what runs, again where nats-py or the standard library swallowed it, but not the farewell."""
        if not self._ending:
            self._main.cancel()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_leftover)
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _all(self) -> None:
        ticks = self._loop.create_task(self._tick())
        self._own = {self._main, ticks}
        try:
            await self._keep_up()
        finally:
            self._ending = True
            await _quietly(self._flush())
            await _cancel([ticks])
            await self._hang_up()

    async def _keep_up(self) -> None:
        pause = self.pace.first_pause
        while not self._closed:
            self._lost.clear()
            self._said = ""
            began = time.monotonic()
            try:
                await self._dial()
                await self._until_lost()
                log.warning("%s: the connection to the broker was lost", self.access.name)
                _abort(self._client)
            except (TimeoutError, OSError, nats.errors.Error) as error:  # an SSLError is an OSError
                said = self._said or str(error) or type(error).__name__
                if said != self.trouble:
                    log.warning("%s: no connection to %s: %s", self.access.name, ", ".join(self.access.urls), said)
                self.trouble = said
            await self._hang_up()
            if time.monotonic() - began > self.pace.longest_pause:
                pause = self.pace.first_pause
            await asyncio.sleep(pause * secrets.SystemRandom().uniform(0.5, 1.0))
            pause = min(2 * pause, self.pace.longest_pause)

    async def _until_lost(self) -> None:
        """nats-py says when a connection is closed, unless closing it fails in the middle."""
        while self._client is not None and self._client.is_connected and not self._lost.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._lost.wait(), 0.25)

    async def _dial(self) -> None:
        self.attempts += 1
        client = Client()
        self._client = client
        await client.connect(
            servers=list(self.access.urls),
            name=self.access.name,
            tls=self._context,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=10,
            ping_interval=max(1, round(self.pace.ping)),
            max_outstanding_pings=2,
            pending_size=PENDING,
            error_cb=self._error,
            closed_cb=self._gone,
        )
        _demand_tls(client)
        for subject, heard in self._heard.items():
            await client.subscribe(subject, cb=_callback(heard), pending_msgs_limit=-1, pending_bytes_limit=-1)
        await client.flush(10)
        log.info("%s: connected to %s", self.access.name, client.connected_url and client.connected_url.netloc)
        self.trouble = ""
        self._writing = self._loop.create_task(self._write(client))
        self._connected.set()
        self._up()

    async def _hang_up(self) -> None:
        self._connected.clear()
        client, self._client = self._client, None
        while not self._outgoing.empty():
            self._outgoing.get_nowait()
        if client is not None:
            await _quietly(client.close())
            # Where the connection broke, nats-py may stop in the middle of this and leave its tasks and its socket.
            _abort(client)
            await _cancel([task for task in asyncio.all_tasks() if task not in self._own])

    async def _write(self, client: Client) -> None:
        """Send what is queued; ends with its connection, which may leave it waiting for ever."""
        try:
            while True:
                subject, data = await self._outgoing.get()
                await client.publish(subject, data)
        except (OSError, nats.errors.Error) as error:
            log.debug("%s: messages were dropped: %r", self.access.name, error)

    async def _flush(self) -> None:
        """What is queued goes out, if it can within a second."""
        for _ in range(100):
            if self._client is None or self._outgoing.empty():
                break
            await asyncio.sleep(0.01)
        if self._client is not None and self._client.is_connected:
            await self._client.flush(1)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(min(0.5, self.pace.resend / 4, self.pace.heartbeat / 2))
            self._every(time.monotonic())

    async def _error(self, error: Exception) -> None:
        self._said = str(error) or type(error).__name__
        log.debug("%s: %s", self.access.name, self._said)

    async def _gone(self) -> None:
        self._lost.set()


def _callback(heard: Heard) -> Callable[[Msg], Coroutine[Any, Any, None]]:
    async def message(msg: Msg) -> None:
        heard(msg.subject, msg.data)

    return message


def _demand_tls(client: Client) -> None:
    """nats-py goes on in plain text where a server does not ask for TLS, as somebody in between might."""
    writer = _writer(client)
    if writer is None or writer.get_extra_info("ssl_object") is None:
        raise ConnectionError("whoever answers there offers no TLS: nothing is said to it.")


def _leftover(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tasks of nats-py end with an error where their connection breaks; nobody waits for them."""
    error = context.get("exception")
    level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
    log.log(level, "%s", context.get("message"), exc_info=error)


def _writer(client: Client) -> Any:
    """The stream writer below a connection, None before there is one."""
    return getattr(client._transport, "_io_writer", None)


def _abort(client: Client | None) -> None:
    writer = None if client is None else _writer(client)
    if writer is not None:
        writer.transport.abort()


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=5)
        if stuck:
            log.error("tasks do not end: %s", stuck)


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    """On the way out a broken connection is no news."""
    try:
        await asyncio.wait_for(work, 2)
    except (TimeoutError, OSError, nats.errors.Error) as error:
        log.debug("while closing: %r", error)

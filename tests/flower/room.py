"""Flower in one process, without sockets: a Grid whose SuperNodes answer where they are asked, and as badly as told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

Mishap = Callable[[str, int], object]
"""Given the site and how many messages were pushed to it before: None, or what goes wrong with this one.

An int is an error code instead of an answer; "vanishes" gives none at all until the time to live is over, "twice" the
same reply two times, "unheard" works on it and then says code 3, "restarts" loses it in a SuperNode that starts again.
"""


@dataclass
class SuperNode:
    """A site: its registered name (or none), its app and its node config."""

    name: str
    app: ClientApp
    config: Mapping[str, Any] = field(default_factory=dict)
    online: bool = True
    started: int = 0
    pushed: int = 0


class Room(Grid):
    """SuperNodes by number. Messages are worked on when replies are pulled, one a pull and node, as Flower does."""

    def __init__(self, nodes: Iterable[SuperNode], *, mishap: Mishap = lambda site, number: None) -> None:
        self.nodes = dict(enumerate(nodes, start=100))
        self.mishap = mishap
        self.pushes: list[list[int]] = []
        self.ttls: list[float] = []
        self._ids = count()
        self._waiting: dict[str, tuple[Message, object]] = {}
        self._again: list[Message] = []

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        self.pushes.append([])
        for message in messages:
            node = self.nodes.get(message.metadata.dst_node_id)
            name = f"message-{next(self._ids)}" if node is not None else ""
            if node is not None:
                self.pushes[-1].append(message.metadata.dst_node_id)
                self.ttls.append(message.metadata.ttl)
                message.metadata.__dict__["_message_id"] = name
                self._waiting[name] = (message, self.mishap(node.name, node.pushed))
                node.pushed += 1
            ids.append(name)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        asked, busy = set(message_ids), set()
        replies, self._again = self._again, []
        for name in [name for name in self._waiting if name in asked]:
            message, mishap = self._waiting[name]
            number = message.metadata.dst_node_id
            if number not in busy:
                busy.add(number)
                replies.extend(self._work(name, message, mishap))
        return replies

    def _work(self, name: str, message: Message, mishap: object) -> Iterator[Message]:
        node = self.nodes[message.metadata.dst_node_id]
        del self._waiting[name]
        if not node.online:
            yield error_reply(message, 5)
        elif mishap == "restarts":
            node.started += 1
        elif isinstance(mishap, int):
            yield error_reply(message, mishap)
        elif mishap != "vanishes":
            reply = answer_at(node, message)
            if mishap == "twice":
                self._again.append(reply)
            yield error_reply(message, 3) if mishap == "unheard" else reply

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [
            NodeInfo(node_id=number, name=node.name, status="online", last_activated_at=str(node.started))
            for number, node in self.nodes.items()
            if node.online
        ]

    def get_node_ids(self) -> Iterable[int]:
        return [node.node_id for node in self.get_nodes()]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise AssertionError("send_and_receive sleeps for three seconds: nobody calls it.")

    def create_message(self, *arguments: Any, **more: Any) -> Message:
        raise AssertionError("create_message is deprecated.")

    def set_run(self, run: Run) -> None:
        raise AssertionError("The room has no run.")

    @property
    def run(self) -> Run:
        raise AssertionError("The room has no run.")


@contextmanager
def identity(node: int) -> Iterator[None]:
    """What Flower tells a process about itself."""
    before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, node
    try:
        yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before


def answer_at(node: SuperNode, message: Message) -> Message:
    """The reply of the site's app; code 2 with the exception's text where it raises, as Flower does."""
    context = Context(
        run_id=1, node_id=message.metadata.dst_node_id, node_config=dict(node.config), state=RecordDict(), run_config={}
    )
    try:
        return node.app(message, context)
    except Exception as error:
        return Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)


def error_reply(message: Message, code: int) -> Message:
    """As the SuperLink writes them: from node 1, to node 1."""
    reply = Message(Error(code, f"code {code}"), reply_to=message)
    reply.metadata.__dict__["_src_node_id"] = 1
    return reply

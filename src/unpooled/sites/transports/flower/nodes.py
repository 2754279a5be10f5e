"""Which SuperNode is which site: by the name it was registered under, or by what its node config says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flwr.serverapp import Grid

from unpooled.errors import BadData


class Node(NamedTuple):
    """A SuperNode that is online, and when it started: another value after a restart."""

    number: int
    started: str


class Nodes:
    """The SuperNodes online behind `grid`, by the names of `sites`.

    A name given at registration (`flwr supernode register KEY --name berlin`) is vouched for by the node's key. With
    `trusting`, nodes registered without a name, or without a key at all, are believed what they say they are called
    (`introduce`). Raises `BadData` where two nodes are one site.
    """

    def __init__(self, grid: Grid, sites: Sequence[str], *, trusting: bool) -> None:
        self.online: dict[str, Node] = {}
        self.nameless: list[int] = []
        self._grid, self._sites, self._trusting = grid, frozenset(sites), trusting
        self._said: dict[int, str] = {}

    def look(self) -> None:
        """See who is online now; `nameless` are those who have to be asked for their name."""
        online: dict[str, Node] = {}
        nameless = []
        for node in self._grid.get_nodes():
            name = node.name or self._said.get(node.node_id)
            if name is None and self._trusting:
                nameless.append(node.node_id)
            if name not in self._sites:
                continue
            if name in online:
                raise BadData(
                    f"Two SuperNodes that are online are called '{name}': {online[name].number} and {node.node_id}. "
                    "Every site needs a name of its own: unregister one, or change site= in its --node-config."
                )
            online[name] = Node(node.node_id, node.last_activated_at)
        self.online, self.nameless = online, nameless

    def introduce(self, number: int, name: str) -> None:
        """Believe a node without a registered name what it says it is called."""
        self._said[number] = name
        self.look()

"""The site's end of a Flower federation: a ClientApp with one action, which hands an envelope to the site's agent.

Flower starts a fresh process for every message, so the agent is opened anew each time and all that a site must remember
lies on its own disk, where its node config says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Protocol

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from unpooled.errors import BadSetting, SiteFailed
from unpooled.sites.transports.flower.records import ACTION, bytes_of, record_of

log = logging.getLogger(__name__)


class Agent(Protocol):
    """What answers at a site."""

    def handle(self, data: bytes) -> bytes:
        """The packed answer to a packed question."""
        ...

    def close(self) -> None:
        """Let go of the site's files."""
        ...


def client_app(open_agent: Callable[[Mapping[str, Any]], Agent]) -> ClientApp:
    """The app of a site. `open_agent` gets the SuperNode's node config, which has to name the site (`site="berlin"`).

    An empty message asks for that name and opens no agent. Flower hands the text of what is raised here to the
    coordinator, with its code 2, so why a site's files cannot be used stays in the SuperNode's own log.
    """
    app = ClientApp()

    def answer(message: Message, context: Context) -> Message:
        data = bytes_of(message)
        if not data:
            return Message(record_of(site_name(context.node_config).encode()), reply_to=message)
        try:
            with closing(open_agent(context.node_config)) as agent:
                return Message(record_of(agent.handle(data)), reply_to=message)
        except Exception as error:
            log.exception("The site's files cannot be used.")
            reason = f"{type(error).__name__} at the site: its SuperNode's own log says why."
            raise SiteFailed(reason) from None

    app.query(ACTION)(answer)
    return app


def site_name(node_config: Mapping[str, Any]) -> str:
    """The site's name. Raises `BadSetting` where the node config has none."""
    name = node_config.get("site")
    if not isinstance(name, str) or not name.strip():
        raise BadSetting("The SuperNode's --node-config names no site: start it with 'site=\"berlin\"', for example.")
    return name

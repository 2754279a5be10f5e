"""A federation over Flower that only answers what it was sent, so that a round is overhead and nothing else.

Both Flower's own way (arrays, `send_and_receive`) and unpooled's link over Flower; the run config, or in a simulation
the environment, says which, how many rounds, and where the seconds go.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from unpooled.sites.transports.flower import FlowerLink, client_app

SITES, NUMBERS = ("a", "b", "c"), 250_000
"""Three sites, and a model of 1 MB as float32."""
SETTINGS = "FLOWER_ECHO"


class Echo:
    """An agent that does no work."""

    def handle(self, data: bytes) -> bytes:
        return data

    def close(self) -> None:
        pass


def echo(message: Any, context: Any) -> Any:
    """The same arrays back."""
    return Message(RecordDict({"model": ArrayRecord(message.content["model"].to_numpy_ndarrays())}), reply_to=message)


client: ClientApp = client_app(lambda node_config: Echo())
client.train()(echo)
server = ServerApp()


@server.main()
def main(grid: Any, context: Any) -> None:
    """Wait for the sites, then measure."""
    told = {**json.loads(os.environ.get(SETTINGS, "{}")), **context.run_config}
    while len(list(grid.get_node_ids())) < len(SITES):
        time.sleep(0.1)
    rng, seconds = np.random.default_rng(0), []
    link = FlowerLink(grid, SITES)
    for number in range(int(told["rounds"])):
        model = rng.standard_normal(NUMBERS).astype(np.float32)
        began = time.perf_counter()
        if told["how"] == "link":
            over_link(link, model.tobytes())
        else:
            over_flower(grid, model, number)
        seconds.append(time.perf_counter() - began)
    Path(told["out"]).write_text(json.dumps(seconds))


def over_link(link: FlowerLink, data: bytes) -> None:
    """One round as unpooled does it."""
    missing = set(SITES)
    for site in SITES:
        link.send(site, data)
    while missing:
        arrival = link.receive(10.0)
        if arrival is not None:
            site, answer = arrival
            if answer != data:
                raise RuntimeError(f"Site '{site}' sent other bytes back.")
            missing.remove(site)


def over_flower(grid: Any, model: np.ndarray, number: int) -> None:
    """One round as Flower's documentation does it."""
    content = RecordDict({"model": ArrayRecord([model])})
    messages = [Message(content, node, "train", group_id=str(number)) for node in sorted(grid.get_node_ids())]
    replies = list(grid.send_and_receive(messages))
    if len(replies) != len(SITES) or any(reply.has_error() for reply in replies):
        raise RuntimeError("A site did not answer.")
    for reply in replies:
        np.testing.assert_array_equal(reply.content["model"].to_numpy_ndarrays()[0], model)

"""The coordinator's process in a Flower federation: a ServerApp that hands its grid over as a `Link`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from unpooled.sites.transports.flower.link import FlowerLink

Coordinate = Callable[[Callable[..., FlowerLink], Mapping[str, Any]], object]
"""Gets a function that makes the link (arguments of `FlowerLink` after the grid), and the run config."""


def server_app(coordinate: Coordinate) -> ServerApp:
    """The app that runs `coordinate` once. Flower ends its process with the run: what must last goes to the disk."""
    app = ServerApp()

    def main(grid: Grid, context: Context) -> None:
        coordinate(partial(FlowerLink, grid), context.run_config)

    app.main()(main)
    return app

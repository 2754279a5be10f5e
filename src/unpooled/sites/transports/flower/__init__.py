"""Flower as the network between a coordinator and its sites, for those who run it already (docs/flower.md).

Flower carries bytes and nothing else: packed envelopes in, packed envelopes out, in one record of one action. Which
question is asked next, what was answered and what a site may do is decided by unpooled, as with any other transport.
Nothing outside this package imports `flwr`, which comes with the extra `[flower]`.
"""

from __future__ import annotations

from importlib.util import find_spec

from unpooled.errors import Unsupported

if find_spec("flwr") is None:
    raise Unsupported("Flower is not installed here: pip install 'unpooled[flower]', in an environment of its own.")

from unpooled.sites.transports.flower.client import client_app
from unpooled.sites.transports.flower.link import FlowerLink, Pace
from unpooled.sites.transports.flower.server import server_app

__all__ = ["FlowerLink", "Pace", "client_app", "server_app"]

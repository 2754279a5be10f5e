"""What the client app of an exported Flower app starts: a site, from its SuperNode's node config (docs/flower.md).

A process starts for every message, so nothing is imported here that a site has no need of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpooled.errors import BadSetting

if TYPE_CHECKING:
    from unpooled.sites.agent import Agent

NODE_CONFIG = {"site": "its name", "data": "its own file", "folder": "a folder for what it must remember"}


def site_app() -> Any:
    """The ClientApp of a site."""
    from unpooled.sites.transports.flower import client_app

    return client_app(open_agent)


def open_agent(node_config: Mapping[str, Any]) -> Agent:
    """The agent of the site in a SuperNode's node config. Raises `BadSetting` where something is missing there."""
    from unpooled.runs.at_site import open_agent as open_files
    from unpooled.runs.policy_file import read_policy

    for key, what in NODE_CONFIG.items():
        if not isinstance(node_config.get(key), str) or not str(node_config[key]).strip():
            raise BadSetting(f"The SuperNode's --node-config needs {key}=, for the site {what}; see docs/flower.md.")
    name, data, folder = (str(node_config[key]) for key in NODE_CONFIG)
    policy = node_config.get("policy")
    return open_files(name, data, folder, read_policy(None if policy is None else Path(str(policy))))


def main() -> None:
    """`flwr-clientapp` at a guarded site."""
    from unpooled.sites.transports.flower.guarded import run

    run(site_app)


if __name__ == "__main__":
    main()

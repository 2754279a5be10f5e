"""What the two lines of code in an exported Flower app start: the coordinator of a config, and a site."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpooled.errors import BadSetting
from unpooled.runs.config import parse, real_sites
from unpooled.runs.execute import default_folder, execute
from unpooled.runs.openers import There
from unpooled.runs.tables import read_toml
from unpooled.runs.workers import Tick
from unpooled.sites.policy import Policy

if TYPE_CHECKING:
    from unpooled.sites.agent import Agent
    from unpooled.sites.transports.flower import FlowerLink

TOLD_SECONDS = 10.0
"""Between two lines of progress in `flwr log`."""
NODE_CONFIG = {"site": "its name", "data": "its own file", "folder": "a folder for what it must remember"}


def coordinator_app(config: Path) -> Any:
    """The ServerApp that runs the config over the sites that the run config names, and continues what was begun."""
    from unpooled.sites.transports.flower import server_app

    return server_app(partial(coordinate, config))


def coordinate(path: Path, link_to: Callable[..., FlowerLink], run_config: Mapping[str, Any]) -> Path:
    """Run the config in `path` over a Flower link; its folder. Raises `BadSetting` where no site is named."""
    from unpooled.sites.transports.flower import Pace

    config = parse(read_toml(path))
    config = real_sites(config)  # each has its own; see [data] source
    link = link_to(
        site_names(run_config), pace=Pace(ttl=float(run_config["ttl"])), trusting=bool(run_config["trust-node-config"])
    )
    folder = default_folder(config, Path(run_config["runs"]))
    print(f"Record: {folder.resolve()}", flush=True)
    execute(config, folder, opener=There(link), watch=_Progress())
    link.close()
    print(f"Finished. For a page with the results: unpooled report {folder.resolve()}", flush=True)
    return folder


def site_names(run_config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in the run config's `sites`. Raises `BadSetting` for none, and for one given twice."""
    names = tuple(str(run_config["sites"]).split())
    if not names or len(set(names)) < len(names):
        raise BadSetting(
            f"sites in the run config is {run_config['sites']!r}: each site once is needed, by the name that its "
            'SuperNode was registered under, such as sites = "berlin paris".'
        )
    return names


class _Progress:
    """A line now and then."""

    def __init__(self) -> None:
        self._told = -TOLD_SECONDS

    def __call__(self, tick: Tick) -> None:
        now = time.monotonic()
        if now - self._told >= TOLD_SECONDS:
            self._told = now
            print(f"{tick.done} of {tick.total} steps ({tick.cell})", flush=True)


def site_app() -> Any:
    """The ClientApp of a site, which is found in the SuperNode's node config (docs/flower.md)."""
    from unpooled.sites.transports.flower import client_app

    return client_app(open_agent)


def open_agent(node_config: Mapping[str, Any]) -> Agent:
    """The agent of the site in a SuperNode's node config. Raises `BadSetting` where something is missing there."""
    from unpooled.runs.at_site import open_agent as open_files

    for key, what in NODE_CONFIG.items():
        if not isinstance(node_config.get(key), str) or not str(node_config[key]).strip():
            raise BadSetting(f"The SuperNode's --node-config needs {key}=, for the site {what}; see docs/flower.md.")
    name, data, folder = (str(node_config[key]) for key in NODE_CONFIG)
    return open_files(name, data, folder, Policy())


def main() -> None:
    """`flwr-clientapp` at a guarded site."""
    from unpooled.sites.transports.flower.guarded import run

    run(site_app)


if __name__ == "__main__":
    main()

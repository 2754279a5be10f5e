"""What the server app of an exported Flower app starts: the coordinator of its config."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpooled.errors import BadSetting
from unpooled.runs.config import parse, real_sites
from unpooled.runs.execute import default_folder
from unpooled.runs.real import execute_over
from unpooled.runs.tables import read_toml

if TYPE_CHECKING:
    from unpooled.sites.transports.flower import FlowerLink

TOLD_SECONDS = 10.0
"""Between two lines of progress in `flwr log`."""


def coordinator_app(config: Path) -> Any:
    """The ServerApp that runs the config over the sites that the run config names, and continues what was begun."""
    from unpooled.sites.transports.flower import server_app

    return server_app(partial(coordinate, config))


def coordinate(path: Path, link_to: Callable[..., FlowerLink], run_config: Mapping[str, Any]) -> Path:
    """Run the config in `path` over a Flower link; its folder. Raises `BadSetting` where no site is named."""
    from unpooled.sites.transports.flower import Pace

    config = real_sites(parse(read_toml(path)))
    link = link_to(
        site_names(run_config), pace=Pace(ttl=float(run_config["ttl"])), trusting=bool(run_config["trust-node-config"])
    )
    folder = default_folder(config, Path(run_config["runs"]))
    print(f"Record: {folder.resolve()}", flush=True)
    execute_over(link, config, folder, told=_Log())
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


class _Log:
    """Progress as lines now and then."""

    def __init__(self) -> None:
        self._last = -TOLD_SECONDS

    def tell(self, done: int, total: int, *, part: str = "", waiting: tuple[str, ...] = (), end: bool = False) -> None:
        """As `unpooled.runs.real.Told`."""
        now = time.monotonic()
        if end or now - self._last >= TOLD_SECONDS:
            self._last = now
            whom = f", waiting for {', '.join(waiting)}" if waiting else ""
            print(f"{done} of {total} steps{f' ({part})' if part else ''}{whom}", flush=True)

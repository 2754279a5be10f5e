"""Sites of generated tables, for every test of discovery over many of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from unpooled.causal.generators import LinearGaussian, erdos_renyi
from unpooled.causal.graphs import PDAG
from unpooled.seeds import Streams
from unpooled.sites.loading import read_sites
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess


def drawn(
    *name: str | int, nodes: int = 6, degree: float = 2.0, rows: list[int] | None = None, same: bool = False
) -> tuple[PDAG, dict[str, pd.DataFrame]]:
    """A random DAG and one linear-Gaussian table a site, each with weights of its own, unless all have the `same`."""
    rng = Streams(0).generator(*name)
    dag = erdos_renyi(nodes, degree, rng)
    model = LinearGaussian.random(dag, rng)
    sizes = [300, 300, 300] if rows is None else rows
    models = [model if same else LinearGaussian.random(dag, rng) for _ in sizes]
    return dag, {f"s{k:02d}": m.sample(n, rng) for k, (m, n) in enumerate(zip(models, sizes, strict=True))}


def sites_of(tables: Mapping[str, pd.DataFrame]) -> list[Site]:
    """Sites that hold these tables."""
    return read_sites(tables)[0]


def federation(tables: Mapping[str, pd.DataFrame]) -> InProcess:
    """The same, behind the door of this process."""
    return InProcess.of(sites_of(tables))

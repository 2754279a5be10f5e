"""Which layers to share: one federated training for each set of layers, scored for each site and for everybody.

Adilova, Andriushchenko, Kamp, Fischer, Jaggi, "Layer-wise linear mode connectivity", ICLR 2024, federated protocol:
sites train, and now and then a set of layers becomes its mean while the others stay private; after the last averaging
each site is tested. The answer depends on whether a site's own classes count, or all: both stand in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from unpooled.api import train
from unpooled.arguments import Sites, federation_from, held_out_from
from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.figures.sharing import own_against_all
from unpooled.figures.summary import interval
from unpooled.layer_names import by_module, fits
from unpooled.seeds import Streams
from unpooled.sites.site import Samples, samples
from unpooled.training.layout import layout_of
from unpooled.training.protocols import FedAvg, Local, PartialAvg, Protocol
from unpooled.training.train import initialised

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Share = str | tuple[str, ...] | list[str]
OWN = ("classes", "sites")


@dataclass(frozen=True, eq=False)
class Sharing:
    """`values`: a row a set of layers and seed, with columns `own` and `own_worst` (mean and worst over sites of each
    model on its own test samples), `everyone` (mean over sites on the common test set), `megabytes` a site moved, and
    `parameters` that are shared. `metric` is accuracy, or rmse of a regression.
    """

    values: pd.DataFrame
    metric: str
    own: str

    def table(self) -> pd.DataFrame:
        """Means over seeds, with half widths of 95 % intervals (`+-`)."""
        rows = []
        for share, group in self.values.groupby("share", sort=False):
            row: dict[str, Any] = {"share": share, "parameters": int(group["parameters"].iloc[0])}
            for column in ("own", "own_worst", "everyone"):
                mean, half, _ = interval(group[column])
                row |= {column: mean, f"{column} +-": half}
            rows.append({**row, "megabytes": float(group["megabytes"].mean()), "seeds": len(group)})
        return pd.DataFrame(rows)

    def figure(self) -> Figure:
        """What sharing does for a site's own samples, and for everybody's."""
        return own_against_all(self.values, self.metric)

    def __repr__(self) -> str:
        return str(self.table().to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def which_layers(
    model: nn.Module | Callable[[], nn.Module],
    sites: Sites | Callable[[int], Sites],
    shares: Mapping[str, Share] | None = None,
    *,
    test: tuple[Any, Any],
    steps: int,
    lr: float,
    aggregate_period: int = 10,
    own: str | Mapping[str, tuple[Any, Any]] = "classes",
    seeds: Iterable[int] = range(3),
    told: Callable[[int, int], None] = lambda done, total: None,
    **settings: Any,
) -> Sharing:
    """Train with each set of layers shared and score every site's final model on its own and on everybody's samples.

    `shares` maps a label to layers ("head", "body", "all", or names as in `PartialAvg`; an empty list shares nothing);
    by default nothing, each module alone, the head, the body, and all. `sites` may be a function of the seed. `test` is
    everybody's test set (X, y). `own` says what a site's own test samples are: "classes", the rows of `test` whose
    class the site has in training; "sites", the test samples that each site holds; or a dict from site to (X, y).
    `settings` are those of `train`. Raises `BadSetting` and `BadData` before training starts.
    """
    chosen = list(seeds)
    if not chosen:
        raise BadSetting("At least one seed is needed, such as seeds=range(3).")
    if isinstance(own, str) and own not in OWN:
        raise BadSetting(
            f"own must be one of {', '.join(OWN)}, or a dict of arrays; got {own!r}.{did_you_mean(own, OWN)}"
        )
    protocols, parameters = _protocols(model, shares, aggregate_period)
    worlds = {seed: _world(sites(seed) if callable(sites) else sites, test, own) for seed in chosen}
    rows, total, metric = [], len(chosen) * len(protocols), ""
    for seed, (members, everyone, held) in worlds.items():
        for label, protocol in protocols.items():
            found = train(
                model, members, protocol, steps=steps, lr=lr, seed=seed, test=test, evaluate_every=steps, **settings
            )
            at_home, abroad = found.local_scores(held), found.local_scores(everyone)
            metric = "accuracy" if all("accuracy" in one for one in abroad.values()) else "rmse"
            alone = np.array([one[metric] for one in at_home.values()])
            moved = float(found.frame()["bytes"].iloc[-1]) / len(at_home) / 1e6
            rows.append(
                {
                    "share": label,
                    "seed": seed,
                    "parameters": parameters[label],
                    "own": float(alone.mean()),
                    "own_worst": float(alone.min() if metric == "accuracy" else alone.max()),
                    "everyone": float(np.mean([one[metric] for one in abroad.values()])),
                    "megabytes": moved,
                }
            )
            told(len(rows), total)
    return Sharing(pd.DataFrame(rows), metric, own if isinstance(own, str) else "given")


def _protocols(
    model: nn.Module | Callable[[], nn.Module], shares: Mapping[str, Share] | None, period: int
) -> tuple[dict[str, Protocol], dict[str, int]]:
    module = model if isinstance(model, nn.Module) else initialised(model, Streams(0).torch_seed("model"))
    sizes = {name: part.stop - part.start for name, part in layout_of(module).layers.items()}
    owners = by_module(sizes)
    *body, head = owners.values()
    sets = {"all": tuple(sizes), "head": head, "body": tuple(name for own in body for name in own)}
    if shares is None:
        alone: dict[str, Share] = {module or "of the model itself": own for module, own in owners.items()}
        shares = {"nothing": (), **alone, "head": "head", "body": "body", "all": "all"}
    protocols: dict[str, Protocol] = {}
    parameters = {}
    for label, share in shares.items():
        named: str | tuple[str, ...] = share if isinstance(share, str) else tuple(share)
        protocols[label] = FedAvg(period) if named == "all" else PartialAvg(period, named) if named else Local()
        own = sets[named] if isinstance(named, str) else named
        fitting = [name for name in sizes if any(fits(name, part) for part in own)]
        if own and not fitting:
            hint = did_you_mean(own[0], [*owners, *sizes])
            raise BadSetting(f"'{label}' shares {', '.join(own)}, but the layers are {', '.join(owners)}.{hint}")
        parameters[label] = sum(sizes[name] for name in fitting)
    return protocols, parameters


def _world(sites: Any, test: tuple[Any, Any], own: Any) -> tuple[Any, Samples, dict[str, Samples]]:
    """The sites, everybody's test set, and each site's own test samples."""
    federation, schema = federation_from(sites)
    everyone = held_out_from(test, schema)
    assert everyone is not None
    if isinstance(own, Mapping):
        missing = [name for name in federation.names if name not in own]
        if missing:
            raise BadData(f"own has no test samples for {missing[0]}; sites are {', '.join(federation.names)}.")
        return sites, everyone, {name: samples(*own[name]) for name in federation.names}
    held = {}
    for site in federation:
        if own == "sites":
            if site.test is None or not len(site.test):
                raise BadData(f"Site {site.name} holds no test samples: take own='classes', or give a dict.")
            held[site.name] = site.test
            continue
        if site.train is None or site.train.y.dtype.kind == "f":
            raise BadData("own='classes' needs class labels: take own='sites', or give a dict from site to (X, y).")
        mine = np.isin(everyone.y, np.unique(site.train.y))
        if not mine.any():
            raise BadData(f"The test set has none of the classes of site {site.name}.")
        held[site.name] = Samples(everyone.X[mine], everyone.y[mine])
    return sites, everyone, held

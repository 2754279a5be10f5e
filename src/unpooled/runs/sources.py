"""From a config's [data] to a federation, and a central test set where the data were pooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.runs.config import Data
from unpooled.runs.pooled import PART, POOLED, read_pooled
from unpooled.sites.description import describe_sites
from unpooled.sites.federation import Federation
from unpooled.sites.ledger import Ledger
from unpooled.sites.loading import read_sites
from unpooled.sites.payload import Array
from unpooled.sites.policy import Policy
from unpooled.sites.preparation import encode, prepare
from unpooled.sites.schema import Schema, Table
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.splitting import split
from unpooled.sites.train_test import train_test
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.transports.remote import Remote
from unpooled.sites.validation import set_aside, together

GROUP = "group of rows"
"""The column that keeps rows together while a shared-out table is scaled; a feature is called x0, x1, ..."""


@dataclass(frozen=True, eq=False)
class Source:
    """Prepared sites and, for pooled data, the central test set."""

    federation: InProcess | Remote
    test: Samples | None
    schema: Schema

    def close(self) -> None:
        """Let go of files that stay open while real sites are asked."""
        if isinstance(self.federation, Remote):
            self.federation.close()

    @property
    def here(self) -> InProcess:
        """The sites of this process. Raises `BadSetting` for real ones, whose rows cannot be shared out anew."""
        if not isinstance(self.federation, InProcess):
            raise BadSetting("This needs the rows of all sites in one place, and real sites keep theirs: simulate it.")
        return self.federation


def open_source(data: Data, seed: int, ledgers: Callable[[str], Ledger] | None = None) -> Source:
    """The federation of one seed: the same settings and seed give the same sites, samples and test rows."""
    policy = Policy(allow_raw_data=data.allow_raw_data or data.split is not None)
    if data.split is None:
        _refuse_pooled_names(data)
        sites, default = read_sites(data.source, site=data.site, image_size=data.image_size)
        drawn = seed if data.test_seed is None else data.test_seed
        return _prepared(data, sites, data.target or default, data.test_fraction, drawn, policy, ledgers)
    return _split(data, seed, policy, ledgers)


def open_remote(data: Data, seed: int, federation: Remote) -> Source:
    """Real sites, prepared by questions; `source` in [data] is for simulations, each real site has a path of its own.

    Raises `BadSetting` for data that would have to be shared out, and without a target.
    """
    if data.split is not None:
        raise BadSetting(
            "[data.split] shares out a pooled data set; real sites have their own data: leave [data.split] out."
        )
    if data.target is None:
        raise BadSetting("[data] needs target, the column to predict: nobody here sees the columns of real sites.")
    drawn = seed if data.test_seed is None else data.test_seed
    federation.schema = schema = _agreed(data, federation, data.target, data.test_fraction, drawn)
    return Source(federation, None, schema)


def for_validation(source: Source, fraction: float, seed: int) -> Source:
    """The source with validation rows of the sites for test rows, in one place if the test rows were."""
    sites = set_aside(source.here, fraction, seed)
    federation = InProcess.of(sites, schema=source.schema)
    federation.traffic.restore(source.here.traffic.state())
    return Source(federation, None if source.test is None else together(sites), source.schema)


def _refuse_pooled_names(data: Data) -> None:
    if data.source in POOLED:
        raise BadSetting(f"'{data.source}' is one pooled data set: say how to share it out in [data.split].")
    if not Path(data.source).exists():
        near = [p.name for p in Path(data.source).parent.glob("*")]
        hint = did_you_mean(Path(data.source).name, near)
        raise BadData(f"There is no file or folder '{data.source}'.{hint} Check source in [data], or give --source.")


def _prepared(
    data: Data,
    sites: list[Site],
    target: str | None,
    test_fraction: float,
    seed: int,
    policy: Policy,
    ledgers: Callable[[str], Ledger] | None,
) -> Source:
    """Sites with raw tables, prepared through the door with federated statistics."""
    if target is None:
        columns = ", ".join(sites[0].state["table"].columns)
        raise BadSetting(f"[data] needs target (or --target), the column to predict; there are {columns}.")
    for site in sites:
        site.policy, site.ledger = policy, ledgers(site.name) if ledgers else None
    federation = InProcess.of(sites)
    federation.schema = schema = _agreed(data, federation, target, test_fraction, seed)
    return Source(federation, None, schema)


def _agreed(data: Data, federation: Federation, target: str, test_fraction: float, seed: int) -> Schema:
    return prepare(
        federation,
        target=target,
        task=data.task,
        group=data.group,
        test_fraction=test_fraction,
        seed=seed,
        categorical=data.categorical,
        drop=data.drop,
        missing=data.missing,
        missing_indicator=data.missing_indicator,
        scale=data.scale,
    )


def _split(data: Data, seed: int, policy: Policy, ledgers: Callable[[str], Ledger] | None) -> Source:
    """A pooled set: test rows are set apart, the rest is shared out, and features scaled with federated statistics."""
    assert data.split is not None
    X, y, columns = read_pooled(data)
    groups = columns.get(data.group) if data.group else None
    train, test = _divided(data, X, y, columns, seed)
    chosen = data.split
    by = None
    if chosen.by is not None:
        if chosen.by not in columns:
            raise BadSetting(f"[data.split] by = '{chosen.by}' is no column.{did_you_mean(chosen.by, columns)}")
        by = columns[chosen.by][train]
    shared = split(
        X[train],
        y[train],
        sites=chosen.sites,
        samples=list(chosen.samples) if isinstance(chosen.samples, tuple) else chosen.samples,
        how=chosen.how,
        alpha=chosen.alpha,
        classes_per_site=chosen.classes_per_site,
        exponent=chosen.exponent,
        by=by,
        groups=None if groups is None else groups[train],
        seed=seed,
    )
    for site in shared:
        site.policy, site.ledger = policy, ledgers(site.name) if ledgers else None
    schema = shared.schema
    assert schema is not None
    labels = y[test] if schema.classes is None else schema.class_numbers(y[test])
    if not data.scale or X.ndim != 2:
        return Source(shared, samples(X[test].astype(np.float32), labels), schema)
    raw = [_raw(site) for site in shared]
    federation = InProcess.of(raw)
    task = "regression" if schema.classes is None else "classification"
    group = None if groups is None else GROUP
    schema_scaled = prepare(federation, target="y", task=task, group=group, scale=True, seed=seed)
    federation.schema = replace(schema_scaled, classes=schema.classes)
    assert schema_scaled.preparation is not None
    table = Table({f"x{i}": column for i, column in enumerate(X[test].T.astype(np.float64))})
    features = encode(table, schema_scaled.preparation.columns).astype(np.float32)
    return Source(federation, samples(features, labels), federation.schema)


def _divided(data: Data, X: Array, y: Array, columns: dict[str, Array], seed: int) -> tuple[Array, Array]:
    """Rows for the sites and rows to test on: by the file's own parts, or drawn."""
    if data.test_part is not None:
        parts = columns.get(PART)
        if parts is None or data.test_part not in parts:
            known = "no parts" if parts is None else f"the parts {', '.join(sorted(set(parts.tolist())))}"
            raise BadSetting(f"[data] test_part = '{data.test_part}', but {Path(data.source).name} has {known}.")
        return np.flatnonzero(parts != data.test_part), np.flatnonzero(parts == data.test_part)
    groups = columns.get(data.group) if data.group else None
    drawn = seed if data.test_seed is None else data.test_seed
    train, test = train_test(X, y, test_fraction=data.test_fraction, groups=groups, seed=drawn)
    if len(test) == 0:
        raise BadSetting(f"test_fraction = {data.test_fraction} leaves no row to test on: use 0.3, for example.")
    return train, test


def _raw(site: Site) -> Site:
    """The site as if it had its rows from a file, so that it is prepared like one."""
    data = site.require_train()
    columns: dict[str, Array] = {f"x{i}": column for i, column in enumerate(data.X.T.astype(np.float64))}
    columns["y"] = data.y.astype(np.float64)
    if data.groups is not None:
        columns[GROUP] = data.groups.astype(object)
    return Site(site.name, policy=site.policy, ledger=site.ledger, state={"table": Table(columns)})


def holdings(source: Source) -> list[dict[str, Any]]:
    """Who holds what, asked of the sites: name, samples, test_samples, counts by class (or the mean of the target)."""
    classes = source.schema.classes
    rows = []
    for row in describe_sites(source.federation).to_dict("records"):
        counts = {name: int(row[name]) for name in classes} if classes else {}
        rows.append(
            {
                "name": str(row["site"]),
                "samples": int(row["train"]),
                "test_samples": int(row["test"]),
                "classes": counts,
                "mean": None if classes else float(row["mean"]),
            }
        )
    return rows

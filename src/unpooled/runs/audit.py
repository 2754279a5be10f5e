"""The audit of a run that has ended: its protocols are trained in many worlds, and attacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from unpooled.errors import BadSetting, Unsupported
from unpooled.runs.cells import Cell, learning_rate, recipe_of
from unpooled.runs.files import write_parquet
from unpooled.runs.record import config_of
from unpooled.runs.resolve import protocols_of
from unpooled.runs.sources import open_source
from unpooled.runs.train_cell import one_thread
from unpooled.training.privacy.audit import audit


def audit_run(folder: Path, worlds: int, tell: Callable[[str], None] = lambda line: None) -> pd.DataFrame:
    """Audit each protocol of the run in `folder` under its first seed, and write `audit.parquet` beside its tables.

    Protocols that cannot be audited are told and left out. Raises `BadRecord` where there is no run, and
    `BadSetting` where nothing could be audited. `unpooled.training.privacy.audit` says what an audit is.
    """
    config = config_of(folder)
    seed = config.seeds[0]
    frames = []
    for protocol in protocols_of(config):
        if protocol.simulation_only:
            continue
        source = open_source(config.data, seed)
        cell = Cell(protocol, seed, config.training.steps)
        recipe = recipe_of(config, source, seed, learning_rate(config, cell, folder))
        try:
            with one_thread():
                sites, steps = list(source.here), config.training.steps
                frames.append(audit(sites, recipe, protocol, steps=steps, worlds=worlds, test=source.test).frame())
            tell(f"{protocol.label}: audited in {worlds} worlds")
        except (BadSetting, Unsupported) as error:
            tell(f"{protocol.label}: not audited. {error}")
    if not frames:
        raise BadSetting("None of the run's protocols could be audited.")
    table = pd.concat(frames, ignore_index=True)
    write_parquet(folder / "audit.parquet", table)
    return table

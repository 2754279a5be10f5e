"""`unpooled compare CONFIG`."""

from __future__ import annotations

from unpooled.cli.options import ConfigFile, Format, Out, OutputFormat, Workers, workers_or_cores
from unpooled.cli.running import run


def compare(config: ConfigFile, out: Out = None, workers: Workers = None, output: OutputFormat = Format.text) -> None:
    """Train with every protocol and every seed of CONFIG; write one record and one report."""
    from unpooled.runs.config import load

    run(load(config), out, workers=workers_or_cores(workers), as_json=output is Format.json)

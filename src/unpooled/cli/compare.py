"""`unpooled compare CONFIG`."""

from __future__ import annotations

from unpooled.cli.options import ConfigFile, Format, Out, OutputFormat, Source, Workers, load_config, workers_or_cores
from unpooled.cli.running import run_and_show


def compare(
    config: ConfigFile,
    source: Source = None,
    out: Out = None,
    workers: Workers = None,
    output: OutputFormat = Format.text,
) -> None:
    """Train with every protocol and every seed of CONFIG; write one record and one report."""
    run_and_show(load_config(config, source), out, workers=workers_or_cores(workers), as_json=output is Format.json)

"""`unpooled train CONFIG`."""

from __future__ import annotations

from typing import Annotated

import typer

from unpooled.cli.options import ConfigFile, Format, Out, OutputFormat, Source, load_config
from unpooled.cli.running import run_and_show


def train(
    config: ConfigFile,
    protocol: Annotated[str | None, typer.Option(help="Which protocol of the config; by default its first.")] = None,
    seed: Annotated[int | None, typer.Option(help="By default the config's first.")] = None,
    source: Source = None,
    out: Out = None,
    output: OutputFormat = Format.text,
) -> None:
    """Train with one protocol and one seed of CONFIG; write its record and report."""
    from unpooled.runs.execute import only

    run_and_show(
        only(load_config(config, source), protocol=protocol, seed=seed), out, workers=1, as_json=output is Format.json
    )

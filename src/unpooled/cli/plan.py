"""`unpooled plan`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from unpooled.cli.options import Format, OutputFormat


def plan(
    sites: Annotated[int, typer.Option(help="m, how many sites there are.")],
    samples: Annotated[int, typer.Option(help="n, how many samples each of them holds.")],
    needed: Annotated[float, typer.Option(help="How many samples a model has to see before it is averaged.")],
    delta: Annotated[float, typer.Option(help="The chance of failure, between 0 and 1.")] = 0.05,
    daisy_period: Annotated[int, typer.Option(help="d, local steps from one hop to the next.")] = 1,
    aggregate_period: Annotated[
        int | None, typer.Option(help="b of your own, in local steps: two more lines say what it covers.")
    ] = None,
    output: OutputFormat = Format.text,
) -> None:
    """How often to hop and to average (FedDC): published numbers beside corrected ones."""
    from unpooled.training.planning import plan as plan_for

    found = plan_for(
        sites=sites,
        samples=samples,
        needed=needed,
        delta=delta,
        daisy_period=daisy_period,
        aggregate_period=aggregate_period,
    )
    typer.echo(json.dumps(found.as_dict()) if output is Format.json else str(found))

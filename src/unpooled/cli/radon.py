"""`unpooled radon plan`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from unpooled.cli.options import Format, OutputFormat

app = typer.Typer(help="Radon machines: many fits of a learner, one model.", no_args_is_help=True)


@app.command("plan")
def plan(
    rows: Annotated[int, typer.Option(help="N, how many rows there are.")],
    parameters: Annotated[int, typer.Option(help="d, weights and intercepts of one model.")],
    workers: Annotated[int, typer.Option(help="c, how many parts are fitted at once.")] = 1,
    min_samples: Annotated[int, typer.Option(help="The least rows of a part.")] = 100,
    exponent: Annotated[float, typer.Option(help="A fit of n rows takes n to this power; 2 or more for libsvm.")] = 1.0,
    p: Annotated[
        float | None,
        typer.Option("--p", help="The chance that one local model is bad; by default half of what is too much."),
    ] = None,
    output: OutputFormat = Format.text,
) -> None:
    """How many models of how many rows, what they gain, how sure they are, and when to leave it."""
    from unpooled.parallel.planning import plan as plan_for

    found = plan_for(rows, parameters, workers, min_samples=min_samples, exponent=exponent, p=p)
    typer.echo(json.dumps(found.as_dict()) if output is Format.json else str(found))

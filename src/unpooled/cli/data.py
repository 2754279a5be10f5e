"""`unpooled data describe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.options import Format, OutputFormat

PICTURES = (".png", ".svg", ".pdf")

app = typer.Typer(help="Look at sites before training.", no_args_is_help=True)


@app.command("describe")
def describe(
    source: Annotated[Path, typer.Argument(help="A config, or a folder or table of sites.")],
    target: Annotated[str | None, typer.Option(help='The column to predict; "num > 0" makes two classes.')] = None,
    site: Annotated[str | None, typer.Option(help="For one table: the column that names the site.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw who holds what into this file (png, svg or pdf).")] = None,
    output: OutputFormat = Format.text,
) -> None:
    """Print, and draw, who holds what: samples and classes a site, asked of the sites as counts."""
    from unpooled.cli import show
    from unpooled.errors import BadSetting
    from unpooled.runs.config import Data, load
    from unpooled.runs.files import writable
    from unpooled.runs.sources import holdings, open_source

    if figure is not None and figure.suffix.lower() not in PICTURES:
        raise BadSetting(f"--figure {figure}: pictures end in {', '.join(PICTURES)}.")
    if source.suffix == ".toml":
        config = load(source)
        data, seed = config.data, config.seeds[0]
    else:
        data, seed = Data(source=str(source), target=target, site=site, test_fraction=0.0), 0
    found = open_source(data, seed)
    rows = holdings(found)
    if figure is not None:
        from unpooled.figures.data import holdings as draw

        writable(figure.resolve().parent)
        draw(rows).savefig(figure, dpi=150)
    if output is Format.json:
        typer.echo(
            json.dumps({"sites": rows, "features": list(found.schema.features), "warnings": found.schema.warnings})
        )
        return
    show.holdings(rows, found.schema, figure)

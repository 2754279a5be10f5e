"""`unpooled explain [NAME]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which one; without it, all are listed.")] = None,
    notebook: Annotated[bool, typer.Option("--notebook", help="Write a notebook for Jupyter instead.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="By default NAME.html or NAME.ipynb in runs/explain.")
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
) -> None:
    """Pages that teach what the library does: each is run here, and becomes one page or a notebook."""
    from unpooled.errors import BadSetting
    from unpooled.explain.listing import EXPLANATIONS, explanation

    if name is None:
        if notebook or opened or out is not None:
            raise BadSetting("Say which explanation to write. `unpooled explain` without options lists them.")
        width = max(len(known.name) for known in EXPLANATIONS)
        typer.echo("\n".join(f"{known.name:<{width}}  {known.sentence}" for known in EXPLANATIONS))
        typer.echo("\nThen: unpooled explain NAME, with --open for a browser or --notebook for Jupyter.")
        return
    chosen = explanation(name)
    target = out or Path("runs/explain") / f"{name}.{'ipynb' if notebook else 'html'}"
    if notebook:
        if opened:
            raise BadSetting("A notebook is opened in Jupyter, not by --open: leave one of the two options out.")
        from unpooled.explain.cells import write_notebook

        typer.echo(write_notebook(chosen.text(), target))
        return
    from unpooled.explain.page import write_explanation

    page = write_explanation(chosen, target)
    typer.echo(page)
    if opened:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())

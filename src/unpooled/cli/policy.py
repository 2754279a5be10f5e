"""`unpooled policy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def policy(
    path: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A policy.toml; without it, one to start from is printed.")
    ] = None,
) -> None:
    """What a site answers and what it refuses, in plain words.

    `unpooled policy > policy.toml` writes the careful defaults into a file; `unpooled policy policy.toml` checks a file
    and tells every rule that then holds.
    """
    from unpooled.runs.policy_file import CAREFUL, read_policy
    from unpooled.sites.policy_words import policy_words

    if path is None:
        typer.echo(CAREFUL, nl=False)
        return
    rules = policy_words(read_policy(path))
    width = max(len(about) for about, _ in rules)
    for about, rule in rules:
        typer.echo(f"{about:<{width}}  {rule}")

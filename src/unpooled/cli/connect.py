"""`unpooled connect A B --data DATA`, and `unpooled connect demo`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unpooled.cli.options import Format, OutputFormat

if TYPE_CHECKING:
    from unpooled.connectivity import Plan
    from unpooled.connectivity.plain import Told
    from unpooled.runs.connect import Comparison


def connect(
    a: Annotated[str, typer.Argument(metavar="A", help="Weights of one model, .safetensors or .pt; or the word demo.")],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Weights of the other, of the same architecture.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="NPZ with X and y, a table with --target, or digits, wine, breast_cancer.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="mlp, or module:function of your own that makes the module; it is executed.")
    ] = "mlp",
    target: Annotated[str | None, typer.Option(help="The column to predict, for tables.")] = None,
    cuts: Annotated[
        str, typer.Option(help="Which layers move: full, layer, from_input, from_output, random_order, window.")
    ] = "full,layer,from_input,from_output,window",
    layers: Annotated[str, typer.Option(help="What a layer is: module, entry, or block:N parts of a name.")] = "module",
    window: Annotated[int, typer.Option(help="Layers in a sliding window.")] = 2,
    points: Annotated[int, typer.Option(help="Models on a cut, odd.")] = 11,
    norms: Annotated[
        str, typer.Option(help="Batch norm: keep, interpolate, recalibrate (with --calibration), batch.")
    ] = "keep",
    calibration: Annotated[str | None, typer.Option(help="Training data to take statistics from.")] = None,
    engine: Annotated[str, typer.Option(help="auto, fast or plain.")] = "auto",
    memory_mb: Annotated[int, typer.Option(help="Megabytes that the fast engine's values may take.")] = 512,
    align: Annotated[
        str,
        typer.Option(help="Put the second model's units into the order of the first's: none, weights, activations."),
    ] = "none",
    seed: Annotated[int, typer.Option(help="Of the random order of layers, and of all directions drawn.")] = 0,
    measures: Annotated[
        str,
        typer.Option(
            help="More to measure: robustness, subspaces, flatness, resets, criticality, features, ways, epochs."
        ),
    ] = "",
    starts: Annotated[
        str, typer.Option(metavar="A0,B0", help="Initial weights, for subspaces, resets, criticality and ways.")
    ] = "",
    snapshots_a: Annotated[
        str, typer.Option(help="Weights of A on the way: files or patterns; the last number in a name is the epoch.")
    ] = "",
    snapshots_b: Annotated[str, typer.Option(help="The same for B; subspaces and epochs need both.")] = "",
    draws: Annotated[
        int | None, typer.Option(help="Of random directions, noise and new weights; by default each measure's own.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="A title for the report.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="By default runs/connect-A-B.")] = None,
    output: OutputFormat = Format.text,
) -> None:
    """Which layers of two models can be averaged: barriers, layer by layer, with a report."""
    from unpooled.errors import BadSetting
    from unpooled.runs.connect import Comparison, default_folder

    if a == "demo" and b is None:
        _demo(out or Path("runs/connect-demo"), as_json=output is Format.json)
        return
    if b is None or data is None:
        raise BadSetting("Say which models and what data: unpooled connect A B --data DATA; or unpooled connect demo.")
    given: dict[str, Any] = {} if title is None else {"title": title}
    comparison = Comparison(
        a,
        b,
        data,
        model,
        target,
        cuts=_words(cuts),
        layers=layers,
        window=window,
        points=points,
        norms=norms,
        calibration=calibration,
        engine=engine,
        memory_mb=memory_mb,
        seed=seed,
        align=align,
        measures=_words(measures),
        starts=_words(starts),
        snapshots_a=_files(snapshots_a),
        snapshots_b=_files(snapshots_b),
        draws=draws,
        **given,
    )
    run_and_show([(comparison, out or default_folder(comparison))], None, as_json=output is Format.json)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _files(text: str) -> list[str]:
    """Files that fit the patterns. Raises `BadData` for a pattern that fits none."""
    from glob import glob

    from unpooled.errors import BadData

    found = []
    for pattern in _words(text):
        fitting = sorted(glob(pattern))
        if not fitting:
            raise BadData(f"There is no file '{pattern}': give snapshots, or a pattern such as 'a-*.safetensors'.")
        found += fitting
    return found


def _told(plans: Mapping[str, Plan]) -> None:
    """What each part of the work will cost, and all of it."""
    for name, plan in plans.items():
        typer.echo(f"{name}: {plan}" if len(plans) > 1 else str(plan), err=True)
    if len(plans) > 1:
        typer.echo(f"In all about {sum(plan.seconds for plan in plans.values()):.1f} s.", err=True)


def _demo(out: Path, *, as_json: bool) -> None:
    from unpooled.runs.demos.connect import demo_pairs

    run_and_show(demo_pairs(out), out / "report.html", as_json=as_json)


def run_and_show(comparisons: list[tuple[Comparison, Path]], page: Path | None, *, as_json: bool) -> None:
    from unpooled.report import write_report
    from unpooled.runs.connect import execute

    outcomes = []
    for comparison, folder in comparisons:
        with _progress(comparison.title) as told:
            outcome = execute(comparison, folder, told=told, planned=_told)
        outcomes.append({"folder": str(folder), **outcome})
        if not as_json:
            _show(outcome)
    folders = [folder for _, folder in comparisons]
    written = write_report(folders, page or folders[0] / "report.html")
    if as_json:
        typer.echo(json.dumps({"report": str(written), "comparisons": outcomes}))
        return
    typer.echo(f"Tables: {', '.join(map(str, folders))}\nReport: {written}")


def _show(outcome: dict[str, Any]) -> None:
    from rich.table import Table

    from unpooled.cli.show import page

    rows = [row for row in outcome["barriers"] if row["kind"] in ("full", "layer", "window")]
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    table = Table(title=f"{outcome['title']}: barriers half-way, against the mean of both models", title_justify="left")
    table.add_column("layers")
    for metric in metrics:
        for default in "ab":
            table.add_column(f"{metric}, default {default.upper()}", justify="right")
    named: dict[tuple[str, str], dict[tuple[str, str], Any]] = {}
    for row in rows:
        named.setdefault((row["kind"], row["part"]), {})[row["metric"], row["default"]] = row["barrier"]
    for (kind, part), values in named.items():
        told = [values[metric, default] for metric in metrics for default in "ab"]
        table.add_row("full model" if kind == "full" else part, *("-" if v is None else f"{v:z.3f}" for v in told))
    page.print(table)
    for note in outcome["notes"]:
        page.print(f"Note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress(title: str) -> Iterator[Told]:
    """A bar over the models scored, on standard error; quiet where there is no terminal."""
    from unpooled.cli import show
    from unpooled.runs.progress import Tick

    with show.progress(title) as watch:
        yield lambda done, total: watch(Tick(done, total, ""))

"""Write the tables and figures of docs/layer_wise_figures.md: run after examples/layer_wise/figures.py.

Usage: python docs/layer_wise_figures.py [RUNS_FOLDER]   (default runs/layer_wise)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from unpooled.connectivity.results import NO_BARRIER
from unpooled.figures.connectivity import cumulative_curves
from unpooled.figures.measures import direction_bars, epoch_map, subspace_curves

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "layer_wise_figures.md"
TASKS = {"digits": "Digits, MLP of 5 layers", "mnist": "MNIST, MLP of 5 layers", "cifar": "CIFAR-10, CNN of 6 layers"}
CONDITIONS = {"high": "one start, high rate", "low": "one start, low rate", "apart": "two starts, low rate"}
KINDS = ("toward", "away", "training", "complement", "isotropic", "shrink", "grow")


def pairs(runs: Path, task: str, condition: str) -> Iterable[Path]:
    """Folders of pairs that reached their end."""
    for folder in sorted((runs / task).glob(f"{condition}-*")):
        if (folder / "done").read_text().startswith("finished"):
            yield folder


def told(folder: Path) -> dict[str, Any]:
    """What one pair says, in points of error; windows are numbered from the input."""
    table = pd.read_csv(folder / "barriers.csv")
    rows = table[(table["metric"] == "error") & (table["reference"] == "mean")]
    full = float(rows.loc[rows["kind"] == "full", "barrier"].mean())
    layers = rows[rows["kind"] == "layer"].groupby("part", sort=False)["barrier"].mean()
    windows = rows[rows["kind"] == "window"].groupby("part", sort=False)["barrier"].mean()
    ways = pd.read_csv(folder / "robustness.csv")
    ways = ways[(ways["metric"] == "error") & (ways["share"] == 0.5)]
    whole = ways[(ways["part"] == "all") & (ways["scaling"] == "global")]
    return {
        "end": float(rows["end_a"].iloc[0] + rows["end_b"].iloc[0]) / 2,
        "full": full,
        "layers": list(layers),
        "windows": list(windows),
        "averaging": float(whole["averaging"].mean()),
        "random": float(whole["random"].mean()),
    }


def results(found: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """One row a task and condition: means over pairs."""
    lines = [
        "| data and network | pairs | error of both ends | full | highest layer | mean layer x layers / full "
        "| windows of two, from input to output | half-way: averaging, random |",
        "|---|---|---:|---:|---:|---:|---|---:|",
    ]
    for (task, condition), each in found.items():
        full = mean(one["full"] for one in each)
        layers = [mean(values) for values in zip(*(one["layers"] for one in each), strict=True)]
        windows = [mean(values) for values in zip(*(one["windows"] for one in each), strict=True)]
        null = f"{len(layers) * mean(layers) / full:z.2f}" if full >= NO_BARRIER else "no full barrier"
        lines.append(
            f"| {TASKS[task]}; {CONDITIONS[condition]} | {len(each)} | {mean(one['end'] for one in each):z.1f} "
            f"| {full:z.1f} ({min(one['full'] for one in each):z.1f} to {max(one['full'] for one in each):z.1f}) "
            f"| {max(layers):z.1f} | {null} | {' / '.join(f'{value:z.1f}' for value in windows)} "
            f"| {mean(one['averaging'] for one in each):z.1f}, {mean(one['random'] for one in each):z.1f} |"
        )
    return lines


def mean(values: Iterable[float]) -> float:
    """The plain mean."""
    held = list(values)
    return sum(held) / len(held)


def verdicts(found: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """How many pairs each published statement is true of."""
    lines = ["| statement | by | " + " | ".join(TASKS.values()) + " |", "|---|---|" + "---|" * len(TASKS)]

    def row(statement: str, rule: str, conditions: tuple[str, ...], needs: bool, holds: Any) -> None:
        cells = []
        for task in TASKS:
            each = [one for condition in conditions for one in found.get((task, condition), [])]
            asked = [one for one in each if one["full"] >= NO_BARRIER] if needs else each
            cells.append(f"{sum(map(holds, asked))} of {len(asked)}" if asked else "no pair has a barrier")
        lines.append(f"| {statement} | {rule} | {' | '.join(cells)} |")

    both, same = ("high", "apart"), ("high",)
    row(
        "At a low rate models of one start are connected", "full barrier below 2", ("low",), False,
        lambda one: one["full"] < NO_BARRIER,
    )  # fmt: skip
    row(
        "At a high rate models of one start are not", "full barrier at least 2", same, False,
        lambda one: one["full"] >= NO_BARRIER,
    )  # fmt: skip
    row(
        "No single layer has a barrier like the whole", "highest layer below half of the full barrier", both, True,
        lambda one: max(one["layers"]) < one["full"] / 2,
    )  # fmt: skip
    row(
        "Layers' barriers do not add up to the full one", "layers x mean layer below full", both, True,
        lambda one: sum(one["layers"]) < one["full"],
    )  # fmt: skip
    for words, conditions in (("one start", same), ("two starts", ("apart",))):
        row(
            f"Barrier-prone layers are in the middle ({words})", "highest window is neither first nor last",
            conditions, True, lambda one: 0 < one["windows"].index(max(one["windows"])) < len(one["windows"]) - 1,
        )  # fmt: skip
    row(
        "The way to the other model is worse than a random way as long", "whole model, half-way", both, True,
        lambda one: one["averaging"] > one["random"],
    )  # fmt: skip
    return lines


def spaces(runs: Path) -> list[str]:
    """Rise of the loss at the models' own distance, a column a kind of direction."""
    lines = ["| first pair, one start, high rate | " + " | ".join(KINDS) + " |", "|---|" + "---:|" * len(KINDS)]
    for task, name in TASKS.items():
        table = pd.read_csv(runs / task / "high-0" / "subspaces.csv")
        rows = table[(table["part"] == "all") & (table["metric"] == "loss") & (table["length"] == 1.0)]
        rise = rows.groupby("kind")["rise"].mean()
        lines.append(
            f"| {name} | " + " | ".join(f"{rise[kind]:z.2f}" if kind in rise else "-" for kind in KINDS) + " |"
        )
    return lines


def dials(runs: Path) -> list[str]:
    """Barriers for each value of each dial, and instability."""
    lines = [
        "| dial | value | error of both ends | full barrier | highest layer | distance |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for _, row in pd.read_csv(runs / "sweep.csv").iterrows():
        value = f"{float(row['value']):g}" if str(row["value"])[0].isdigit() else row["value"]
        lines.append(
            f"| {row['dial']} | {value} | {row['end']:z.1f} | {row['full']:z.1f} ± {row['spread']:z.1f} "
            f"| {row['highest_layer']:z.1f} | {row['distance']:z.1f} |"
        )
    parting = pd.read_csv(runs / "instability.csv").groupby("spawn_at")["instability"].agg(["mean", "std"])
    lines += ["", "| steps together | instability |", "|---:|---:|"]
    return lines + [f"| {step} | {row['mean']:z.1f} ± {row['std']:z.1f} |" for step, row in parting.iterrows()]


def pictures(runs: Path) -> list[str]:
    """Figures of each task's first pair at the high rate, saved beside the page."""
    lines = []
    for task, name in TASKS.items():
        folder = runs / task / "high-0"
        tables = {
            kind: pd.read_csv(folder / f"{kind}.csv") for kind in ("epochs", "barriers", "robustness", "subspaces")
        }
        drawn = {
            "epochs": ("Figure 2, barriers by epoch", epoch_map(tables["epochs"], "error")),
            "cumulative": (
                "Figure 3, layers added one by one, and windows",
                cumulative_curves(tables["barriers"], "error"),
            ),
            "directions": (
                "Figure 5, the way to the other model and random ways",
                direction_bars(tables["robustness"], "error"),
            ),
            "subspaces": ("Figure 6, kinds of directions", subspace_curves(tables["subspaces"], "loss")),
        }
        lines += ["", f"### {name}"]
        for kind, (caption, figure) in drawn.items():
            path = ROOT / "docs" / "figures" / f"layer_wise_{task}_{kind}.png"
            figure.savefig(path, dpi=110)
            lines += ["", f"![{caption}: {name}](figures/{path.name})"]
    return lines


def main() -> None:
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/layer_wise")
    found = {}
    for task in TASKS:
        for condition in CONDITIONS:
            each = [told(folder) for folder in pairs(runs, task, condition)]
            if each:
                found[task, condition] = each
    text = PAGE.read_text()
    parts = {
        "results": results(found),
        "verdicts": verdicts(found),
        "spaces": spaces(runs),
        "dials": dials(runs),
        "figures": pictures(runs),
    }
    for part, lines in parts.items():
        block = f"<!-- {part} -->\n" + "\n".join(lines) + f"\n<!-- end of {part} -->"
        marks = rf"<!-- {part} -->.*?<!-- end of {part} -->"
        text, count = re.subn(marks, lambda _, block=block: block, text, flags=re.DOTALL)
        assert count == 1, f"{PAGE} has no part {part}"
    PAGE.write_text(text)


if __name__ == "__main__":
    main()

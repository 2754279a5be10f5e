"""Write the tables and figures of docs/small_images.md from records: run after `make examples DATA=FOLDER`.

The part cifar10_resnet is from examples/small_images/resnet/cifar10.toml, which is run by itself (`--out`).

Usage: python docs/small_images.py [RUNS_FOLDER]   (default runs/small_images)
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from unpooled.figures import comparison, methods
from unpooled.figures.summary import interval, result_values
from unpooled.figures.tables import TextTable, differences_table, finished, pairs_table, results_table
from unpooled.figures.words import metric_called
from unpooled.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "small_images.md"
SETS = ("pneumonia", "brain_mri", "cifar10", "cifar10_resnet", "mnist")
PAPER: dict[str, dict[str, str]] = {
    "pneumonia": {
        "FedDC(1, 10)": "83.2",
        "DaisyChain(1)": "79.8",
        "FedAvg(1)": "80.1",
        "FedAvg(10)": "79.4",
        "FedProx(10)": "80.0",
        "FedAdagrad": "62.5",
        "FedYogi": "77.6",
        "FedAdam": "73.5",
        "Pooled": "84.1",
    },
    "brain_mri": {
        "FedDC(1, 10)": "78.4",
        "DaisyChain(1)": "57.7",
        "FedAvg(1)": "74.1",
        "FedAvg(10)": "75.6",
        "FedProx(10)": "76.5",
        "FedAdagrad": "45.7",
        "FedYogi": "71.3",
        "FedAdam": "73.8",
        "Pooled": "82.1",
    },
    "cifar10": {
        "FedDC(1, 10)": "62.9",
        "DaisyChain(1)": "58.4",
        "FedAvg(1)": "55.8",
        "FedAvg(10)": "48.7",
        "FedProx(10)": "54.5",
        "FedAdagrad": "16 to 22",
        "FedYogi": "31.4",
        "FedAdam": "34.0",
        "Pooled": "65.1",
    },
}
"""Table 1 of Kamp, Fischer and Vreeken (ICLR 2023), accuracy in %, as remembered: not checked against the paper."""


def section(folder: Path) -> str:
    """All of one run: what was run, results, tests, the paper's numbers beside ours, and a figure."""
    result = read_json(folder / "result.json")
    config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    history, traffic = (pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "traffic"))
    parts = [_facts(result, config), results_table(result, history, traffic).markdown()]
    for table in (differences_table(result, history), _between_others(pairs_table(result, history), result)):
        parts += [] if table is None or not table.rows else [table.markdown()]
    beside = _beside_the_paper(folder.name, result, history)
    parts += [beside] if beside else []
    picture = PAGE.parent / "figures" / f"small_images_{folder.name}.png"
    picture.parent.mkdir(exist_ok=True)
    looks = methods(result["protocols"])
    comparison(finished(history, result), result["main_metric"], methods=looks).savefig(picture, dpi=100)
    parts.append(f"![Final accuracy of each method]({picture.relative_to(PAGE.parent)})")
    return "\n\n".join(parts)


def _facts(result: dict[str, Any], config: dict[str, Any]) -> str:
    tuning, data = result["tuning"], result["data"]
    sizes = sorted({site["samples"] for site in data["sites"]})
    samples = f"{sizes[0]} images each" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} images"
    seeds = "each seed for itself"
    if tuning["seeds"] is not None:
        seeds = f"with seed {', '.join(map(str, tuning['seeds']))}"
    grid = ", ".join(f"{lr:g}" for lr in tuning["lr"])
    model = ", ".join(f"{key} {value}" for key, value in config["model"].items() if key != "groups")
    trained = sum(c["seconds"] for c in result["cells"]) + sum(t["seconds"] for t in tuning["tried"])
    return (
        f"{len(data['sites'])} sites, {samples}; {data['test_samples']} test images, "
        f"{'the same under every seed' if data['test_fixed'] else 'drawn anew under each seed'}; model: {model}, "
        f"{result['model']['parameters']:,} parameters; T = {result['steps']} local steps, seeds "
        f"{', '.join(map(str, config['seeds']))}; rates {grid} tried for {tuning['steps']} steps {seeds}; "
        f"{trained / 60:.0f} minutes in one process beside other work, {len(result['cells'])} trainings and "
        f"{len(tuning['tried'])} trials; identity `{result['identity']}`. Rates taken: {_rates(result)}."
    )


def _rates(result: dict[str, Any]) -> str:
    told = []
    for protocol in result["protocols"]:
        taken = [c["lr"] for c in result["tuning"]["chosen"] if c["protocol"] == protocol["label"]]
        told.append(f"{protocol['label']} {', '.join(f'{lr:g}' for lr in dict.fromkeys(taken))}")
    return "; ".join(told)


def _between_others(table: TextTable, result: dict[str, Any]) -> TextTable:
    """Clear differences in the main metric of pairs that neither the headline nor training alone is part of."""
    metric, skipped = metric_called(result["main_metric"]).words, {result["headline"], "Local"}
    rows = [row for row in table.rows if row[2] == metric and not skipped & set(row[:2])]
    title = f"Clear differences in {metric} among the other pairs"
    return TextTable(title, table.caption, table.columns, rows, table.numbers)


def _beside_the_paper(name: str, result: dict[str, Any], history: pd.DataFrame) -> str:
    if name not in PAPER:
        return ""
    metric = metric_called("accuracy")
    values = result_values(finished(history, result), "accuracy", methods(result["protocols"]))
    lines = ["**Beside the paper** (accuracy in %; the paper's as remembered)", "", "| protocol | here | paper |"]
    lines.append("|---|---:|---:|")
    for protocol in result["protocols"]:
        known = PAPER[name].get(protocol["label"]) or PAPER[name].get(protocol["kind"])
        if known is None:
            continue
        found = interval(values[values["protocol"] == protocol["label"]]["value"])
        lines.append(f"| {protocol['label']} | {metric.interval(found.mean, found.half_width, unit=False)} | {known} |")
    return "\n".join(lines)


def main(root: Path) -> None:
    """Replace what stands between the markers of each data set."""
    text = PAGE.read_text(encoding="utf-8")
    for name in SETS:
        path = root / name / "result.json"
        if not path.is_file() or read_json(path)["status"] != "finished":
            print(f"There is no finished run in {root / name}: its part of the page stays as it is.")
            continue
        made = section(root / name)
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(pattern, lambda m, made=made: f"{m[1]}\n{made}\n\n{m[2]}", text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)} from {root}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "small_images")

"""Write the README's tables from records, so that no number there is typed by hand: run after `make demo`.

Usage: python docs/readme_tables.py [RUNS_FOLDER]   (default runs/demo)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from unpooled.figures.summary import final_table, traffic_table
from unpooled.figures.words import bytes_text, metric_called
from unpooled.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent


def table(folder: Path) -> str:
    """One run as a Markdown table: aggregate, local mean, worst site, bytes a site."""
    result = read_json(folder / "result.json")
    metric = metric_called(result["main_metric"])
    final = final_table(pd.read_parquet(folder / "history.parquet"), result["main_metric"])
    final = final.set_index(["protocol", "model"])
    cost = traffic_table(pd.read_parquet(folder / "traffic.parquet")).set_index("protocol")
    seeds = len({cell["seed"] for cell in result["cells"]})
    lines = [
        f"**{result['title']}** ({metric.name}, mean and 95 % interval over {seeds} seeds)",
        "",
        "| protocol | aggregate | mean local model | worst local model | bytes a site |",
        "|---|---|---|---|---|",
    ]
    for protocol in result["protocols"]:
        label = protocol["label"]
        cells = [
            metric.interval(final.loc[(label, m), "mean"], final.loc[(label, m), "half_width"])
            if (label, m) in final.index
            else "-"
            for m in ("aggregate", "local_mean", "local_min")
        ]
        size = bytes_text(float(cost.loc[label, ["up_bytes", "down_bytes"]].sum()))
        note = " (simulation only)" if protocol["simulation_only"] else ""
        lines.append(f"| {label}{note} | {' | '.join(cells)} | {size} |")
    return "\n".join(lines)


def main(root: Path) -> None:
    """Replace what stands between the markers in README.md."""
    text = "\n\n".join(table(root / name) for name in ("breast_cancer", "digits"))
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = re.sub(r"(<!-- demo -->\n).*?(<!-- /demo -->)", lambda m: f"{m[1]}\n{text}\n\n{m[2]}", old, flags=re.S)
    readme.write_text(new, encoding="utf-8")
    print(f"Wrote the demo's tables into {readme.name} from {root}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "demo")

"""Write the studies' tables into docs/causal.md from their records, so that no number there is typed by hand.

Usage: python docs/study_tables.py [RUNS_FOLDER]   (default runs)

The folder holds table_4_6, table_4_6_targets and grid_4_1, as `unpooled study examples/causal/table_4_6.toml --out
runs/table_4_6` leaves them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unpooled.figures.study import interval, study_table
from unpooled.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ("table_4_6", "table_4_6_targets", "grid_4_1")


def tables(folder: Path) -> str:
    """Every measure of one study as a Markdown table, and how many of its cells there are."""
    result, runs = read_json(folder / "result.json"), pd.read_csv(folder / "runs.csv")
    done = sum(cell["status"] == "finished" for cell in result["cells"])
    part = "" if done == len(result["cells"]) else f" ({done} of {len(result['cells'])} cells had ended)"
    shown = [study_table(result, runs, measure).markdown() for measure in result["measures"]]
    if "normalised_shd" in result["measures"]:
        shown.append(by_nodes(result, runs))
    return "\n\n".join([f"`examples/causal/{folder.name}.toml`{part}:", *shown])


def by_nodes(result: Mapping[str, Any], runs: pd.DataFrame) -> str:
    """Means over numbers of nodes, each weighing the same, for each number of sites and over all."""
    rows = runs[runs["measure"].isin(result["measures"])]
    parts = rows["data"].str.extract(r"(\d+) nodes, (\d+) sites").astype(int)
    rows = rows.assign(nodes=parts[0], sites=parts[1])
    cells = rows.groupby(["measure", "method", "sites", "nodes"])["value"].mean().reset_index()
    lines = ["| sites | method | " + " | ".join(m.replace("_", " ") for m in result["measures"]) + " |"]
    lines.append("|---|---|" + "---:|" * len(result["measures"]))
    for sites in [*sorted(set(cells["sites"])), None]:
        own = cells if sites is None else cells[cells["sites"] == sites]
        for method in result["methods"]:
            values = [
                own[(own["method"] == method) & (own["measure"] == measure)]["value"] for measure in result["measures"]
            ]
            shown = [f"{interval(v).mean:.3f}" if len(v) else "–" for v in values]
            lines.append(f"| {'all' if sites is None else sites} | {method} | {' | '.join(shown)} |")
    return "\n".join(["**Means over 5, 10 and 15 nodes, as the paper has them**", "", *lines])


def main(root: Path) -> None:
    """Replace what stands between each study's markers in docs/causal.md."""
    page = ROOT / "docs" / "causal.md"
    text = page.read_text(encoding="utf-8")
    for name in STUDIES:
        if (root / name / "result.json").is_file():
            new = tables(root / name)
            text = re.sub(
                rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
                lambda m, new=new: f"{m[1]}\n{new}\n\n{m[2]}",
                text,
                flags=re.S,
            )
            print(f"Wrote {name} into {page.name}.")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs")

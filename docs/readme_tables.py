"""Write the README's tables and picture from records, so that no number there is typed by hand: run after `make demo`.

Usage: python docs/readme_tables.py [RUNS_FOLDER]   (default runs/demo)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from unpooled.figures import comparison, methods
from unpooled.figures.tables import finished, results_table
from unpooled.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent


def table(folder: Path) -> str:
    """One run's results as a Markdown table."""
    result = read_json(folder / "result.json")
    frames = [pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "traffic")]
    return results_table(result, *frames).markdown()


def picture(folder: Path) -> None:
    """Final accuracy of each method in one run, with intervals, as docs/figures/demo_NAME.png."""
    result, history = read_json(folder / "result.json"), pd.read_parquet(folder / "history.parquet")
    figure = comparison(finished(history, result), result["main_metric"], methods=methods(result["protocols"]))
    figure.savefig(ROOT / "docs" / "figures" / f"demo_{folder.name}.png", dpi=100)


def main(root: Path) -> None:
    """Replace what stands between the markers in README.md and docs/index.md, and draw the digits."""
    picture(root / "digits")
    text = "\n\n".join(table(root / name) for name in ("breast_cancer", "digits"))
    for page, shown in ((ROOT / "README.md", text), (ROOT / "docs" / "index.md", table(root / "digits"))):
        old = page.read_text(encoding="utf-8")
        new = re.sub(
            r"(<!-- demo -->\n).*?(<!-- /demo -->)", lambda m, t=shown: f"{m[1]}\n{t}\n\n{m[2]}", old, flags=re.S
        )
        page.write_text(new, encoding="utf-8")
        print(f"Wrote the demo's tables into {page.name} from {root}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "demo")

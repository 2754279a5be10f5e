"""Write the README's tables from records, so that no number there is typed by hand: run after `make demo`.

Usage: python docs/readme_tables.py [RUNS_FOLDER]   (default runs/demo)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from unpooled.figures.tables import results_table
from unpooled.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent


def table(folder: Path) -> str:
    """One run's results as a Markdown table."""
    result = read_json(folder / "result.json")
    frames = [pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "traffic")]
    return results_table(result, *frames).markdown()


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

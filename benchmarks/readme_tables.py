"""Write the tables of benchmarks/README.md from runs/bench/, so that no number there is typed by hand.

    python benchmarks/readme_tables.py [FOLDER]

What stands between `<!-- NAME -->` and `<!-- /NAME -->` becomes runs/bench/NAME.md; without such a file it stays.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from record import RUNS

README = Path(__file__).resolve().parent / "README.md"


def main(folder: Path) -> None:
    """Fill every pair of markers for which there is a record."""
    text, missing = README.read_text(encoding="utf-8"), []
    for name in re.findall(r"<!-- /(\w+) -->", text):
        source = folder / f"{name}.md"
        if not source.exists():
            missing.append(source.name)
            continue
        new = source.read_text(encoding="utf-8").strip()
        marks = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(marks, lambda m, new=new: f"{m[1]}\n{new}\n\n{m[2]}", text, flags=re.S)
    README.write_text(text, encoding="utf-8")
    print(f"Wrote the tables of {README.name} from {folder}{'; left: ' + ', '.join(missing) if missing else ''}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RUNS)

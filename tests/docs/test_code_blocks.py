"""The Python blocks of README and docs run: those of a page in order, in one namespace, in an empty folder.

A page's block may rely on what the text around it names, such as a folder of hospitals: `BEFORE` makes that. Where a
block asks for much work, `SMALLER` replaces numbers, and the test fails when a number to replace has gone. A comment
`<!-- not run: reason -->` above a block leaves it out; the number of those is fixed here.

How-to pages and the quickstart prepare everything themselves, so theirs run as a reader would run them: shell lines in
a shell, and a block of TOML is saved under the name in its first line.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>.+?) -->\n)?```python\n(?P<code>.*?)```", re.S)
NOT_RUN = {"docs/radon.md": 1}
"""Blocks left out, by page."""

HOSPITALS = """
from pathlib import Path
import numpy as np, pandas as pd
import unpooled as up
rng = np.random.default_rng(0)
def ward(rows=60, shift=0.0):
    age = rng.normal(size=rows)
    dose = age + rng.normal(size=rows) + shift
    return pd.DataFrame({"age": age, "dose": dose, "risk": dose - age + rng.normal(size=rows)})
wards = {"berlin": ward(), "paris": ward(), "rome": ward(shift=2.0)}
Path("hospitals").mkdir(exist_ok=True)
for name, each in wards.items():
    each.to_csv(f"hospitals/{name}.csv", index=False)
table = wards["berlin"]
"""
TRAINING = """
import numpy as np, torch
import unpooled as up
rng = np.random.default_rng(0)
X, y = rng.normal(size=(200, 4)).astype(np.float32), rng.integers(2, size=200)
model = lambda: torch.nn.Sequential(torch.nn.Linear(4, 2))
sites = up.split(X[:100], y[:100], sites=5, samples=10, seed=0)
"""
BEFORE = {
    "README.md": "from tests.unit.parallel.learners import logistic\nX_rows, y_rows = logistic(2000, features=3)\n",
    "docs/causal.md": HOSPITALS
    + "rng = np.random.default_rng(1)\nsmoking = rng.normal(size=300)\n"
    + "table = pd.DataFrame({'smoking': smoking, 'tar': smoking + rng.normal(size=300),"
    + " 'age': rng.normal(size=300), 'income': rng.normal(size=300)})\n",
    "docs/combine.md": "import numpy as np\nrows = np.random.default_rng(0).normal(size=(16, 2))\n",
    "docs/combined.md": HOSPITALS,
    "docs/orion.md": HOSPITALS.replace('"risk"', '"ward": np.arange(rows) % 2, "risk"').replace(
        "age + rng", "2 * age**2 + 0.3 * rng"
    ),
    "docs/peri.md": HOSPITALS,
    "docs/privacy.md": TRAINING,
    "docs/radon.md": "from tests.unit.parallel.learners import logistic\n"
    "from sklearn.base import BaseEstimator, ClassifierMixin\nX, y = logistic(2000, features=3)\nX_new = X[:5]\n",
}
SMALLER = {
    "README.md": {
        "sites=50": "sites=4",
        "steps=400": "steps=20",
        "seeds=range(3)": "seeds=range(2)",
        "n_jobs=-1": "n_jobs=1",
    },
    "docs/causal.md": {"bootstrap=50": "bootstrap=3", "[500, 500, 80]": "[60, 60, 60]"},
    "docs/privacy.md": {"steps=400": "steps=20"},
    "docs/radon.md": {"n_jobs=-1": "n_jobs=1"},
    "docs/streams.md": {
        "learners=32": "learners=3",
        "rounds=15_000": "rounds=60",
        "drift_every=5000": "drift_every=30",
        "seeds=range(3)": "seeds=range(2)",
        "rounds=1000": "rounds=40",
        "drift_every=500": "drift_every=20",
    },
}


def blocks(page: str) -> list[tuple[str | None, str]]:
    """(reason to leave it out or None, code) of each block."""
    found = BLOCK.finditer(PAGES[page].read_text(encoding="utf-8"))
    return [(match["reason"], match["code"]) for match in found]


HOW_TO = [page for page in PAGES if page.startswith(("docs/how_to_", "docs/quickstart"))]
WITH_CODE = [page for page in PAGES if blocks(page) and page not in HOW_TO]
ANY = re.compile(r"```(python|toml|sh)\n(.*?)```", re.S)


@pytest.mark.parametrize("page", HOW_TO)
def test_a_how_to_page_works_as_it_is_written(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for kind, code in ANY.findall(PAGES[page].read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(code, page, "exec"), namespace)
        elif kind == "toml":
            name = code.splitlines()[0].removeprefix("# ")
            assert name.endswith(".toml"), f"{page}: the first line of a TOML block names its file."
            (tmp_path / name).write_text(code, encoding="utf-8")
        else:
            done = subprocess.run(["sh", "-e", "-c", code], env={**os.environ, "PATH": path}, capture_output=True)
            assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    text = "\n".join(code for reason, code in blocks(page) if reason is None)
    for large, small in SMALLER.get(page, {}).items():
        assert large in text, f"{page} has no '{large}' any more: take it out of SMALLER."
        text = text.replace(large, small)
    namespace: dict[str, object] = {"__name__": "page"}
    exec(compile(BEFORE.get(page, ""), f"before {page}", "exec"), namespace)
    exec(compile(text, page, "exec"), namespace)


def test_few_blocks_are_left_out_and_they_can_be_parsed() -> None:
    left = {page: [code for reason, code in blocks(page) if reason] for page in WITH_CODE}
    assert {page: len(codes) for page, codes in left.items() if codes} == NOT_RUN
    for codes in left.values():
        for code in codes:
            ast.parse(code)


def test_what_is_prepared_is_for_pages_that_are_there() -> None:
    assert set(BEFORE) | set(SMALLER) <= set(WITH_CODE)

"""Sections of benchmarks/radon.py that need another process: Spark's MLlib, and peak memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from radon_work import logistic
from record import ROOT, Row
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from unpooled.parallel import RadonMachineClassifier

SPARK_ROWS, TEST_ROWS = 2_000_000, 100_000
BYTES = 4_000_000_000
FEATURES = 18


def spark() -> Iterable[Row]:
    """Spark's MLlib logistic regression in local[2] against a machine on two cores and one fit, 2 million rows."""
    python = ROOT / "benchmarks" / ".venv-engines" / "bin" / "python"
    x, y = logistic(SPARK_ROWS + TEST_ROWS, FEATURES)
    x_test, y_test = x[SPARK_ROWS:], y[SPARK_ROWS:]
    x, y = x[:SPARK_ROWS], y[:SPARK_ROWS]
    work = f"{SPARK_ROWS} rows, {FEATURES} features"

    def score(row: Any) -> float:
        return float(roc_auc_score(y_test, x_test @ np.ravel(row)))

    if python.exists() and shutil.which("java"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            pd.DataFrame(x, columns=[f"x{i}" for i in range(FEATURES)]).assign(label=y).to_parquet(
                path, index=False, row_group_size=SPARK_ROWS // 8
            )
            worker = ROOT / "benchmarks" / "rivals" / "spark_worker.py"
            out = subprocess.run([str(python), str(worker), str(path)], capture_output=True, text=True, check=False)
        if out.returncode:
            raise RuntimeError(f"The Spark worker failed:\n{out.stderr[-2000:]}")
        told = json.loads(out.stdout.strip().splitlines()[-1])
        yield {
            "work": work,
            "how": f"Spark {told['version']} MLlib, local[2], rows cached",
            "seconds": told["seconds"],
            "auc": score(told["weights"]),
            "met": True,
            "bar": "",
        }
    else:
        print("Spark is not measured: make engines, and install Java.")
    for height in (1, 2):
        machine = RadonMachineClassifier(LogisticRegression(), height=height, n_jobs=2, random_state=0)
        RadonMachineClassifier(LogisticRegression(), height=1, n_jobs=2).fit(x[:5000], y[:5000])  # starts the workers
        start = time.perf_counter()
        machine.fit(x, y)
        yield {
            "work": work,
            "how": f"Radon machine, height {height}, n_jobs=2",
            "seconds": time.perf_counter() - start,
            "auc": score(machine.estimator_.coef_),
            "critical_path": machine.timings_["critical_path"],
            "met": True,
            "bar": "",
        }
    start = time.perf_counter()
    whole = LogisticRegression().fit(x, y)
    yield {
        "work": work,
        "how": "scikit-learn, one fit",
        "seconds": time.perf_counter() - start,
        "auc": score(whole.coef_),
        "met": True,
        "bar": "",
    }


def peak_memory(size: int = BYTES) -> Iterable[Row]:
    """Peak memory of a machine with two workers over a mapped file, of all its processes; pages of the file once."""
    rows = size // (8 * FEATURES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        mapped = np.lib.format.open_memmap(path, "w+", np.float64, (rows, FEATURES))
        labels = np.empty(rows, dtype=np.int8)
        for low in range(0, rows, 500_000):
            x, y = logistic(min(500_000, rows - low), FEATURES, seed=low, name="memory")
            mapped[low : low + len(y)], labels[low : low + len(y)] = x, y
        mapped.flush()
        np.save(Path(folder) / "y.npy", labels)
        del mapped
        for jobs in (1, 2):
            child = subprocess.Popen([sys.executable, __file__, folder, str(jobs)], stdout=subprocess.PIPE, text=True)
            peak = Peak(child.pid)
            out, _ = child.communicate()
            own, file = peak.stop()
            told = json.loads(out.strip().splitlines()[-1])
            ratio = (own - told["before"] + min(file, size)) / size
            yield {
                "work": f"n_jobs={jobs}, {told['models']} models",
                "gigabytes": size / 1e9,
                "ratio": ratio,
                "mapped": min(file, size) / size,
                "seconds": told["seconds"],
                "bar": "1.3",
                "met": ratio <= 1.3,
            }


class Peak:
    """Watches the memory of a process and its children: its own pages added up, pages of files of the largest."""

    def __init__(self, pid: int) -> None:
        self._pid, self._own, self._file, self._running = pid, 0, 0, True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> tuple[int, int]:
        """Largest sums seen, in bytes: pages of their own, and pages of files in the process that maps most."""
        self._running = False
        self._thread.join()
        return self._own, self._file

    def _watch(self) -> None:
        while self._running:
            found = [_status(pid) for pid in _family(self._pid)]
            self._own = max(self._own, sum(own for own, _ in found))
            self._file = max(self._file, max((file for _, file in found), default=0))
            time.sleep(0.05)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pid, *(p for child in children.read_text().split() for p in _family(int(child)))]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status(pid: int) -> tuple[int, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0), sizes.get("RssFile", 0)


def _fit(folder: Path, jobs: int) -> None:
    """In a process of its own: fit, and tell what it took and what it held before."""
    x, y = np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "y.npy")
    before = _status(int(Path("/proc/self").readlink().name))[0]
    start = time.perf_counter()
    machine = RadonMachineClassifier(LogisticRegression(), height=2, n_jobs=jobs, random_state=0).fit(x, y)
    print(json.dumps({"seconds": time.perf_counter() - start, "models": machine.n_models_, "before": before}))


if __name__ == "__main__":
    _fit(Path(sys.argv[1]), int(sys.argv[2]))

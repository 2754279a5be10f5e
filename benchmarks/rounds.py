"""Rounds per second of unpooled against a plain PyTorch loop and pfl, in one run.

    python benchmarks/rounds.py [--works a,b] [--threads 1,2] [--repeats 5] [--pfl PYTHON]

unpooled runs through its public path, `Training` and `run`: with the door (policy, traffic counting), the exchange and
one evaluation after the last round. The plain loop averages parameters with care, the textbook one by state dicts.
Rivals take turns, so that a noisy machine hits all alike; ratios are medians of paired runs. Every rival must end with
the same averaged model (to 1e-4), else the script fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rivals.plain_loop import PlainLoop, TextbookLoop  # noqa: E402
from rivals.workloads import WORKLOADS, Arrays, Workload  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from unpooled.seeds import Streams  # noqa: E402
from unpooled.sites.site import Site, samples  # noqa: E402
from unpooled.sites.transports.in_process import InProcess  # noqa: E402
from unpooled.training.batches import Batches  # noqa: E402
from unpooled.training.protocols import FedAvg  # noqa: E402
from unpooled.training.recipe import recipe  # noqa: E402
from unpooled.training.train import Progress, Training, federation_of, run  # noqa: E402

PFL_PYTHONS = (HERE / ".venv-pfl/bin/python", HERE.parent / ".venv-pfl/bin/python")
HOW_PFL = (
    "pfl is not measured: python -m venv benchmarks/.venv-pfl && "
    "benchmarks/.venv-pfl/bin/pip install -r benchmarks/requirements-pfl.txt"
)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits of scikit-learn, pixels in [0, 1]."""
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target


@dataclass
class Measured:
    """`first` seconds to the end of round one, ms a round after it, and what came out."""

    first: float
    ms: float
    model: torch.Tensor
    executor: str


def unpooled(work: Workload, data: Arrays, rounds: int) -> Measured:
    """One run of the library; the last round, which evaluates, is not in the ms a round."""
    sites = InProcess([Site(f"s{i}", samples(X, y)) for i, (X, y) in enumerate(data)])
    stamps: list[float] = []

    def stamp(progress: Progress) -> None:
        stamps.append(time.perf_counter())

    start = time.perf_counter()
    how = recipe(
        work.module(),
        lr=work.lr,
        batch_size=work.batch,
        optimizer=work.optimizer,
        executor=work.executor,
        **work.settings,
    )
    test = samples(data[0][0], data[0][1])
    steps = rounds * work.local_steps
    training = Training(
        federation_of(sites), how, FedAvg(work.local_steps), steps=steps, test=test, evaluate_every=steps
    )
    result = run(training, stamp)
    ms = (stamps[-2] - stamps[0]) / (len(stamps) - 2) * 1e3 if len(stamps) > 2 else float("nan")
    assert result.rows is not None
    return Measured(stamps[0] - start, ms, torch.tensor(result.rows[0]), training.executor)


class Pfl:
    """The worker process in pfl's own environment."""

    def __init__(self, python: str) -> None:
        self._file = tempfile.NamedTemporaryFile(suffix=".npz")  # noqa: SIM115
        X, y = digits()
        np.savez(self._file, X=X, y=y)
        self._file.flush()
        self._process = subprocess.Popen(
            [python, str(HERE / "rivals/pfl_worker.py"), self._file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError("The pfl worker stopped: run it by hand to see why.")

    def train(self, work: Workload, rounds: int) -> tuple[float, torch.Tensor]:
        """Seconds, and the averaged model."""
        assert self._process.stdin is not None
        command = {"work": work.key, "rounds": rounds, "threads": torch.get_num_threads()}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        return answer["seconds"], torch.tensor(answer["model"])


def find_pfl(named: str | None) -> Pfl | None:
    """The worker, with this interpreter or the one of pfl's environment."""
    for python in [named] if named else [sys.executable, *(str(p) for p in PFL_PYTHONS if p.exists())]:
        if subprocess.run([python, "-c", "import pfl, torch"], capture_output=True).returncode == 0:
            return Pfl(python)
    return None


def same_models(work: Workload, data: Arrays, pfl: Pfl | None) -> float:
    """The largest difference between what the rivals compute in a few rounds; pfl shuffles no mini-batches alike."""
    rounds = min(5, work.rival_rounds)
    batches = [Batches(Streams(0), f"s{i}", len(y), work.batch) for i, (_, y) in enumerate(data)]
    loop = PlainLoop(work, data, lambda i, t: torch.from_numpy(batches[i](t)))
    loop.rounds(rounds)
    models = [unpooled(work, data, rounds).model]
    if pfl is not None and work.batch is None:
        models.append(pfl.train(work, rounds)[1])
    return max(float((m - loop.model()).abs().max()) for m in models)


def first_result(work: Workload, threads: int) -> float:
    """Seconds from the training call to the end of the first round, in a process that has only imported."""
    command = [sys.executable, __file__, "--first", work.key, "--threads", str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(work: Workload, threads: int, repeats: int, pfl: Pfl | None) -> bool:
    """Print one block of the table; whether all bars hold."""
    torch.set_num_threads(threads)
    data = work.data(*digits())
    difference = same_models(work, data, pfl)
    loops = {"plain loop": PlainLoop(work, data), "textbook": TextbookLoop(work, data)}
    for loop in loops.values():
        loop.rounds(1)
    times: dict[str, list[float]] = {"unpooled": [], "plain loop": [], "textbook": [], "pfl": []}
    firsts, executors = [], set()
    for _ in range(repeats):
        ours = unpooled(work, data, work.rounds)
        times["unpooled"].append(ours.ms)
        executors.add(ours.executor)
        firsts.append(ours.first)
        for name, loop in loops.items():
            times[name].append(loop.rounds(work.rival_rounds) / work.rival_rounds * 1e3)
        if pfl is not None:
            times["pfl"].append(pfl.train(work, work.rival_rounds)[0] / work.rival_rounds * 1e3)
    start = first_result(work, threads)
    print(f"\n({work.key}) {work.title}; torch threads {threads}, executor {'/'.join(sorted(executors))}")
    print(f"    {'':12}{'min ms':>10}{'median ms':>11}{'x unpooled':>12}   a round")
    for name, values in times.items():
        if values:
            ratio = float(np.median(np.array(values) / np.array(times["unpooled"])))
            print(f"    {name:12}{min(values):10.3f}{np.median(values):11.3f}{ratio:12.2f}")
    ratio = float(np.median(np.array(times["plain loop"]) / np.array(times["unpooled"])))
    whole = np.median([(f + r * (work.rounds - 1) / 1e3) for f, r in zip(firsts, times["unpooled"], strict=True)])
    loop_whole = np.median(times["plain loop"]) * work.rounds / 1e3
    print(
        f"    first result after {start:.2f} s in a fresh process; all {work.rounds} rounds with start-up "
        f"{whole:.2f} s, loop {loop_whole:.2f} s ({loop_whole / whole:.1f} x)"
    )
    print(f"    models differ by at most {difference:.1e}")
    held = difference < 1e-4 and start < 5 and (work.bar is None or ratio >= work.bar)
    if work.bar is not None:
        print(f"    bar: at least {work.bar} x the plain loop: {'held' if ratio >= work.bar else 'MISSED'}")
    return held


def main() -> int:
    """Exit status 1 when a bar is missed or models differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--works", default=",".join(WORKLOADS), help="which workloads, by letter")
    parser.add_argument("--threads", default="1,2", help="numbers of torch threads")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pfl", help="a Python that has pfl and torch")
    parser.add_argument("--no-pfl", action="store_true")
    parser.add_argument("--first", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        torch.set_num_threads(int(options.threads))
        work = WORKLOADS[options.first]
        print(unpooled(work, work.data(*digits()), 1).first)
        return 0
    pfl = None if options.no_pfl else find_pfl(options.pfl)
    load = ", ".join(f"{v:.1f}" for v in os.getloadavg())
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load {load}; {options.repeats} turns each")
    if pfl is None and not options.no_pfl:
        print(HOW_PFL)
    held = [
        measure(WORKLOADS[key], int(threads), options.repeats, pfl)
        for key in options.works.split(",")
        for threads in options.threads.split(",")
    ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""A rival library in a process of its own, with an environment of its own: benchmarks/.venv-<name>."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rivals.workloads import Workload

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parent
RIVALS = {"pfl": "pfl", "fedlab": "fedlab", "flower": "flwr"}
"""Each rival's name, and the package that its environment must have."""
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""Flower and Ray would call home."""


class Missing(Exception):
    """`rival` cannot be measured; the text says why and what to do."""

    def __init__(self, rival: str, reason: str) -> None:
        super().__init__(f"{rival} is not measured: {reason}")
        self.rival = rival


def installed(name: str) -> tuple[Path, str]:
    """The rival's interpreter and version; raises `Missing`."""
    python = BENCHMARKS / f".venv-{name}/bin/python"
    how = f"make benchmarks/.venv-{name}/.installed"
    if not python.exists():
        raise Missing(name, f"there is no benchmarks/.venv-{name}; {how} makes it.")
    ask = f"from importlib.metadata import version; print(version({RIVALS[name]!r}))"
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    if told.returncode != 0:
        raise Missing(name, f"its environment lacks {RIVALS[name]}; {how} says why.")
    return python, told.stdout.strip()


class Rival:
    """The worker process of one rival; raises `Missing` where it does not start. Close it after use."""

    def __init__(self, name: str, digits: tuple[np.ndarray, np.ndarray], log: Path) -> None:
        self.name = name
        python, self.version = installed(name)
        self._data = tempfile.NamedTemporaryFile(suffix=".npz")  # noqa: SIM115
        np.savez(self._data, X=digits[0], y=digits[1])
        self._data.flush()
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [python, str(HERE / f"{name}_worker.py"), self._data.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env={**os.environ, "PYTHONPATH": str(BENCHMARKS), **QUIET},
        )
        self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Missing(self.name, f"its worker stopped; {self.log} says why.")
        return dict(json.loads(line))

    def train(self, work: Workload, rounds: int) -> tuple[float, torch.Tensor]:
        """Milliseconds a round after the first one, and the averaged model after `rounds` rounds."""
        assert self._process.stdin is not None
        command = {"work": work.key, "rounds": rounds, "threads": torch.get_num_threads()}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        later = answer["seconds"][1:]
        return sum(later) / len(later) * 1e3, torch.tensor(answer["model"])

    def close(self) -> None:
        """End the worker, and what it started, by ending its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.terminate()
        self._data.close()

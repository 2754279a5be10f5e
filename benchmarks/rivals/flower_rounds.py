"""Overhead of a round over Flower: three sites, 1 MB each way, nobody trains. Seconds of each round.

`rows` is called with any interpreter; the measuring itself runs in Flower's environment (`make flower` makes it).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rivals.process import BENCHMARKS, QUIET, Missing, installed

ROWS = {
    "Flower, simulation (Ray)": ("simulation", "flower"),
    "Flower, real processes": ("deployment", "flower"),
    "unpooled over Flower, real processes": ("deployment", "link"),
}
"""Where, and whether in Flower's own way or over unpooled's link."""
PROJECT = """\
[project]
name = "echo"
version = "1.0.0"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.flwr.app]
publisher = "unpooled"
components = {serverapp = "echo_app.server:app", clientapp = "echo_app.client:app"}
config = {how = "link", rounds = 1, out = ""}
"""


def rows(*, simulated: int = 30, real: int = 5) -> dict[str, list[float]]:
    """Seconds of each round for each of `ROWS`, so many rounds in the simulation and over real processes.

    The first round of each is dropped: it starts actors. Raises `Missing` where Flower is not installed.
    """
    python, _ = installed("flower")
    found = {}
    for label, (where, how) in ROWS.items():
        rounds = simulated if where == "simulation" else real
        command = [str(python), "-m", "rivals.flower_rounds", where, how, str(rounds + 1)]
        env = {**os.environ, "PYTHONPATH": str(BENCHMARKS), **QUIET}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            raise Missing("flower", f"{label}: {done.stderr.strip().splitlines()[-1:]}")
        found[label] = json.loads(done.stdout.strip().splitlines()[-1])[1:]
    return found


def simulation(how: str, rounds: int, folder: Path) -> list[float]:
    """In Flower's simulation engine."""
    from flwr.simulation import run_simulation

    from rivals import flower_echo

    out = folder / "seconds.json"
    os.environ[flower_echo.SETTINGS] = json.dumps({"how": how, "rounds": rounds, "out": str(out)})
    run_simulation(
        server_app=flower_echo.server,
        client_app=flower_echo.client,
        num_supernodes=len(flower_echo.SITES),
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    return [float(s) for s in json.loads(out.read_text())]


def deployment(how: str, rounds: int, folder: Path) -> list[float]:
    """Over a SuperLink and SuperNodes with TLS and registered keys, on this machine."""
    from rivals.flower_deployment import Deployment
    from rivals.flower_echo import SITES

    app = folder / "app"
    (app / "echo_app").mkdir(parents=True)
    (app / "pyproject.toml").write_text(PROJECT)
    (app / "echo_app/__init__.py").write_text("")
    for part in ("server", "client"):
        (app / f"echo_app/{part}.py").write_text(f"from rivals.flower_echo import {part} as app\n\n__all__ = ['app']\n")
    out = folder / "seconds.json"
    with Deployment(folder / "flower", {name: {} for name in SITES}, env={"PYTHONPATH": str(BENCHMARKS)}) as flower:
        run = flower.submit(app, how=how, rounds=rounds, out=str(out))
        status = flower.finish(run)
        if status != "finished:completed":
            raise RuntimeError(flower.flwr("log", str(run), "--show")[-2000:])
    return [float(s) for s in json.loads(out.read_text())]


if __name__ == "__main__":
    where, how, rounds = sys.argv[1:]
    with TemporaryDirectory() as name:
        measure = {"simulation": simulation, "deployment": deployment}[where]
        print(json.dumps(measure(how, int(rounds), Path(name))))

"""A config over real processes, TLS and a broker is the config in one process; kills on the way change nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from safetensors.numpy import load_file
from typer.testing import CliRunner

from tests.nats.hall import free_port, until
from unpooled.cli.app import app
from unpooled.runs.config import load, with_source
from unpooled.runs.execute import execute
from unpooled.sites.ledger import read, verify
from unpooled.sites.transports.nats.federation import Folder
from unpooled.sites.transports.nats.status import status

SITES = ("aachen", "berlin", "celle")
FEDDC = {"kind": "FedDC", "daisy_period": 1, "aggregate_period": 3}
UNPOOLED = [sys.executable, "-c", "from unpooled.cli import main; main()"]


def here(*words: str) -> None:
    """A command in this process: quicker than one of its own."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


class Consortium:
    """Three hospitals in processes of their own, a broker, and commands as their people type them, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, dict[str, subprocess.Popen[bytes]]()
        rng = np.random.default_rng(4)
        (folder / "data").mkdir(parents=True)
        for name in SITES:
            age = rng.normal(50, 9, 20)
            ill = (age + rng.normal(0, 4, 20) > 50).astype(int)
            table = pd.DataFrame({"age": age, "sex": rng.choice(["f", "m"], 20), "ill": ill})
            table.to_csv(folder / "data" / f"{name}.csv", index=False)
        port = str(free_port())
        fed = str(folder / "fed")
        here("coordinator", "init", fed, "--host", "localhost", "--sites", ",".join(SITES), "--port", port)
        for name in SITES:
            data, out = str(folder / "data" / f"{name}.csv"), str(folder / name)
            here("site", "join", str(folder / "fed" / "join" / f"{name}.join"), "--data", data, "--out", out)

    def write_config(self, **more: object) -> None:
        """A small run, with these settings besides."""
        settings = {
            "title": "Three hospitals",
            "data": {"source": "data", "target": "ill", "test_fraction": 0.3},
            "model": {"kind": "mlp", "hidden": [8]},
            "training": {"steps": 12, "lr": 0.1, "batch_size": 4, "executor": "reference", "evaluate_every": 6},
            **more,
        }
        (self.folder / "config.toml").write_bytes(tomli_w.dumps(settings).encode())

    def start(self, name: str, *words: str) -> None:
        """A command that goes on."""
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen([*UNPOOLED, *words], cwd=self.folder, stdout=log, stderr=log)
        log.close()

    def open(self) -> None:
        """Broker and sites."""
        self.start("broker", "coordinator", "serve", "fed")
        for name in SITES:
            self.start(name, "site", "run", name)
        federation = Folder(self.folder / "fed")
        until(lambda: {site.state for site in status(federation).sites} == {"here"}, 60)

    def kill(self, name: str, how: int = signal.SIGKILL) -> None:
        """End one of them."""
        process = self.processes.pop(name)
        process.send_signal(how)
        process.wait(30)

    def run(self, out: str) -> None:
        """All of the config, to its end."""
        words = ("coordinator", "run", "config.toml", "--federation", "fed", "--all", "--out", out)
        done = subprocess.run([*UNPOOLED, *words], cwd=self.folder, capture_output=True, text=True, timeout=170)
        assert done.returncode == 0, done.stderr

    def simulate(self, out: str) -> Path:
        """The same config in this process."""
        config = with_source(load(self.folder / "config.toml"), str(self.folder / "data"))
        assert execute(config, self.folder / out)["status"] == "finished"
        return self.folder / out

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with ExitStack() as stack:
        made = Consortium(tmp_path_factory.mktemp("consortium"))
        stack.callback(made.close)
        made.open()
        yield made


def assert_same(run: Path, simulated: Path) -> None:
    """Models to the bit, what was measured, and the traffic of training."""
    for path in (simulated / "models").iterdir():
        assert np.array_equal(load_file(run / "models" / path.name)["aggregate"], load_file(path)["aggregate"])
    for name in ("history", "traffic"):
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(folder / f"{name}.parquet").query("kind != 'show'") if name == "traffic" else
              pd.read_parquet(folder / f"{name}.parquet") for folder in (run, simulated))
        )  # fmt: skip


def test_a_run_over_processes_is_the_simulation_to_the_bit(consortium: Consortium) -> None:
    consortium.write_config(protocols=[FEDDC, {"kind": "FedAvg", "aggregate_period": 2}])
    consortium.run("whole")
    assert_same(consortium.folder / "whole", consortium.simulate("whole simulated"))
    for name in SITES:
        ledger = consortium.folder / name / "ledger.jsonl"
        assert verify(ledger) > 20
        assert {entry["kind"] for entry in read(ledger)} >= {"columns", "prepare", "begin", "train", "evaluate"}


def killed_on_the_way(consortium: Consortium, out: str, kills: int, who: tuple[str, ...], seed: int) -> None:
    """A run in `out` while `who` are killed with SIGKILL, one after the other, and started again."""
    rng, command = random.Random(seed), ("coordinator", "run", "config.toml", "--federation", "fed", "--out", out)
    words = {name: ("site", "run", name) for name in SITES} | {"broker": ("coordinator", "serve", "fed")}
    (consortium.folder / "run.log").unlink(missing_ok=True)
    consortium.start("run", *command)
    left = kills
    while consortium.processes["run"].poll() is None or consortium.processes["run"].returncode != 0:
        log = (consortium.folder / "run.log").read_text()
        assert consortium.processes["run"].poll() in (None, 0), log
        if left:
            name = rng.choice(who)
            time.sleep(rng.uniform(0.1, 2.5))
            if consortium.processes["run"].poll() is None:
                consortium.kill(name)
                consortium.start(name, *(command if name == "run" else words[name]))
                left -= 1
        else:
            time.sleep(0.1)
    consortium.processes.pop("run")
    assert left < kills, "nobody was killed"


LONG = {"steps": 60, "lr": 0.1, "batch_size": 4, "executor": "reference", "evaluate_every": 20}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "who"), [(20, ("run",)), (6, SITES), (3, ("broker",)), (9, ("run", "broker", *SITES))]
)
def test_kills_on_the_way_change_nothing(consortium: Consortium, kills: int, who: tuple[str, ...]) -> None:
    consortium.write_config(training=LONG, protocols=[FEDDC])
    out = f"long {kills} {who[0]}"
    killed_on_the_way(consortium, out, kills, who, seed=7)
    assert_same(consortium.folder / out, consortium.simulate(f"{out} simulated"))
    for name in SITES:
        verify(consortium.folder / name / "ledger.jsonl")


def test_coordinator_and_a_site_are_killed_and_nothing_changes(consortium: Consortium) -> None:
    consortium.write_config(protocols=[FEDDC])
    killed_on_the_way(consortium, "short", 2, ("run", "berlin"), seed=3)
    assert_same(consortium.folder / "short", consortium.simulate("short simulated"))


def test_what_the_sites_kept_is_for_their_owners_eyes(consortium: Consortium) -> None:
    for path in (consortium.folder / "aachen").glob("*.pem"):
        assert os.stat(path).st_mode & 0o077 == 0

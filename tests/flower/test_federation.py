"""A config over Flower is the config in one process, with a fresh agent at the site for every message."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.cli.calls import write_config
from tests.flower.room import Mishap, Room, SuperNode
from unpooled.errors import BadSetting
from unpooled.runs.config import load
from unpooled.runs.execute import execute
from unpooled.runs.flower_coordinator import coordinate
from unpooled.runs.flower_site import open_agent
from unpooled.sites.ledger import read, verify
from unpooled.sites.questions import Answer, Failure, Question, handles
from unpooled.sites.site import Site
from unpooled.sites.transports.flower import FlowerLink, Pace, client_app
from unpooled.sites.transports.remote import Remote

pytestmark = pytest.mark.usefixtures("coordinator")
SITES = ("clinic-0", "clinic-1", "clinic-2")
RUN_CONFIG = {"sites": " ".join(SITES), "ttl": 30.0, "trust-node-config": False}
FEDDC = {"kind": "FedDC", "daisy_period": 1, "aggregate_period": 3}
FAST = Pace(ttl=30.0, poll=0.001, look=0.002, pause=0.001)


class Stopped(Exception):
    """The ServerApp's process ends here."""


def storm(seed: int) -> Mishap:
    """Every way that Flower has of losing or repeating a message, each one time in twelve."""
    rng = Random(seed)
    ways: list[object] = [3, 4, 5, 8, 2, "unheard", "twice", "restarts"]
    return lambda site, number: rng.choice(ways) if rng.random() < len(ways) / 12 else None


def files(folder: Path, site: str) -> dict[str, str]:
    """What a site's node config says: its data lie beside the config, and its policy allows so few rows."""
    (folder / "policy.toml").write_text("min_samples = 2\n")
    return {
        "data": str(folder / f"sites/{site}.csv"),
        "folder": str(folder / "kept" / site),
        "policy": str(folder / "policy.toml"),
    }


def room(folder: Path, mishap: Mishap = lambda site, number: None) -> Room:
    """SuperNodes with the data beside the config, as an exported app runs there."""
    app = client_app(open_agent)
    return Room([SuperNode(name, app, {"site": name, **files(folder, name)}) for name in SITES], mishap=mishap)


def over_flower(folder: Path, grid: Room) -> Path:
    """What `flwr run` starts."""

    def link_to(names: tuple[str, ...], **settings: Any) -> FlowerLink:
        return FlowerLink(grid, names, trusting=settings["trusting"], pace=FAST)

    return coordinate(folder / "config.toml", link_to, {**RUN_CONFIG, "runs": str(folder / "runs")})


def models(run: Path) -> dict[str, np.ndarray]:
    return {
        f"{path.stem} {key}": value
        for path in sorted((run / "models").glob("*.safetensors"))
        for key, value in load_file(path).items()
    }


def assert_same(run: Path, simulated: Path) -> None:
    """Models, losses and traffic of two runs are equal; models that stay at their sites only a simulation keeps."""
    ours, theirs = models(run), models(simulated)
    assert {key for key in theirs if key.endswith("aggregate")} <= ours.keys() <= theirs.keys()
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6, atol=1e-9, err_msg=key)
    for name in ("history", "traffic"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(run / f"{name}.parquet"), pd.read_parquet(simulated / f"{name}.parquet"), rtol=1e-6
        )


def simulate(folder: Path) -> Path:
    execute(load(folder / "config.toml"), folder / "simulated")
    return folder / "simulated"


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        (FEDDC, {}),
        (
            {"kind": "FedAvg", "aggregate_period": 2},
            {"training__optimizer": "adam", "training__optimizer_state": "stay"},
        ),
    ],
    ids=["feddc", "fedavg, adam stays"],
)
@pytest.mark.parametrize("weather", ["calm", "storm"])
def test_a_config_over_flower_gives_what_it_gives_in_one_process(
    protocol: Mapping[str, Any], settings: dict[str, Any], weather: str, tmp_path: Path
) -> None:
    write_config(tmp_path, protocols=[protocol], training__steps=6, **settings)
    grid = room(
        tmp_path, storm(zlib.crc32(protocol["kind"].encode())) if weather == "storm" else lambda site, number: None
    )
    run = over_flower(tmp_path, grid)
    assert_same(run, simulate(tmp_path))
    for name in SITES:
        ledger = tmp_path / "kept" / name / "ledger.jsonl"
        numbers = [(entry["run"], entry["number"]) for entry in read(ledger)]
        assert verify(ledger) == len(numbers) == len(set(numbers))  # nothing was worked on twice
    pushed = sum(node.pushed for node in grid.nodes.values())
    asked = sum(len(list(read(tmp_path / "kept" / name / "ledger.jsonl"))) for name in SITES)
    assert (pushed > asked) if weather == "storm" else (pushed == asked)


def test_a_run_whose_serverapp_was_killed_goes_on_in_the_next(tmp_path: Path) -> None:
    write_config(tmp_path, protocols=[FEDDC], training__steps=6)
    pushes = 0

    def dies(site: str, number: int) -> object:
        nonlocal pushes
        pushes += 1
        if pushes % 25 == 0:  # the questions before a run begins are 21, and their answers are not kept
            raise Stopped
        return None

    grid, killed = room(tmp_path, dies), 0
    run: Path | None = None
    while run is None and killed < 20:
        try:
            run = over_flower(tmp_path, grid)
        except Stopped:
            killed += 1
            grid._waiting.clear()  # the messages of a run end with it
    assert run is not None
    assert killed >= 2
    assert_same(run, simulate(tmp_path))


@pytest.mark.parametrize("sites", ["", " ", "berlin berlin"])
def test_a_run_needs_the_names_of_its_sites(sites: str, tmp_path: Path) -> None:
    write_config(tmp_path)
    told = {**RUN_CONFIG, "sites": sites, "runs": str(tmp_path / "runs")}
    with pytest.raises(BadSetting, match="sites in the run config"):
        coordinate(tmp_path / "config.toml", partial(FlowerLink, room(tmp_path)), told)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["site", "data", "folder"])
@pytest.mark.parametrize("change", [lambda told, key: told.pop(key), lambda told, key: told.update({key: " "})])
def test_a_site_without_its_files_says_which_is_missing(
    key: str, change: Callable[[dict[str, Any], str], object], tmp_path: Path
) -> None:
    write_config(tmp_path)
    told = {"site": "a", "data": str(tmp_path / "sites/clinic-0.csv"), "folder": str(tmp_path / "kept")}
    change(told, key)
    with pytest.raises(BadSetting, match=f"--node-config needs {key}="):
        open_agent(told)


def test_what_is_wrong_with_a_site_s_files_stays_in_its_own_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    grid = room(tmp_path)
    bad = tmp_path / "bad.csv"
    bad.write_text('age,pressure,y\n"no end of the quote,1,ill\n')
    grid.nodes[100].config = {**grid.nodes[100].config, "data": str(bad)}
    link = FlowerLink(grid, SITES, pace=FAST)
    link.send("clinic-0", b"question")
    with caplog.at_level(logging.WARNING):
        assert link.receive(0.05) is None
    told = [record.getMessage() for record in caplog.records if record.name == "unpooled.flower"]
    assert any("its SuperNode's own log says why" in line for line in told)
    assert not any("bad.csv" in line for line in told)
    assert "bad.csv cannot be read" in caplog.text


@dataclass(frozen=True, kw_only=True)
class Rows(Answer):
    """How many rows a site holds."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class HowMany(Question):
    """A kind of question that a project of its own may add."""

    kind: ClassVar[str] = "how_many_in_test_of_flower"
    tells: ClassVar[str] = "A count."
    answer: ClassVar[type[Answer]] = Rows


@handles(HowMany)
def how_many(site: Site, question: HowMany) -> Rows:
    return Rows(rows=len(site.state["table"]))


def test_a_kind_of_question_of_one_s_own_is_asked_like_any_other_and_refused_like_any_other(tmp_path: Path) -> None:
    write_config(tmp_path)
    remote = Remote(FlowerLink(room(tmp_path), SITES, pace=FAST), "run")
    question = dict.fromkeys(SITES, HowMany())
    refused = remote.ask(question)
    assert {type(answer) for answer in refused.values()} == {Failure}  # the careful policy names its kinds
    (tmp_path / "policy.toml").write_text(f'min_samples = 2\nkinds = ["{HowMany.kind}"]\n')
    assert remote.ask(question) == dict.fromkeys(SITES, Rows(rows=12))

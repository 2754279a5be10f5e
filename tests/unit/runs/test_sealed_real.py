"""A run over real sites whose hops are sealed: killed or not, it is the simulation, and its page knows the gaps."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from tests.contract.links import Direct
from tests.unit.runs.test_real import Killed, Mortal, Nowhere, config, frame, link, models, table
from unpooled.report import write_report
from unpooled.runs.at_site import open_agent
from unpooled.runs.config import Config
from unpooled.runs.execute import execute
from unpooled.runs.real import execute_over
from unpooled.sites.policy import Policy
from unpooled.sites.sealing import STATE, strangers
from unpooled.sites.sealing_files import admit, make_key, read_roster
from unpooled.sites.site import Site

__all__ = ["table"]


def sealed(table: Path, *, secure_sum: bool = False) -> Config:
    training = {"steps": 12, "lr": 0.2, "batch_size": 4, "executor": "reference", "evaluate_every": 5}
    protocols = [
        {"kind": "FedDC", "daisy_period": 1, "aggregate_period": 4},
        *([] if secure_sum else [{"kind": "DaisyChain", "daisy_period": 2}]),
        {"kind": "FedAvg", "aggregate_period": 3},
    ]
    hiding = {"sealed_hops": True, "secure_sum": secure_sum}
    return config(table, training={**training, **hiding}, protocols=protocols)


def with_keys(found: Direct) -> Direct:
    """The same sites, admitted."""
    keys = strangers(found.names)

    def maker(name: str) -> Site:
        site = found._make[name]()
        site.state[STATE] = keys[name]
        return site

    return Direct({name: lambda name=name: maker(name) for name in found.names})


@pytest.mark.parametrize("secure_sum", [False, True])
def test_a_sealed_run_over_a_link_is_the_simulation(table: Path, tmp_path: Path, secure_sum: bool) -> None:
    settings = sealed(table, secure_sum=secure_sum)
    wanted = execute(settings, tmp_path / "here")
    found = execute_over(with_keys(link(table)), settings, tmp_path / "there", told=Nowhere())
    assert [(c["protocol"], c["status"], c["error"]) for c in found["cells"]] == [
        (c["protocol"], "finished", None) for c in wanted["cells"]
    ]
    here, there = models(tmp_path / "here"), models(tmp_path / "there")
    if not secure_sum:
        assert there == {name: model for name, model in here.items() if not name.startswith("daisy")}
    hopping = [frame(tmp_path / n, "history").query("protocol == 'FedDC(1, 4)'") for n in ("here", "there")]
    local = [h.query("model != 'aggregate'").reset_index(drop=True) for h in hopping]
    pd.testing.assert_frame_equal(*local, rtol=1e-6)
    steps = [set(h.query("model == 'aggregate'")["step"]) for h in hopping]
    assert steps == [{5, 10, 12}, {12}]
    page = write_report([tmp_path / "there"], tmp_path / "report.html").read_text("utf-8")
    assert "at real sites the combined model is then measured only where models are averaged" in page


def test_a_site_finds_its_key_in_its_folder(table: Path, tmp_path: Path) -> None:
    rows, folder = tmp_path / "berlin.csv", tmp_path / "berlin"
    pd.read_csv(table).query("site == 'berlin'").drop(columns="site").to_csv(rows, index=False)
    folder.mkdir()
    without = open_agent("berlin", rows, folder, Policy())
    assert STATE not in without.site.state
    without.close()
    admit(folder, {"berlin": make_key(folder)})
    agent = open_agent("berlin", rows, folder, Policy())
    assert agent.site.state[STATE].roster == read_roster(folder)
    agent.close()


def test_a_coordinator_killed_between_hops_ends_with_the_same_models(table: Path, tmp_path: Path) -> None:
    """Letters have chance in them: they come from checkpoint, journal and sites, and are never made anew."""
    execute_over(with_keys(link(table)), sealed(table), tmp_path / "whole", told=Nowhere())
    mortal, out, rng = Mortal(with_keys(link(table))), tmp_path / "killed", random.Random(4)
    for _ in range(10):
        mortal.dies_at = len(mortal.sent) + rng.randint(1, 14)
        with pytest.raises(Killed):
            execute_over(mortal, sealed(table), out, told=Nowhere(), checkpoint_seconds=rng.choice([0.0, 60.0]))
        mortal.lose()
    mortal.dies_at = None
    assert execute_over(mortal, sealed(table), out, told=Nowhere())["status"] == "finished"
    assert models(out) == models(tmp_path / "whole")
    for name in ("traffic", "history", "sites"):
        pd.testing.assert_frame_equal(frame(out, name), frame(tmp_path / "whole", name))

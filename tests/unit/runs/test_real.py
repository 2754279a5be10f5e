"""Runs over a link: the same as the simulation of the same config, whatever happens on the way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from tests.contract.links import Direct
from unpooled.errors import BadRecord, BadSetting, Interrupted
from unpooled.runs.config import Config, parse
from unpooled.runs.execute import execute
from unpooled.runs.real import execute_over
from unpooled.sites.envelope import Envelope
from unpooled.sites.loading import read_sites
from unpooled.sites.site import Site
from unpooled.sites.transports.remote import Waiting


class Nowhere:
    """Progress that nobody reads."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell(self, done: int, total: int, *, part: str = "", waiting: tuple[str, ...] = (), end: bool = False) -> None:
        self.told.append((done, total, part, waiting, end))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three sites with a number, a text and missing cells."""
    rng = np.random.default_rng(5)
    rows = 60
    age = rng.normal(50, 9, rows)
    frame = pd.DataFrame(
        {
            "site": rng.choice(["berlin", "bonn", "kiel"], rows),
            "age": np.where(rng.random(rows) < 0.1, np.nan, age),
            "sex": rng.choice(["f", "m"], rows),
            "ill": (age + rng.normal(0, 4, rows) > 50).astype(int),
        }
    )
    path = tmp_path / "patients.csv"
    frame.to_csv(path, index=False)
    return path


def config(table: Path, **more: Any) -> Config:
    return parse(
        {
            "title": "Three hospitals",
            "data": {"source": str(table), "site": "site", "target": "ill", "test_fraction": 0.3},
            "model": {"kind": "mlp", "hidden": [4]},
            "training": {"steps": 12, "lr": 0.2, "batch_size": 4, "executor": "reference", "evaluate_every": 5},
            "protocols": [
                {"kind": "FedDC", "daisy_period": 1, "aggregate_period": 4},
                {"kind": "FedAvg", "aggregate_period": 3},
                {"kind": "Local"},
            ],
            **more,
        }
    )


def link(table: Path) -> Direct:
    """Each site with its own rows of the table."""
    sites, _ = read_sites(table, site="site")

    def maker(site: Site) -> Any:
        return lambda: Site(site.name, state={"table": site.state["table"]})

    return Direct({site.name: maker(site) for site in sites})


def models(folder: Path) -> Mapping[str, Any]:
    return {
        path.name: safetensors.numpy.load_file(path)["aggregate"].tolist()
        for path in sorted((folder / "models").glob("*.safetensors"))
    }


def frame(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


def test_a_run_over_a_link_is_the_simulation_to_the_bit(table: Path, tmp_path: Path) -> None:
    wanted = execute(config(table), tmp_path / "here")
    told = Nowhere()
    found = execute_over(link(table), config(table), tmp_path / "there", told=told)
    assert found["status"] == wanted["status"] == "finished"
    assert models(tmp_path / "here") == models(tmp_path / "there")
    pd.testing.assert_frame_equal(*(frame(tmp_path / name, "history") for name in ("here", "there")))
    one, other = (frame(tmp_path / name, "traffic").query("kind != 'show'") for name in ("here", "there"))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))
    assert told.told[-1] == (36, 36, "local-seed-0", (), True)


class Killed(BaseException):
    """Nothing in the library catches it, as nothing catches kill -9."""


class Mortal(Direct):
    """A link whose coordinator dies when it asks for the n-th time."""

    def __init__(self, inner: Direct) -> None:
        super().__init__(inner._make)
        self.dies_at: int | None = None

    def send(self, site: str, data: bytes) -> None:
        if self.dies_at is not None and len(self.sent) >= self.dies_at:
            raise Killed
        super().send(site, data)


def test_a_coordinator_killed_twenty_times_ends_with_the_same_models_and_no_site_works_twice(
    table: Path, tmp_path: Path
) -> None:
    execute_over(link(table), config(table), tmp_path / "whole", told=Nowhere())
    mortal, out, rng = Mortal(link(table)), tmp_path / "killed", random.Random(11)
    for _ in range(20):
        mortal.dies_at = len(mortal.sent) + rng.randint(1, 14)
        with pytest.raises(Killed):
            execute_over(mortal, config(table), out, told=Nowhere(), checkpoint_seconds=rng.choice([0.0, 60.0]))
        mortal.lose()
    mortal.dies_at = None
    found = execute_over(mortal, config(table), out, told=Nowhere())
    assert found["status"] == "finished"
    assert models(out) == models(tmp_path / "whole")
    pd.testing.assert_frame_equal(frame(out, "traffic"), frame(tmp_path / "whole", "traffic"))
    pd.testing.assert_frame_equal(frame(out, "history"), frame(tmp_path / "whole", "history"))
    assert not list((out / "checkpoint").glob("*"))


def test_a_run_that_was_deleted_begins_anew(table: Path, tmp_path: Path) -> None:
    there = link(table)
    for name in ("one", "two"):
        assert execute_over(there, config(table), tmp_path / name, told=Nowhere())["status"] == "finished"
    runs = {envelope.run for envelope in there.sent}
    assert len(runs) == 8  # facts and three cells, twice: no site takes one for the other


def test_absences_are_in_the_record_and_in_its_warnings(table: Path, tmp_path: Path) -> None:
    there = link(table)

    def silent(envelope: Envelope) -> bool:
        return envelope.site == "kiel" and envelope.round in (4, 5, 6, 7, 8) and "feddc" in envelope.run

    there.silent = silent
    settings = config(table, federation={"deadline": 0.05, "at_least": 2, "resend": 60.0})
    found = execute_over(there, settings, tmp_path / "run", told=Nowhere())
    assert found["status"] == "finished", found["error"]
    absences = frame(tmp_path / "run", "absences")
    assert set(absences["protocol"]) == {"FedDC(1, 4)"}
    assert set(absences["site"]) == {"kiel"}
    assert set(absences["step"]) <= {4, 5, 6, 7, 8}
    assert any("site 'kiel' did not answer" in warning for warning in found["warnings"])


def test_whom_a_run_waits_for_is_told(table: Path, tmp_path: Path) -> None:
    there, waited = link(table), list[Waiting]()
    there.silent = lambda envelope: envelope.site == "bonn" and envelope.number == 9 and not waited
    settings = config(table, federation={"resend": 0.2})
    settings = replace(settings, protocols=settings.protocols[:1])
    told = Nowhere()
    assert execute_over(there, settings, tmp_path / "run", told=told, waiting=waited.append)["status"] == "finished"
    assert {w.missing for w in waited} == {("bonn",)}
    assert ("bonn",) in {waiting for *_, waiting, _ in told.told}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data": {"source": "digits", "split": {"sites": 3}}}, "shares out a pooled data set"),
        ({"federation": {"deadline": 1.0}}, "belong together"),
        ({"federation": {"at_least": 9, "deadline": 1.0}}, "only 3 sites were admitted"),
        ({"federation": {"dead_line": 1.0}}, "Did you mean 'deadline'"),
        ({"protocols": [{"kind": "Pooled"}]}, "keep at home"),
    ],
)
def test_what_cannot_run_over_real_sites_is_refused_before_anything_is_written(
    table: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        execute_over(link(table), config(table, **more), tmp_path / "run", told=Nowhere())
    assert not (tmp_path / "run").exists()


def test_real_runs_and_simulations_do_not_continue_one_another(table: Path, tmp_path: Path) -> None:
    execute(config(table), tmp_path / "here")
    with pytest.raises(BadRecord, match="holds a simulation"):
        execute_over(link(table), config(table), tmp_path / "here", told=Nowhere())
    execute_over(link(table), config(table), tmp_path / "there", told=Nowhere())
    with pytest.raises(BadRecord, match="coordinator run"):
        execute(config(table), tmp_path / "there")


def test_a_clean_stop_goes_on_later(table: Path, tmp_path: Path) -> None:
    there, stops = link(table), iter([False] * 7 + [True])
    with pytest.raises(Interrupted):
        execute_over(there, config(table), tmp_path / "run", told=Nowhere(), stop=lambda: next(stops, True))
    assert execute_over(there, config(table), tmp_path / "run", told=Nowhere())["status"] == "finished"
    execute_over(link(table), config(table), tmp_path / "whole", told=Nowhere())
    assert models(tmp_path / "run") == models(tmp_path / "whole")

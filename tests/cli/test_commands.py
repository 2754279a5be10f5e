"""Every command: it has help, it is in the documentation, and it does what its help says."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.calls import Call, tables, write_config, write_sites
from tests.conftest import ROOT
from unpooled.cli.app import app
from unpooled.runs.config import Config, load, parse
from unpooled.runs.identity import identity
from unpooled.runs.resolve import resolve


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inside = getattr(command, "commands", None)
    if inside is None:
        yield name, command
    else:
        for word, below in inside.items():
            yield from _walk(below, f"{name} {word}")


COMMANDS = dict(_walk(typer.main.get_command(app), "unpooled"))


def test_the_commands_are_those_that_the_tests_know() -> None:
    assert sorted(COMMANDS) == [
        "unpooled audit",
        "unpooled compare",
        "unpooled connect",
        "unpooled coordinator admit",
        "unpooled coordinator init",
        "unpooled coordinator remove",
        "unpooled coordinator renew",
        "unpooled coordinator run",
        "unpooled coordinator serve",
        "unpooled coordinator status",
        "unpooled data describe",
        "unpooled demo",
        "unpooled discover",
        "unpooled explain",
        "unpooled flower export",
        "unpooled flower guard",
        "unpooled ledger report",
        "unpooled ledger show",
        "unpooled ledger verify",
        "unpooled plan",
        "unpooled policy",
        "unpooled radon plan",
        "unpooled report",
        "unpooled resume",
        "unpooled roster add",
        "unpooled roster key",
        "unpooled roster show",
        "unpooled runs",
        "unpooled site check",
        "unpooled site join",
        "unpooled site request",
        "unpooled site run",
        "unpooled stream",
        "unpooled study",
        "unpooled train",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_all_its_options_have_help(name: str, call: Call) -> None:
    command = COMMANDS[name]
    assert len(command.help.strip()) > 20
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name} has no help"
    shown = call(*name.split()[1:], "--help")
    assert shown.code == 0
    assert command.help.split("\n")[0][:40] in " ".join(shown.out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_the_documentation(name: str) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert name in text, f"write about `{name}` in README.md or docs/"


def test_unpooled_alone_says_what_to_do_next(call: Call) -> None:
    shown = call()
    assert "unpooled demo" in shown.out + shown.err
    assert "data describe" in shown.out + shown.err


def test_version(call: Call) -> None:
    import unpooled

    assert call("--version").out.strip() == unpooled.__version__


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small config beside its sites."""
    return write_config(tmp_path)


@pytest.fixture
def run(config: Path, call: Call, tmp_path: Path) -> Path:
    """A finished run."""
    done = call("compare", config, "--out", tmp_path / "run", "--workers", 1)
    assert done.code == 0, done.err
    assert done.err == ""  # no progress without a terminal
    assert "FedAvg(5)" in done.out
    return tmp_path / "run"


def test_json_is_one_document_and_nothing_else(config: Path, call: Call, tmp_path: Path) -> None:
    out, drawn = tmp_path / "run", tmp_path / "who.svg"
    asked: dict[str, list[object]] = {
        "train": ["train", config, "--out", tmp_path / "one"],
        "compare": ["compare", config, "--out", out, "--workers", 1],
        "resume": ["resume", out],
        "runs": ["runs", tmp_path],
        "data describe": ["data", "describe", config, "--figure", drawn],
    }
    told = {}
    for name, arguments in asked.items():
        called = call(*arguments, "--format", "json")
        assert (called.code, called.err) == (0, ""), name
        told[name] = json.loads(called.out)
    assert [cell["status"] for cell in told["train"]["cells"]] == ["finished"]
    assert told["compare"] == told["resume"]
    assert told["compare"]["folder"] == str(out)
    assert Path(told["compare"]["report"]).is_file()
    finals = {(f["protocol"], f["model"], f["metric"]) for f in told["compare"]["final"]}
    assert ("FedAvg(5)", "aggregate", "accuracy") in finals
    compared = {(d["protocol"], d["reference"], d["metric"], d["verdict"]) for d in told["compare"]["differences"]}
    assert compared == {("FedAvg(5)", "Local", m, "one seed only") for m in ("accuracy", "balanced_accuracy")}
    assert {r["folder"] for r in told["runs"]} == {str(out), str(tmp_path / "one")}
    assert [site["name"] for site in told["data describe"]["sites"]] == ["clinic-0", "clinic-1", "clinic-2"]
    assert "</svg>" in drawn.read_text(encoding="utf-8")


def test_report_rebuilds_the_same_bytes_from_the_folder_alone(run: Path, call: Call, tmp_path: Path) -> None:
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    for path in (tmp_path / "sites").iterdir():
        path.unlink()
    assert call("report", run).out.strip() == str(run / "report.html")
    assert (run / "report.html").read_bytes() == page


def test_a_second_compare_of_a_finished_run_changes_nothing_but_gives_the_same_result(
    run: Path, config: Path, call: Call
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    again = [call(*command) for command in (("compare", config, "--out", run), ("resume", run))]
    assert [called.code for called in again] == [0, 0]
    assert again[0].out == again[1].out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_runs_lists_status_and_folder(run: Path, call: Call, tmp_path: Path) -> None:
    listed = call("runs", tmp_path)
    row = next(line for line in listed.out.splitlines() if "Three clinics" in line)
    assert "finished" in row
    assert "2/2" in row
    assert "unpooled demo" in call("runs", tmp_path / "sites").out  # where there are none


def test_train_takes_the_first_protocol_and_seed_or_those_named(call: Call, tmp_path: Path) -> None:
    config = write_config(tmp_path, seeds=[3, 4])

    def cells(*options: object) -> list[tuple[str, int]]:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        called = call("train", config, "--out", out, "--format", "json", *options)
        return [(cell["protocol"], cell["seed"]) for cell in json.loads(called.out)["cells"]]

    assert cells() == [("FedAvg(5)", 3)]
    assert cells("--protocol", "Local", "--seed", 9) == [("Local", 9)]
    assert cells("--protocol", "FedAvg") == cells("--protocol", "FedAvg(5)") == [("FedAvg(5)", 3)]


def test_source_points_a_config_at_ones_own_copy(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(tmp_path, data__source="not/here")
    write_sites(tmp_path / "mine", sites=4)
    monkeypatch.chdir(tmp_path)
    for command in ("train", "compare"):
        called = call(command, "config.toml", "--source", "mine", "--out", command)
        assert called.code == 0, called.err
        assert load(tmp_path / command / "config.toml").data.source == str(tmp_path / "mine")
    monkeypatch.chdir("/")
    assert call("resume", tmp_path / "train").code == 0  # from elsewhere, and again without the option
    assert call("data", "describe", config).code == 2


def test_a_relative_source_starts_at_the_config_whatever_it_is_called(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path)
    monkeypatch.chdir("/")
    for source in ("sites", "./sites", "../" + tmp_path.name + "/sites"):
        config = write_config(tmp_path, data__source=source)
        assert load(config).data.source == str(tmp_path / "sites")
    assert call("data", "describe", config).code == 0


def test_a_run_begun_from_python_with_a_relative_source_resumes_from_elsewhere(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unpooled.errors import Interrupted
    from unpooled.runs.execute import execute

    write_sites(tmp_path / "sites")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted):
        execute(parse(tables()), Path("run"), stop=lambda: True)
    monkeypatch.chdir("/")
    assert call("resume", tmp_path / "run").code == 0


def test_a_radon_plan_is_a_table_or_one_document(call: Call) -> None:
    asked = ["radon", "plan", "--rows", 5_000_000, "--parameters", 19, "--workers", 8]
    assert "height='max' is 3" in call(*asked).out
    assert json.loads(call(*asked, "--format", "json").out)["heights"][3]["models"] == 9261
    assert "workers must be a whole number" in call(*asked[:-1], 0).err


def test_a_plan_is_a_table_or_one_document(call: Call) -> None:
    asked = ["plan", "--sites", 50, "--samples", 2, "--needed", 20, "--daisy-period", 3]
    shown, told = call(*asked), call(*asked, "--format", "json")
    assert (shown.code, told.code) == (0, 0)
    assert re.search(r"corrected: random hops, exact +15 +48 ", shown.out)  # 15 hops; b = 3 * (15 + 1)
    assert re.search(r"published: coverage lemma +11.7 +35.\d .* no guarantee", shown.out)
    assert json.loads(told.out)["k"] == 10
    refused = call("plan", "--sites", 50, "--samples", 8, "--needed", 461)
    assert refused.code == 2
    assert "50 sites x 8 are only 400" in refused.err


def test_describe_prints_who_holds_what(config: Path, call: Call, tmp_path: Path) -> None:
    rows = ["where,age,y"] + [
        f"{'north' if i < 6 else 'south'},{40 + i},{'ill' if i % 2 else 'well'}" for i in range(10)
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    folder = call("data", "describe", tmp_path / "sites", "--target", "y")
    table = call("data", "describe", tmp_path / "table.csv", "--target", "y", "--site", "where")
    by_config = call("data", "describe", config, "--figure", tmp_path / "who.png")
    assert (folder.code, table.code, by_config.code) == (0, 0, 0)
    assert re.search(r"clinic-1\W+12\W+0\W+6\W+6", folder.out)
    assert re.search(r"north\W+6\W+0\W+3\W+3", table.out)
    assert re.search(r"south\W+4\W+0\W+2\W+2", table.out)
    assert "3 sites" in by_config.out
    assert (tmp_path / "who.png").read_bytes().startswith(b"\x89PNG")


def test_the_record_holds_every_setting_and_loads_to_an_equal_config(run: Path, config: Path) -> None:
    kept = load(run / "config.toml")
    assert kept == resolve(load(config))
    assert identity(kept) == identity(load(config))
    assert resolve(kept) == kept
    table = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    assert {"batch_size", "evaluate_every"} - set(table["training"]) == {"batch_size"}  # None has no word in TOML
    assert table["protocols"][0] == {
        "kind": "FedAvg",
        "aggregate_period": 5,
        "fraction": 1.0,
        "weighted_by_samples": False,
        "combine": "mean",
        "server_lr": 1.0,
    }


SAME: dict[str, dict[str, Any]] = {
    "title": {"title": "Another name"},
    "note": {"data__note": "Some words."},
    "default of a table": {"training__optimizer": "sgd", "data__scale": True, "ledger": False, "family": "training"},
    "default of a protocol": {
        "protocols": [{"kind": "FedAvg", "aggregate_period": 5, "fraction": 1.0, "combine": "mean"}, {"kind": "Local"}]
    },
    "a whole number": {"training__lr": 1},
}
OTHER: dict[str, dict[str, Any]] = {
    "source": {"data__source": "other"},
    "target": {"data__target": "age"},
    "test fraction": {"data__test_fraction": 0.4},
    "missing values": {"data__missing": {"age": [0]}},
    "split": {"data__split": {"sites": 3}},
    "model": {"model": {"kind": "mlp"}},
    "steps": {"training__steps": 21},
    "optimizer setting": {"training__optimizer_settings": {"momentum": 0.9}},
    "executor": {"training__executor": "vectorised"},
    "protocol": {"protocols": [{"kind": "FedAvg", "aggregate_period": 5}]},
    "protocol setting": {"protocols": [{"kind": "FedAvg", "aggregate_period": 6}, {"kind": "Local"}]},
    "order of protocols": {"protocols": [{"kind": "Local"}, {"kind": "FedAvg", "aggregate_period": 5}]},
    "seeds": {"seeds": [0, 1]},
    "ledger": {"ledger": True},
}


def _config(**changes: Any) -> Config:
    return parse(tables(**{"training__lr": 1.0, **changes}))


@pytest.mark.parametrize("case", SAME)
def test_the_identity_stays(case: str) -> None:
    assert identity(_config(**SAME[case])) == identity(_config())


def test_every_other_change_gives_another_identity() -> None:
    found = {case: identity(_config(**changes)) for case, changes in OTHER.items()} | {"unchanged": identity(_config())}
    assert len(set(found.values())) == len(found), found


def test_the_default_setting_of_a_model_keeps_the_identity() -> None:
    plain, written = (identity(_config(model={"kind": "mlp", **more})) for more in ({}, {"hidden": [64]}))
    assert plain == written != identity(_config(model={"kind": "mlp", "hidden": [32]}))


def test_progress_is_shown_on_a_terminal_with_speed_and_time_left(tmp_path: Path) -> None:
    config = write_config(tmp_path, training__steps=300, training__evaluate_every=10)
    arguments = ["compare", str(config), "--out", str(tmp_path / "run"), "--workers", "1"]
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from unpooled.cli import main; main()", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=writer,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "150"},
    )
    os.close(writer)
    shown = io.BytesIO()
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        shown.write(piece)
    os.close(reader)
    assert process.wait(60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue().decode())
    assert "Three clinics" in text
    assert re.search(r"100 %", text)
    assert re.search(r"[\d,]+ steps/s", text)
    assert re.search(r"left +\d+:\d\d", text)


def test_a_full_disk_or_the_like_is_one_line(call: Call, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("unpooled.runs.record.write_bytes", full)
    called = call("compare", config, "--out", config.parent / "run")
    assert called.code == 2
    assert called.err.startswith("Error: the system refused: No space left on device (")
    assert len(called.err.splitlines()) == 1

"""What cannot be used is refused in one line: found, needed, what to do next. A newcomer is one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cli.calls import Call, Called, write_config
from unpooled.runs.lock import locked

FEDDC = {"kind": "FedDC", "daisy_period": 1, "aggregate_period": 10}
POOLED_SET: dict[str, Any] = {"data__source": "wine", "data__target": "y", "data__split": {"sites": 4, "samples": 5}}

SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"titel": "x"}, "no setting 'titel'. Did you mean 'title'?"),
    "unknown key in data": ({"data__targt": "y"}, "[data] has no setting 'targt'. Did you mean 'target'?"),
    "unknown key in split": (
        {**POOLED_SET, "data__split__site": 3},
        "[data.split] has no setting 'site'. Did you mean",
    ),
    "unknown key in training": ({"training__step": 3}, "[training] has no setting 'step'. Did you mean 'steps'?"),
    "unknown key in a protocol": ({"protocols": [{**FEDDC, "dasy_period": 2}]}, "Did you mean 'daisy_period'?"),
    "unknown key in the model": ({"model": {"kind": "mlp", "hiden": [3]}}, "Did you mean 'hidden'?"),
    "unknown key of the optimizer": ({"training__optimizer_settings": {"momentun": 0.9}}, "Did you mean 'momentum'?"),
    "lr among the optimizer's": ({"training__optimizer_settings": {"lr": 0.9}}, "has no setting 'lr'"),
    "impossible optimizer setting": ({"training__optimizer_settings": {"momentum": -1.0}}, "Invalid momentum"),
    "optimizer": ({"training__optimizer": "sdg"}, "Did you mean 'sgd'?"),
    "loss": ({"training__loss": "cross_entrpy"}, "Did you mean 'cross_entropy'?"),
    "protocol kind": ({"protocols": [{"kind": "FedDc", "daisy_period": 1}]}, "Did you mean 'FedDC'?"),
    "protocol without kind": ({"protocols": [{"daisy_period": 1}]}, "has no kind; there are FedDC"),
    "protocol kind that is a list": ({"protocols": [{"kind": ["FedDC"]}]}, "has kind ['FedDC']; there are FedDC"),
    "protocol that is a word": ({"protocols": ["FedDC"]}, "protocols.0 = 'FedDC' does not fit"),
    "protocol twice": ({"protocols": [FEDDC, FEDDC]}, "lists FedDC(1, 10) twice: each protocol once"),
    "no protocol": ({"protocols": []}, "add [[protocols]]"),
    "period 0": ({"protocols": [{**FEDDC, "daisy_period": 0}]}, "daisy_period must be a whole number of at least 1"),
    "period missing": ({"protocols": [{"kind": "FedAvg"}]}, "needs 'aggregate_period', which is missing"),
    "fraction": ({"protocols": [{**FEDDC, "fraction": 0.0}]}, "fraction must lie above 0 and not above 1, got 0.0"),
    "combiner": ({"protocols": [{**FEDDC, "combine": "maen"}]}, "Did you mean 'mean'?"),
    "model kind": ({"model": {"kind": "mpl"}}, "Did you mean 'mlp'?"),
    "model that is a word": ({"model": "mlp"}, "model = 'mlp' does not fit"),
    "model width": ({"model": {"kind": "mlp", "hidden": [0]}}, "hidden must be a whole number of at least 1, got 0"),
    "cnn without images": ({"model": {"kind": "cnn"}}, "A cnn needs images"),
    "steps in words": ({"training__steps": "many"}, "training.steps = 'many' does not fit"),
    "steps 0": ({"training__steps": 0}, "steps must be a whole number of at least 1, got 0"),
    "negative lr": ({"training__lr": -0.1}, "lr must be a number above 0, got -0.1"),
    "lr that is no number": ({"training__lr": float("nan")}, "lr must be a number above 0, got nan"),
    "batch of 0": ({"training__batch_size": 0}, "batch_size must be a whole number of at least 1"),
    "never evaluated": ({"training__evaluate_every": 0}, "evaluate_every must be a whole number of at least 1"),
    "executor": ({"training__executor": "fast"}, "training.executor = 'fast' does not fit"),
    "no seeds": ({"seeds": []}, "at least one; got []"),
    "a seed twice": ({"seeds": [1, 1]}, "seeds must be different whole numbers"),
    "a seed in words": ({"seeds": ["first"]}, "seeds.0 = 'first' does not fit"),
    "no title": ({"title": " "}, "title must say"),
    "family": ({"family": "trainig"}, "There is no family 'trainig'; there are training"),
    "missing folder": ({"data__source": "hospitals"}, "There is no file or folder"),
    "folder with a near name": ({"data__source": "sitse"}, "Did you mean 'sites'?"),
    "no target": (
        {"data": {"source": "sites"}},
        "[data] needs target (or --target), the column to predict",
    ),
    "unknown target": ({"data__target": "Y"}, "'Y'"),
    "test fraction": ({"data__test_fraction": 1.5}, "test_fraction"),
    "nothing to test on": ({"data__test_fraction": 0.0}, "set test_fraction in [data] above 0"),
    "rows of real sites": ({"protocols": [{"kind": "Pooled"}]}, "set allow_raw_data = true in [data]"),
    "pooled set without split": ({"data__source": "wine"}, "say how to share it out in [data.split]"),
    "unknown pooled set": ({**POOLED_SET, "data__source": "wien"}, "Did you mean 'wine'?"),
    "more samples than rows": ({**POOLED_SET, "data__split": {"sites": 40, "samples": 50}}, "2000"),
    "more sites than rows": ({**POOLED_SET, "data__split": {"sites": 5000}}, "5000"),
    "no test rows": ({**POOLED_SET, "data__test_fraction": 0.0}, "leaves no row to test on"),
    "way to split": ({**POOLED_SET, "data__split__how": "evenly"}, "does not fit"),
}


def refused(called: Called, needed: str, *left_alone: Path) -> None:
    """One line on standard error that says `needed`, exit code 2, and nothing left behind."""
    assert called.code == 2, called
    assert called.out == ""
    (line,) = called.err.splitlines()
    assert line.startswith("Error: ")
    assert needed in line
    assert line.endswith((".", "?")), line
    assert not any(path.exists() for path in left_alone), "something was written"


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be_used(case: str, call: Call, tmp_path: Path) -> None:
    changes, needed = SETTINGS[case]
    config = write_config(tmp_path, **changes)
    refused(call("compare", config, "--out", tmp_path / "out"), needed, tmp_path / "out")


def _write(name: str, text: str | bytes) -> Callable[[Path], object]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / name).write_bytes(data)


HEADER = "age,pressure,y\n"
CLASSES = HEADER + "".join(f"5{i},12{i},{'ill' if i % 2 else 'well'}\n" for i in range(8))
SITES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other columns": (_write("clinic-1.csv", CLASSES.replace("pressure", "pulse")), "clinic-1"),
    "text where numbers belong": (_write("clinic-1.csv", CLASSES.replace("53,", "fifty,")), "fifty"),
    "empty file": (_write("clinic-1.csv", ""), "clinic-1.csv cannot be read as CSV"),
    "no rows": (_write("clinic-1.csv", HEADER), "clinic-1"),
    "binary file": (_write("clinic-1.csv", bytes(range(256)) * 4), "clinic-1.csv cannot be read as CSV"),
    "cut parquet": (lambda f: [p.unlink() for p in f.iterdir()] and _write("a.parquet", b"PAR1")(f), "a.parquet"),
    "no sites": (lambda f: [p.unlink() for p in f.iterdir()], "holds no site"),
    "two kinds of files": (_write("clinic-9.parquet", b""), "more than one kind of site"),
    "ragged rows": (_write("clinic-1.csv", CLASSES + "1,2,3,4\n"), "clinic-1.csv cannot be read as CSV"),
    "one class": (
        lambda f: [p.write_text(p.read_text().replace("well", "ill"), encoding="utf-8") for p in f.iterdir()],
        "class",
    ),
}


@pytest.mark.parametrize("case", SITES)
def test_sites_that_cannot_be_used(case: str, call: Call, tmp_path: Path) -> None:
    spoil, needed = SITES[case]
    config = write_config(tmp_path)
    spoil(tmp_path / "sites")
    refused(call("compare", config, "--out", tmp_path / "out"), needed, tmp_path / "out")


def _text(text: str | bytes) -> Callable[[Path], object]:
    return lambda config: config.write_bytes(text if isinstance(text, bytes) else text.encode())


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda config: config.rename(config.with_name("confg.toml")), "Did you mean 'confg.toml'?"),
    "a folder": (lambda config: (config.unlink(), config.mkdir()), "cannot be read as TOML"),
    "no TOML": (_text("title = 'x\n[data"), "cannot be read as TOML"),
    "no text": (_text(b"\xff\xfe\x00title"), "cannot be read as TOML"),
    "empty": (_text(""), "needs 'title', which is missing"),
    "a section that is a number": (_text("title = 'x'\ndata = 3"), "[data] must be a table of settings, got 3"),
}


@pytest.mark.parametrize("command", ["compare", "train"])
@pytest.mark.parametrize("case", FILES)
def test_config_files_that_cannot_be_used(case: str, command: str, call: Call, tmp_path: Path) -> None:
    spoil, needed = FILES[case]
    config = write_config(tmp_path)
    spoil(config)
    refused(call(command, config, "--out", tmp_path / "out"), needed, tmp_path / "out")


COMMANDS: dict[str, tuple[list[str], str]] = {
    "output below a file": (["compare", "config.toml", "--out", "config.toml/run"], "choose another folder with --out"),
    "output that is a file": (["compare", "config.toml", "--out", "config.toml"], "choose another folder with --out"),
    "output below a device": (["train", "config.toml", "--out", "/dev/null/x"], "choose another folder with --out"),
    "protocol not in the config": (["train", "config.toml", "--protocol", "FedDC"], "there are FedAvg(5), Local"),
    "source that is missing": (["compare", "config.toml", "--source", "elsewhere"], "There is no file or folder"),
    "resume without a run": (["resume", "sites"], "There is no run in sites: `unpooled runs` lists"),
    "resume of nothing": (["resume", "nowhere"], "There is no run in nowhere"),
    "report of nothing": (["report", "nowhere"], "There is no run's folder at nowhere"),
    "report of no run": (["report", "sites"], "is not a complete run"),
    "description of nothing": (["data", "describe", "nowhere", "--target", "y"], "There is no file or folder"),
    "description without target": (["data", "describe", "sites"], "target"),
    "description of a table without site": (["data", "describe", "sites/clinic-0.csv", "--target", "y"], "site"),
    "picture of an unknown kind": (
        ["data", "describe", "sites", "--target", "y", "--figure", "who.doc"],
        "pictures end in .png, .svg, .pdf",
    ),
    "picture that cannot be written": (
        ["data", "describe", "sites", "--target", "y", "--figure", "config.toml/who.png"],
        "Cannot write",
    ),
    "no ledger": (["ledger", "verify", "sites"], "There is no ledger (.jsonl) in sites"),
    "ledger of nothing": (["ledger", "verify", "nowhere"], "There is no ledger"),
    "roster of nothing": (["roster", "show", "nowhere"], "There is no roster of public keys at"),
    "no key of a site": (["roster", "add", "sites", "berlin"], "'berlin' is no name, = and public key"),
    "a key that is none": (["roster", "add", "sites", "berlin=3f"], "key of site 'berlin' has 1 bytes: it takes 32"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_that_cannot_be_followed(
    case: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, needed = COMMANDS[case]
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    refused(call(*arguments), needed)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_option_or_command_is_refused_with_a_suggestion(call: Call) -> None:
    for arguments, hint in ((["compare", "x.toml", "--worker", "2"], "--workers"), (["comare"], "compare")):
        called = call(*arguments)
        assert called.code == 2
        assert hint in called.err
        assert "Traceback" not in called.err


@pytest.fixture
def finished(call: Call, tmp_path: Path) -> Path:
    """A finished run with ledgers."""
    config = write_config(tmp_path, ledger=True, training__steps=4)
    done = call("compare", config, "--out", tmp_path / "run", "--workers", 1)
    assert done.code == 0, done.err
    return tmp_path / "run"


def test_a_folder_that_holds_another_run_is_left_alone(finished: Path, call: Call, tmp_path: Path) -> None:
    config = write_config(tmp_path, ledger=True, training__steps=5)
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    refused(call("compare", config, "--out", finished), "holds a run with other settings")
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_two_processes_do_not_share_a_folder(finished: Path, call: Call, tmp_path: Path) -> None:
    with locked(finished):
        refused(call("resume", finished), "Another process is running in")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"family": "training"}'])
def test_a_corrupt_result_is_named_and_does_not_hide_other_runs(
    content: bytes, finished: Path, call: Call, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "other")
    (finished / "result.json").write_bytes(content)
    refused(call("resume", finished), str(finished))
    refused(call("report", finished), "result.json")
    listed = call("runs", tmp_path)
    assert listed.code == 0
    assert "unreadable" in listed.out
    assert "Three clinics" in listed.out


def test_a_corrupt_outcome_of_a_cell_is_named_and_can_be_trained_anew(finished: Path, call: Call) -> None:
    (outcome,) = finished.glob("cells/local-*.json")
    outcome.write_bytes(outcome.read_bytes()[:50])
    (finished / "history.parquet").unlink()
    result = (finished / "result.json").read_text(encoding="utf-8")
    (finished / "result.json").write_text(
        result.replace('"status": "finished",\n "steps"', '"status": "running",\n "steps"')
    )
    refused(call("resume", finished), "delete it, and `unpooled resume` trains that part anew")
    outcome.unlink()
    assert call("resume", finished).code == 0


def test_a_tampered_ledger_is_found(finished: Path, call: Call) -> None:
    path = sorted(finished.glob("ledger/*/*.jsonl"))[0]
    assert call("ledger", "verify", finished).code == 0
    text = path.read_text(encoding="utf-8")
    assert '"privacy_spent": 0.0' in text
    path.write_text(text.replace('"privacy_spent": 0.0', '"privacy_spent": 1.0', 1), encoding="utf-8")
    called = call("ledger", "verify", path)
    refused(called, "was changed: its hash does not fit its content")


def test_a_training_that_diverges_keeps_its_record_and_lets_the_others_go_on(call: Call, tmp_path: Path) -> None:
    protocols = [{"kind": "Local"}, {"kind": "FedAvg", "aggregate_period": 5}]
    config = write_config(tmp_path, training__lr=1e30, protocols=protocols, model={"kind": "mlp", "hidden": [8]})
    out = tmp_path / "run"
    for workers in (1, 2):
        shutil.rmtree(out, ignore_errors=True)
        called = call("compare", config, "--out", out, "--workers", workers)
        assert called.code == 2
        (line,) = called.err.splitlines()
        assert "The training loss at site 'clinic-0' is nan in local step" in line
        assert "lower lr" in line
        assert "2 of 2 cells" in line
        assert len(list(out.glob("cells/*.json"))) == 2
        assert '"status": "failed"' in (out / "result.json").read_text(encoding="utf-8")
        assert (out / "report.html").stat().st_size > 1000
        assert not list(out.glob("models/*"))


def test_a_cell_that_diverges_later_is_marked_and_the_other_finishes(call: Call, tmp_path: Path) -> None:
    """One clinic's values are far out: its loss is so steep that it diverges alone, while the mean step is stable."""
    (tmp_path / "sites").mkdir()
    for i in range(8):
        rows = "".join(f"{x * (20 if i == 3 else 1)},{x}\n" for x in (-1.0, -0.5, 0.5, 1.0) * 3)
        (tmp_path / "sites" / f"clinic-{i}.csv").write_text("age,y\n" + rows, encoding="utf-8")
    protocols = [{"kind": "Local"}, {"kind": "FedAvg", "aggregate_period": 1}]
    settings = {"lr": 0.5, "steps": 200, "executor": "vectorised", "evaluate_every": 10}
    config = write_config(tmp_path, protocols=protocols, training=settings, data__task="regression")
    called = call("compare", config, "--out", tmp_path / "run", "--format", "json", "--workers", 1)
    assert called.code == 2
    assert "Local, seed 0: The training loss at site 'clinic-3' is" in called.err
    told = json.loads(called.out)
    assert told["status"] == "failed"
    assert [cell["status"] for cell in told["cells"]] == ["failed", "finished"]
    assert {value["protocol"] for value in told["final"]} == {"FedAvg(1)"}
    assert [path.name for path in (tmp_path / "run" / "models").iterdir()] == ["fedavg-1-seed-0.safetensors"]
    history = pd.read_parquet(tmp_path / "run" / "history.parquet")
    assert history[history["protocol"] == "Local"]["step"].max() >= 10  # kept up to where it failed
    again = call("resume", tmp_path / "run")
    assert (again.code, again.err) == (2, called.err)
    listed = call("runs", tmp_path)
    assert "failed" in listed.out
    assert "1/2" in listed.out

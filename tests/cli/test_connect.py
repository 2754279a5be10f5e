"""`unpooled connect`: tables, a report that needs nothing else, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from tests.cli.calls import Call
from tests.unit.connectivity.nets import mlp, trained
from unpooled.connectivity import connect
from unpooled.connectivity.perturb import robustness


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two files of weights and one of data."""
    save_file(mlp(0).state_dict(), tmp_path / "a.safetensors")
    torch.save(mlp(1).state_dict(), tmp_path / "b.pt")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", X=rng.normal(size=(40, 64)), y=rng.integers(10, size=40))
    return tmp_path


def _asked(folder: Path, *more: object) -> list[object]:
    files = folder / "a.safetensors", folder / "b.pt"
    return ["connect", *files, "--data", folder / "data.npz", "--points", 3, "--out", folder / "run", *more]


def test_tables_and_report_come_from_the_same_numbers(models: Path, call: Call) -> None:
    shown = call(*_asked(models))
    assert shown.code == 0, shown.err
    assert "full model" in shown.out
    assert "engine fast: the work of" in shown.err
    with np.load(models / "data.npz") as arrays:
        data = arrays["X"], arrays["y"]
    wanted = connect(mlp(0), mlp(1), data, points=3)
    for file, read in (("barriers.csv", pd.read_csv), ("barriers.parquet", pd.read_parquet)):
        table = read(models / "run" / file)
        assert table[table["kind"] == "layer"]["barrier"].tolist() == pytest.approx(
            wanted.barriers[wanted.barriers["kind"] == "layer"]["barrier"].tolist()
        )
    page = (models / "run" / "report.html").read_bytes()
    assert b"Barriers of the full model and of each layer" in page
    (models / "run" / "report.html").unlink()
    for name in ("a.safetensors", "b.pt", "data.npz"):
        (models / name).unlink()
    assert call("report", models / "run").code == 0
    assert (models / "run" / "report.html").read_bytes() == page


SMALL = (64, 8, 10)


@pytest.fixture
def ways(models: Path) -> list[object]:
    """Options for initial weights and snapshots on the way, two epochs of each model."""
    for which, seed in (("a", 0), ("b", 1)):
        start = mlp(seed + 10, SMALL)
        save_file(start.state_dict(), models / f"{which}-0.safetensors")
        end = mlp(seed, SMALL).state_dict()
        save_file(end, models / "a.safetensors") if which == "a" else torch.save(end, models / "b.pt")
        for epoch in (1, 2):
            states = {k: torch.lerp(v, end[k], epoch / 3) for k, v in start.state_dict().items()}
            save_file(states, models / f"{which}-epoch-{epoch}.safetensors")
    found: list[object] = ["--starts", f"{models / 'a-0.safetensors'},{models / 'b-0.safetensors'}"]
    for which in "ab":
        found += [f"--snapshots-{which}", models / f"{which}-epoch-*.safetensors"]
    return found


MEASURES = "robustness,subspaces,flatness,resets,features,ways,epochs"
TABLES = ("robustness", "subspaces", "spaces", "flatness", "resets", "features", "ways", "epochs")


def test_every_measure_is_planned_recorded_and_on_the_page(models: Path, ways: list[object], call: Call) -> None:
    shown = call(
        *_asked(
            models, "--measures", MEASURES, "--draws", 30, "--cuts", "full", "--points", 3, "--format", "json", *ways
        )
    )
    assert shown.code == 0, shown.err
    for name in ("barriers", *MEASURES.split(",")):
        assert f"{name}: " in shown.err
    assert "In all about" in shown.err
    told = json.loads(shown.out)["comparisons"][0]["measures"]
    assert told["resets"]["tables"] == ["resets"]
    assert told["robustness"]["models_scored"] > 100
    rows = json.loads((models / "run" / "measures.json").read_text())
    for name in TABLES:
        flat, table = pd.read_csv(models / "run" / f"{name}.csv"), pd.read_parquet(models / "run" / f"{name}.parquet")
        assert len(flat) == len(table) == len(rows[name]) > 0
        assert flat.columns.tolist() == table.columns.tolist()
        assert not flat[[c for c in ("kind", "part", "layer", "metric", "default") if c in flat]].isna().any(axis=None)
    with np.load(models / "data.npz") as arrays:
        data = arrays["X"], arrays["y"]
    wanted = robustness(mlp(0, SMALL), mlp(1, SMALL), data, draws=30)
    assert pd.read_parquet(models / "run" / "robustness.parquet")["random"].tolist() == pytest.approx(
        wanted["random"].tolist()
    )
    epochs = pd.read_csv(models / "run" / "epochs.csv")
    assert sorted(set(epochs["epoch"])) == [1, 2]
    page = (models / "run" / "report.html").read_text()
    for title in (
        "While the models trained",
        "Which directions are flat?",
        "Relative flatness",
        "How far training went",
    ):
        assert f">{title}</h3>" in page


def test_criticality_on_the_data_that_a_model_learned(models: Path, call: Call) -> None:
    rng = np.random.default_rng(0)
    X, y = torch.tensor(rng.normal(size=(40, 64)), dtype=torch.float32), torch.tensor(rng.integers(10, size=40))
    np.savez(models / "data.npz", X=X.numpy(), y=y.numpy())
    for which, seed in (("a", 0), ("b", 1)):
        start = mlp(seed, SMALL)
        save_file(start.state_dict(), models / f"{which}-0.safetensors")
        weights = trained(start, X, y, seed=seed, epochs=20).state_dict()
        save_file(weights, models / "a.safetensors") if which == "a" else torch.save(weights, models / "b.pt")
    starts = f"{models / 'a-0.safetensors'},{models / 'b-0.safetensors'}"
    asked = "--measures", "criticality", "--draws", 2, "--cuts", "full", "--starts", starts
    shown = call(*_asked(models, *asked))
    assert shown.code == 0, shown.err
    table = pd.read_csv(models / "run" / "criticality.csv")
    assert table["model"].tolist() == ["a"] * 3 + ["b"] * 3
    assert (table["criticality"] > 0).all()
    assert "Module criticality" in (models / "run" / "report.html").read_text()


def test_json_and_a_finished_run_is_not_computed_again(models: Path, call: Call) -> None:
    told = json.loads(call(*_asked(models, "--format", "json")).out)["comparisons"][0]
    assert told["facts"]["models_scored"] > 20
    assert {row["reference"] for row in told["barriers"]} == {"mean"}
    before = (models / "run" / "barriers.csv").stat().st_mtime_ns
    assert call(*_asked(models)).code == 0
    assert (models / "run" / "barriers.csv").stat().st_mtime_ns == before
    assert "holds another run" in call(*_asked(models, "--norms", "interpolate")).err
    assert "finished" in call("runs", models).out
    save_file(mlp(2).state_dict(), models / "a.safetensors")  # the same name, other weights
    assert "holds another run" in call(*_asked(models)).err


def test_a_table_and_a_model_of_ones_own(models: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(12, 64))
    frame = pd.DataFrame(rows, columns=[f"x{i}" for i in range(64)]).assign(kind=np.arange(12) % 10)
    frame.to_csv(models / "data.csv", index=False)
    (models / "my_nets.py").write_text("from tests.unit.connectivity.nets import mlp\nmake = lambda: mlp(0)\n")
    monkeypatch.syspath_prepend(str(models))
    asked = ["connect", models / "a.safetensors", models / "b.pt", "--data", models / "data.csv", "--out", models / "o"]
    own = call(*asked, "--target", "kind", "--model", "my_nets:make", "--cuts", "full")
    assert own.code == 0, own.err
    assert "say --target, one of x0" in call(*asked[:-1], models / "another").err


def test_units_are_put_in_order(models: Path, call: Call) -> None:
    shown = call(*_asked(models, "--align", "weights", "--cuts", "full"))
    assert shown.code == 0, shown.err
    assert "Aligned by weights: " in shown.out
    kept = json.loads((models / "run" / "result.json").read_bytes())
    assert kept["facts"]["align"]["gap"] < 1e-9
    assert "--align weights" in kept["command"]


REFUSED: dict[str, tuple[tuple[object, ...], str]] = {
    "data": (("--data", "digit"), "Did you mean 'digits'?"),
    "model": (("--model", "cnn"), "say mlp, or module:function"),
    "import": (("--model", "no_such_module:make"), "cannot be made"),
    "cuts": (("--cuts", "ful"), "Did you mean 'full'?"),
    "points": (("--points", 4), "points must be odd"),
    "align": (("--align", "weight"), "Did you mean 'weights'?"),
    "layers": (("--layers", "rows"), "There is no rule 'rows'"),
    "measures": (("--measures", "robustnes"), "Did you mean 'robustness'?"),
    "draws": (("--measures", "robustness", "--draws", 3), "take at least 10"),
    "aligned": (("--measures", "ways", "--align", "weights"), "before it was aligned: leave --align out"),
    "starts": (("--measures", "resets"), "needs the initial weights of both models: --starts A0,B0"),
    "snapshots": (("--snapshots-a", "nowhere-*.pt"), "There is no file 'nowhere-*.pt'"),
    "epochs": (("--measures", "epochs"), "needs snapshots of both models from the same epochs"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(name: str, models: Path, call: Call) -> None:
    options, words = REFUSED[name]
    shown = call(*_asked(models), *options)
    assert shown.code == 2
    assert words in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not (models / "run").exists()


def test_two_models_or_the_demo(call: Call, models: Path) -> None:
    assert "or unpooled connect demo" in call("connect", "a.pt").err
    (models / "b.pt").unlink()
    torch.save(mlp(0, (64, 16, 10)).state_dict(), models / "b.pt")
    assert (
        "'0.weight' is 32 x 64 (float32) in the first model and 16 x 64 (float32) in the second"
        in call(*_asked(models)).err
    )


def test_a_run_that_was_killed_goes_on(models: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Barriers that were finished are not computed again, and the tables are those of an undisturbed run."""
    from unpooled.connectivity import Study

    def broken(*given: object, **more: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("unpooled.runs.connect._written", broken)
        stopped = call(*_asked(models, "--measures", "features"))
    assert stopped.code != 0
    assert not (models / "run" / "result.json").exists()
    assert (models / "run" / "steps" / "barriers.json").is_file()
    with monkeypatch.context() as patched:
        patched.setattr(Study, "run", broken)
        resumed = call("resume", models / "run")
    assert resumed.code == 0, resumed.err
    assert not (models / "run" / "steps").exists()
    kept = (models / "run" / "barriers.csv").read_bytes()
    whole = _asked(models, "--measures", "features")
    whole[whole.index("--out") + 1] = models / "whole"
    assert call(*whole).code == 0
    assert kept == (models / "whole" / "barriers.csv").read_bytes()
    assert (models / "run" / "features.csv").read_bytes() == (models / "whole" / "features.csv").read_bytes()

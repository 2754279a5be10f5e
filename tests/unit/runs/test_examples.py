"""The example configs can be used as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from unpooled.runs.config import load, with_source
from unpooled.runs.facts import data_facts
from unpooled.runs.resolve import resolve

CONFIGS = sorted((ROOT / "examples").glob("*/*.toml"))
IMAGES = [path for path in CONFIGS if path.parent.name == "small_images"]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_comparison_tunes_every_method_alike(path: Path) -> None:
    config = resolve(load(path))
    assert len(config.seeds) >= 5
    assert config.tune is not None
    assert config.headline in {"FedDC(1, 10)"}
    kinds = {str(p["kind"]) for p in config.protocols}
    assert {"FedDC", "FedAvg", "FedProx", "DaisyChain", "Local", "Pooled"} <= kinds
    assert [
        p for p in config.protocols if p["kind"] == "FedAvg" and p["aggregate_period"] == 1
    ]  # costs as much as FedDC


@pytest.mark.parametrize("name", ["brain_mri", "mnist", "pneumonia"])
def test_its_data_can_be_opened(name: str, shared_data: Path) -> None:
    path = next(p for p in IMAGES if p.stem == name)
    config = load(path)
    file = next(shared_data.rglob(Path(config.data.source).name))
    facts = data_facts(with_source(config, str(file)))
    assert {site["samples"] for site in facts["data"]["sites"]} == {8}
    assert facts["data"]["test_samples"] >= 45

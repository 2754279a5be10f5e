"""Pooled files of images: parts of their own, groups that stay whole, and smaller images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unpooled.errors import BadData, BadSetting
from unpooled.runs.config import Data, Split
from unpooled.runs.pooled import read_pooled
from unpooled.runs.sources import for_validation, open_source


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Like a file of MedMNIST: labels of shape (n, 1); every image is as bright as its number."""
    images = np.arange(30, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    labels = (np.arange(30) % 2)[:, None].astype(np.uint8)
    arrays = {"train_images": images[:20], "train_labels": labels[:20], "test_images": images[20:]}
    np.savez(tmp_path / "parts.npz", **arrays, test_labels=labels[20:], class_names=np.array(["a", "b"]))
    return tmp_path / "parts.npz"


def data(path: Path, **changes: Any) -> Data:
    settings = {"target": "labels", "test_part": "test", "split": Split(sites=2, samples=8), **changes}
    return Data(source=str(path), **settings)


def brightness(X: np.ndarray) -> list[int]:
    return sorted(np.rint(X.reshape(len(X), -1).mean(axis=1) * 255).astype(int).tolist())


def test_the_part_to_test_on_is_never_shared_out(file: Path) -> None:
    for seed in (0, 1):
        source = open_source(data(file), seed)
        assert source.test is not None
        assert brightness(source.test.X) == list(range(20, 30))
        rows = np.concatenate([site.require_train().X for site in source.federation])
        assert max(brightness(rows)) < 20
        assert rows.shape[1:] == (1, 4, 4)


def test_a_part_that_is_not_there_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"test_part = 'val', but parts\.npz has the parts test, train"):
        open_source(data(file, test_part="val"), 0)
    np.savez(tmp_path / "odd.npz", train_images=np.zeros((2, 4, 4), np.uint8), test_labels=np.zeros(1))
    with pytest.raises(BadData, match="every part needs the same arrays"):
        open_source(data(tmp_path / "odd.npz"), 0)


def test_images_become_smaller_by_means_of_blocks(file: Path) -> None:
    X, _, columns = read_pooled(data(file, image_size=(2, 2)))
    assert X.shape == (30, 1, 2, 2)
    assert brightness(X) == list(range(30))
    assert sorted(columns) == ["labels", "part"]
    with pytest.raises(BadSetting, match=r"image_size = \[3, 3\] does not divide"):
        read_pooled(data(file, image_size=(3, 3)))


def test_groups_stay_on_one_side_of_test_and_validation(tmp_path: Path) -> None:
    images = np.arange(40, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    group = np.arange(40) // 2  # pairs of copies
    np.savez(tmp_path / "g.npz", images=images, labels=np.arange(40) // 2 % 2, group=group)
    settings = data(tmp_path / "g.npz", test_part=None, test_fraction=0.2, group="group", split=Split(sites=4))
    for seed in range(5):
        source = open_source(settings, seed)
        aside = for_validation(source, 0.3, seed)
        assert source.test is not None
        assert aside.test is not None
        kept = np.concatenate([site.require_train().X for site in aside.federation])
        sides = [{b // 2 for b in brightness(X)} for X in (source.test.X, aside.test.X, kept)]
        assert all(sides)
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]


def test_groups_of_a_scaled_table_stay_whole_too(tmp_path: Path) -> None:
    lines = ["a,b,who,y", *(f"{i}.0,{i * i}.0,p{i // 2},{['no', 'yes'][i // 2 % 2]}" for i in range(40))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = Data(str(tmp_path / "t.csv"), target="y", group="who", test_fraction=0.2, split=Split(sites=4))
    aside = for_validation(open_source(settings, 1), 0.3, 1)
    kept, held = set(), set()
    for site in aside.federation:
        train = site.require_train()
        assert train.X.shape[1] == 2
        kept |= set(train.groups.tolist()) if train.groups is not None else set()
        held |= set(site.test.groups.tolist()) if site.test is not None and site.test.groups is not None else set()
    assert kept
    assert held
    assert not kept & held

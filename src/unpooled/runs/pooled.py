"""Pooled data sets, for research on how to share them out: those that scikit-learn brings, and files of one's own."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.agreement import MOST_CLASSES
from unpooled.sites.payload import Array
from unpooled.sites.preparation import pixels
from unpooled.sites.reading import from_arrays, read_table
from unpooled.sites.schema import Table

if TYPE_CHECKING:
    from unpooled.runs.config import Data


def _digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.data / 16.0).astype(np.float32), data.target


def _breast_cancer() -> tuple[Array, Array]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data, data.target


def _diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return data.data, data.target.astype(np.float64)


def _wine() -> tuple[Array, Array]:
    from sklearn.datasets import load_wine

    data = load_wine()
    return data.data, data.target


POOLED: dict[str, Callable[[], tuple[Array, Array]]] = {
    "breast_cancer": _breast_cancer,
    "diabetes": _diabetes,
    "digits": _digits,
    "wine": _wine,
}
"""Real data sets that scikit-learn brings: features (n, p) and labels or targets (n,)."""


PART = "part"
"""The column that names the part of an NPZ file which a row came from."""


def _read_parts(path: Path) -> Table | None:
    """An NPZ file with arrays train_images, train_labels, val_images, ... as one table with a column `part`.

    The files of MedMNIST are made like this. Labels of shape (n, 1) become (n,); arrays of no part are left out.
    None for any other file.
    """
    if path.suffix != ".npz":
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = [p for p in ("train", "val", "test") if any(name.startswith(f"{p}_") for name in file.files)]
            names = {name.partition("_")[2] for name in file.files if name.partition("_")[0] in parts}
            if "train" not in parts:
                return None
            arrays = {name: [_column(file[f"{part}_{name}"]) for part in parts] for name in sorted(names)}
    except KeyError as error:
        raise BadData(f"{path.name} has no array {error.args[0]}: every part needs the same arrays.") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BadData(f"{path} cannot be read as NPZ ({error}): write the file again.") from error
    whole = {name: np.concatenate(found) for name, found in arrays.items()}
    sizes = [len(found) for found in next(iter(arrays.values()))]
    whole[PART] = np.repeat(np.array(parts), sizes)
    return from_arrays(whole, str(path))


def _column(array: Array) -> Array:
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _smaller(block: Array, size: tuple[int, int], name: str) -> Array:
    """Images (n, channels, height, width) brought to `size`, each pixel the mean of a block; bytes stay bytes."""
    if block.ndim != 4 or any(old % new for old, new in zip(block.shape[2:], size, strict=True)):
        raise BadSetting(f"image_size = {list(size)} does not divide the images of {name}, {block.shape[2:]} pixels.")
    (height, width), (n, channels) = size, block.shape[:2]
    blocks = block.reshape(n, channels, height, block.shape[2] // height, width, block.shape[3] // width)
    mean: Array = blocks.mean(axis=(3, 5))
    return np.rint(mean).astype(np.uint8) if block.dtype == np.uint8 else mean.astype(block.dtype)


def read_pooled(data: Data) -> tuple[Array, Array, dict[str, Array]]:
    """Features, labels and the named columns of a pooled set."""
    if data.source in POOLED:
        X, y = POOLED[data.source]()
        return X, y, {}
    path = Path(data.source)
    if not path.is_file():
        hint = did_you_mean(path.name, POOLED)
        raise BadData(f"There is no file '{data.source}' to share out.{hint} Check source in [data].")
    in_parts = _read_parts(path)
    table = read_table(path) if in_parts is None else in_parts
    target = data.target or ("y" if "y" in table.columns else None)
    if target is None or target not in table.columns:
        names = ", ".join(table.columns)
        raise BadSetting(f"[data] target = {target!r} is no column of {path.name}: there are {names}.")
    labels = table.texts(target)
    many = table.type_of(target) == "number" and len(set(labels.tolist())) > MOST_CLASSES
    regression = data.task == "regression" or (data.task == "auto" and many)
    y = table.numbers(target) if regression else labels.astype(str)
    if table.block is not None:
        block = table.block if data.image_size is None else _smaller(table.block, data.image_size, path.name)
        return pixels(block, block.shape[1:]), y, dict(table.columns)
    left_out = {
        target,
        *data.drop,
        *([data.group] if data.group else []),
        *([data.split.by] if data.split and data.split.by else []),
    }
    used = [name for name in table.columns if name not in left_out]
    return np.stack([table.numbers(name) for name in used], axis=1), y, dict(table.columns)

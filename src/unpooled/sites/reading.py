"""What a site does by itself with its own file: a table or images, read as they are."""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unpooled.errors import BadData
from unpooled.sites.payload import Array
from unpooled.sites.schema import MISSING_TEXTS, Table

IMAGES = (".png", ".jpg", ".jpeg")
KINDS = {".csv": "CSV", ".csv.gz": "CSV", ".parquet": "Parquet", ".npz": "NPZ"}
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile)


def read_table(path: Path) -> Table:
    """The rows of one CSV, CSV.gz, Parquet or NPZ file; raises `BadData` where it cannot be read."""
    kind = file_kind(path)
    if kind is None:
        raise BadData(f"{path} is no table that can be read: CSV, CSV.gz, Parquet or NPZ is needed.")
    readers: dict[str, Callable[[Path], Table]] = {
        "CSV": read_csv,
        "Parquet": read_parquet,
        "NPZ": read_npz,
    }
    try:
        return readers[kind](path)
    except BadData:
        raise
    except UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadData(f"{path} cannot be read as {kind} ({reason}): write the file again, or take it away.") from error


def from_frame(frame: Any) -> Table:
    """A pandas DataFrame as a table; the index is ignored."""
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadData(f"Two columns are called '{twice[0]}': every column needs a name of its own.")
    return Table({name: cells_of(frame.iloc[:, i]) for i, name in enumerate(names)})


def cells_of(series: Any) -> Array:
    import pandas as pd

    if pd.api.types.is_bool_dtype(series.dtype) and not series.isna().any():
        return np.asarray(series.to_numpy(dtype=bool))
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        if pd.api.types.is_integer_dtype(series.dtype) and not series.isna().any():
            return np.asarray(series.to_numpy(dtype=np.int64))
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    plain = (str, bool, int, float, np.generic)
    cells = [None if pd.isna(c) is True else c if isinstance(c, plain) else str(c) for c in series.tolist()]
    return np.array(cells, dtype=object)


def read_csv(path: Path) -> Table:
    import pandas as pd

    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    header = data.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    separator = max((b",", b";", b"\t"), key=header.count).decode()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
        try:
            frame = pd.read_csv(
                io.BytesIO(data),
                sep=separator,
                na_values=sorted(MISSING_TEXTS),
                keep_default_na=False,
                skipinitialspace=True,
                low_memory=False,
                index_col=False,
                encoding="utf-8-sig",
            )
        except pd.errors.ParserWarning as warning:
            raise ValueError("its rows are longer than its header") from warning
    return from_frame(frame)


def read_parquet(path: Path) -> Table:
    import pandas as pd

    return from_frame(pd.read_parquet(path))


def read_npz(path: Path) -> Table:
    file = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise ValueError("it is a single array without a name")
    return from_arrays({name: file[name] for name in file.files}, str(path))


def from_arrays(arrays: Mapping[str, Array], where: str) -> Table:
    """One-dimensional arrays are columns, two-dimensional ones a column each, others a block of samples."""
    columns: dict[str, Array] = {}
    blocks = [name for name, a in arrays.items() if a.ndim > 2]
    lengths = {name: len(a) if a.ndim else 0 for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {n}" for name, n in lengths.items())
        raise BadData(f"{where}: the arrays hold different numbers of rows ({found}): they must be the same rows.")
    if len(blocks) > 1:
        raise BadData(f"{where}: '{blocks[0]}' and '{blocks[1]}' both hold images or the like: keep one of them.")
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array if array.dtype.kind in "biuf" else array.astype(object)
        elif array.ndim == 2:
            columns |= {f"{name}[{j}]": column for j, column in enumerate(from_arrays_2d(array))}
    return Table(columns, image_block(arrays[blocks[0]]) if blocks else None)


def from_arrays_2d(array: Array) -> list[Array]:
    return [array[:, j] if array.dtype.kind in "biuf" else array[:, j].astype(object) for j in range(array.shape[1])]


def image_block(array: Array) -> Array:
    """Bytes are pixels: grey images get a channel axis, colours come first. Other arrays stay as they are."""
    if array.dtype.kind not in "biuf":
        raise BadData(f"an array of shape {array.shape} holds {array.dtype} where numbers belong.")
    if array.dtype != np.uint8:
        return array
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[-1] in (1, 3):
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))  # all that follows is faster on whole rows
    return array


def read_images(folder: Path, image_size: tuple[int, int] | None) -> Table:
    """Images of one site, bytes (n, channels, height, width): grey where all are grey, else RGB."""
    from PIL import Image

    paths = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in IMAGES and not p.name.startswith("."))
    images = []
    for path in paths:
        try:
            with Image.open(path) as file:
                image = file.convert("L" if file.mode in ("1", "L", "LA", "I", "I;16") else "RGB")
        except (*UNREADABLE, SyntaxError) as error:
            raise BadData(f"{path} cannot be read as an image: write the file again, or take it away.") from error
        images.append(image if image_size is None else image.resize((image_size[1], image_size[0])))
    for path, image in zip(paths, images, strict=True):
        if image.size != images[0].size:
            raise BadData(
                f"{path} is {image.height} x {image.width} pixels, {paths[0].name} is {images[0].height} x "
                f"{images[0].width}: one size is needed, set "
                f"image_size={(images[0].height, images[0].width)}."
            )
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    return Table(
        {"class": np.array([path.parent.name for path in paths], dtype=object)},
        image_block(np.array([np.asarray(image.convert(mode)) for image in images])),
    )


def file_suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in sorted(KINDS, key=len, reverse=True) if name.endswith(suffix)), "")


def file_kind(path: Path) -> str | None:
    return KINDS.get(file_suffix(path))

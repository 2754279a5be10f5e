"""Real federations: one file a site, one folder of images a site, one table with a site column, or Python
data.

`read_sites` makes raw sites; `load_sites` also prepares them. Reading is what a site does by itself with its
own file; everything that needs more than one site is asked through the door (see `preparation`).
"""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.payload import Array
from unpooled.sites.preparation import prepare
from unpooled.sites.schema import MISSING_TEXTS, Table, in_order, text
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess

if TYPE_CHECKING:
    import pandas as pd

IMAGES = (".png", ".jpg", ".jpeg")
KINDS = {".csv": "CSV", ".csv.gz": "CSV", ".parquet": "Parquet", ".npz": "NPZ"}
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile)


def load_sites(
    source: str | Path | pd.DataFrame | Mapping[str, Any],
    *,
    target: str | None = None,
    site: str | None = None,
    image_size: tuple[int, int] | None = None,
    task: str = "auto",
    group: str | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
    categorical: Iterable[str] = (),
    drop: Iterable[str] = (),
    missing: Mapping[str, Any] | None = None,
    missing_indicator: bool = False,
    scale: bool = True,
    max_categories: int = 100,
) -> InProcess:
    """A federation from `source`, prepared with federated statistics; its `schema` says what was agreed.

    `source` is a folder with one CSV, CSV.gz, Parquet or NPZ file a site; a folder with one subfolder a site
    that holds one folder of PNG or JPEG images a class; one such table (file or DataFrame) whose column
    `site` names the site of each row; or a dict from a site's name to a DataFrame or to arrays (X, y).
    `target` may be left out for images (it is `class`) and arrays (`y`). `image_size` is (height, width) in
    pixels. All other settings are those of `preparation.prepare`. Raises `BadData` and `BadSetting`, each in
    one line.
    """
    sites, default = read_sites(source, site=site, image_size=image_size)
    if target is None and default is None:
        table = sites[0].state["table"]
        raise BadSetting(f"target= must name the column to predict; the columns are {', '.join(table.columns)}.")
    federation = InProcess.of(sites)
    federation.schema = prepare(
        federation,
        target=target or default or "",
        task=task,
        group=group,
        test_fraction=test_fraction,
        seed=seed,
        categorical=categorical,
        drop=drop,
        missing=missing,
        missing_indicator=missing_indicator,
        scale=scale,
        max_categories=max_categories,
    )
    return federation


def read_sites(
    source: str | Path | pd.DataFrame | Mapping[str, Any],
    *,
    site: str | None = None,
    image_size: tuple[int, int] | None = None,
) -> tuple[list[Site], str | None]:
    """Raw sites of `source`, not prepared, and the target's name where the source has a usual one.

    Give them policies and ledgers here if statistics are to be guarded and written down, then `prepare` them.
    """
    default: str | None = None
    if isinstance(source, Mapping):
        tables, default = _from_mapping(source)
    elif isinstance(source, (str, Path)):
        path = Path(source)
        if not path.exists():
            near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise BadData(f"There is no file or folder '{path}'.{did_you_mean(path.name, near)} Check the path.")
        if path.is_dir():
            tables, default = _from_folder(path, image_size)
        else:
            return _by_site(read_table(path), site, str(path)), None
    elif hasattr(source, "columns"):
        return _by_site(from_frame(source), site, "the table"), None
    else:
        raise BadSetting(f"source is a {type(source).__name__}: give a path, a DataFrame, or a dict from site to data.")
    if site is not None:
        raise BadSetting(
            f"site='{site}' is for one table with a site column; here each site has its own data: leave it out."
        )
    return [Site(name, state={"table": table}) for name, table in tables.items()], default


def read_table(path: Path) -> Table:
    """The rows of one CSV, CSV.gz, Parquet or NPZ file; raises `BadData` where it cannot be read."""
    kind = _kind(path)
    if kind is None:
        raise BadData(f"{path} is no table that can be read: CSV, CSV.gz, Parquet or NPZ is needed.")
    readers: dict[str, Callable[[Path], Table]] = {
        "CSV": _read_csv,
        "Parquet": _read_parquet,
        "NPZ": _read_npz,
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
    return Table({name: _cells(frame.iloc[:, i]) for i, name in enumerate(names)})


def _cells(series: Any) -> Array:
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


def _read_csv(path: Path) -> Table:
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


def _read_parquet(path: Path) -> Table:
    import pandas as pd

    return from_frame(pd.read_parquet(path))


def _read_npz(path: Path) -> Table:
    file = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise ValueError("it is a single array without a name")
    return _from_arrays({name: file[name] for name in file.files}, str(path))


def _from_arrays(arrays: Mapping[str, Array], where: str) -> Table:
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
            columns |= {f"{name}[{j}]": column for j, column in enumerate(_from_arrays_2d(array))}
    return Table(columns, _block(arrays[blocks[0]]) if blocks else None)


def _from_arrays_2d(array: Array) -> list[Array]:
    return [array[:, j] if array.dtype.kind in "biuf" else array[:, j].astype(object) for j in range(array.shape[1])]


def _block(array: Array) -> Array:
    """Bytes are pixels: grey images get a channel axis, colours come first. Other arrays stay as they are."""
    if array.dtype.kind not in "biuf":
        raise BadData(f"an array of shape {array.shape} holds {array.dtype} where numbers belong.")
    if array.dtype != np.uint8:
        return array
    if array.ndim == 3:
        return array[:, None]
    return np.moveaxis(array, -1, 1) if array.ndim == 4 and array.shape[-1] in (1, 3) else array


def _from_mapping(source: Mapping[str, Any]) -> tuple[dict[str, Table], str | None]:
    tables: dict[str, Table] = {}
    default: str | None = "y"
    if not source:
        raise BadData("The dict of sites is empty: it needs at least one site.")
    for key, value in source.items():
        name = str(key)
        if hasattr(value, "columns"):
            tables[name], default = from_frame(value), None
        elif isinstance(value, tuple) and len(value) == 2:
            X, y = np.asarray(value[0]), np.asarray(value[1])
            if X.ndim < 2 or y.ndim != 1:
                raise BadData(f"Site '{name}': X has shape {X.shape} and y {y.shape}; (n, ...) and (n,) are needed.")
            table = _from_arrays({"x": X, "y": y}, f"Site '{name}'")
            columns = {k.replace("x[", "x").rstrip("]") if k != "y" else k: v for k, v in table.columns.items()}
            tables[name] = Table(columns, table.block)
        else:
            raise BadData(
                f"Site '{name}' holds a {type(value).__name__}: give a DataFrame, or a tuple (X, y) of arrays."
            )
    return tables, default


def _from_folder(folder: Path, image_size: tuple[int, int] | None) -> tuple[dict[str, Table], str | None]:
    visible = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    found: dict[str, list[Path]] = {}
    for path in visible:
        if path.is_dir() and any(p.suffix.lower() in IMAGES for p in path.glob("*/*")):
            found.setdefault("image folders", []).append(path)
        elif path.is_file() and (kind := _kind(path)):
            found.setdefault(kind, []).append(path)
    if not found:
        raise BadData(
            f"Folder '{folder}' holds no site: one CSV, CSV.gz, Parquet or NPZ file a site is "
            "needed, or one subfolder a "
            "site with a folder of PNG or JPEG images for each class."
        )
    if len(found) > 1:
        named = " and ".join(f"{kind} ({paths[0].name})" for kind, paths in found.items())
        raise BadData(f"Folder '{folder}' holds more than one kind of site: {named}; keep one kind.")
    ((kind, paths),) = found.items()
    if kind == "image folders":
        return {path.name: _read_images(path, image_size) for path in paths}, "class"
    tables: dict[str, Table] = {}
    for path in paths:
        name = path.name[: -len(_suffix(path))]
        if name in tables:
            raise BadData(f"Folder '{folder}' holds two files for site '{name}': keep one.")
        tables[name] = read_table(path)
    return tables, None


def _read_images(folder: Path, image_size: tuple[int, int] | None) -> Table:
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
        _block(np.array([np.asarray(image.convert(mode)) for image in images])),
    )


def _by_site(table: Table, site: str | None, where: str) -> list[Site]:
    """One site for each value of the column `site`, in sorted order."""
    if site is None:
        raise BadSetting(
            f"site= must name the column of {where} that tells the sites apart: {', '.join(table.columns)}."
        )
    if site not in table.columns:
        raise BadData(f"There is no column '{site}' (site) in {where}.{did_you_mean(site, table.columns)}")
    if len(table) == 0:
        raise BadData(f"There are no rows in {where}: at least one site with one row is needed.")
    cells = table.texts(site)
    nameless = [i + 1 for i, cell in enumerate(cells) if cell is None]
    if nameless:
        raise BadData(f"Column '{site}' of {where} names no site in row {nameless[0]}: name it, or take the row out.")
    sites = []
    for name in in_order(cells):
        rows = np.flatnonzero(cells == name)
        columns = {k: v[rows] for k, v in table.columns.items() if k != site}
        block = None if table.block is None else table.block[rows]
        sites.append(Site(str(text(name)), state={"table": Table(columns, block, rows + 1)}))
    return sites


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in sorted(KINDS, key=len, reverse=True) if name.endswith(suffix)), "")


def _kind(path: Path) -> str | None:
    return KINDS.get(_suffix(path))

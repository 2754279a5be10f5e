"""Real federations: one file a site, one folder of images a site, one table with a site column, or Python
data.

`read_sites` makes raw sites; `load_sites` also prepares them. Reading is what a site does by itself with its
own file; everything that needs more than one site is asked through the door (see `preparation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.preparation import prepare
from unpooled.sites.reading import IMAGES, file_kind, file_suffix, from_arrays, from_frame, read_images, read_table
from unpooled.sites.schema import Table, in_order, text
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess

if TYPE_CHECKING:
    import pandas as pd


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
        path = _existing(source)
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


def read_site(name: str, source: str | Path, *, image_size: tuple[int, int] | None = None) -> Site:
    """One raw site from its own file (CSV, CSV.gz, Parquet, NPZ) or its folder with one folder of images a class.

    `image_size` is (height, width) in pixels. Raises `BadData` for what cannot be read.
    """
    path = _existing(source)
    return Site(name, state={"table": read_images(path, image_size) if path.is_dir() else read_table(path)})


def _existing(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BadData(f"There is no file or folder '{path}'.{did_you_mean(path.name, near)} Check the path.")
    return path


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
            table = from_arrays({"x": X, "y": y}, f"Site '{name}'")
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
        elif path.is_file() and (kind := file_kind(path)):
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
        return {path.name: read_images(path, image_size) for path in paths}, "class"
    tables: dict[str, Table] = {}
    for path in paths:
        name = path.name[: -len(file_suffix(path))]
        if name in tables:
            raise BadData(f"Folder '{folder}' holds two files for site '{name}': keep one.")
        tables[name] = read_table(path)
    return dict(sorted(tables.items())), None


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

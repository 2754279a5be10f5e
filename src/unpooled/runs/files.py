"""Writing so that a reader, or a restart after a kill, sees either the old file or the new one, never half of it."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpooled.errors import BadRecord, BadSetting

if TYPE_CHECKING:
    import pandas as pd


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """A table as Parquet, without its index, whole or not at all."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getvalue())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step that survives a kill or a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".new")
    with half.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of readable JSON."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, *, remedy: str = "start the run anew") -> Any:
    """The object in a JSON file; raises `BadRecord` for a file that is missing, cut or changed beyond reading."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadRecord(f"There is no {path.name} in {path.parent}: is this the folder of a run?") from None
    except (OSError, ValueError) as error:
        raise BadRecord(f"{path} cannot be read ({error}): it was cut or changed; {remedy}.") from error
    if not isinstance(value, dict):
        raise BadRecord(f"{path} holds no JSON object: it was cut or changed; {remedy}.")
    return value


def tidy(folder: Path) -> None:
    """Take away halves of files that a killed process left."""
    for half in folder.rglob("*.new"):
        half.unlink(missing_ok=True)


def writable(folder: Path) -> Path:
    """The folder, made if need be; raises `BadSetting` before any work when nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise BadSetting(f"Cannot write to {folder} ({error.strerror}): choose another folder with --out.") from error
    return folder


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens.

    >>> slug("FedDC(1, 10)")
    'feddc-1-10'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "run"

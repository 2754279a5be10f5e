"""The state of an unfinished training on disk: a checksum line, then tensors and plain containers (no pickled code)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unpooled.errors import BadRecord
from unpooled.runs.files import write_bytes

ARRAY = "__array__"


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state`: tensors, arrays, numbers, strings, None and containers of these."""
    buffer = io.BytesIO()
    torch.save(_plain(state), buffer)
    data = buffer.getvalue()
    write_bytes(path, sha256(data).hexdigest().encode() + b"\n" + data)


def load(path: Path) -> Any:
    """What `save` wrote. Raises `BadRecord` when the file was cut or changed."""
    content = path.read_bytes()
    checksum, _, data = content.partition(b"\n")
    if sha256(data).hexdigest().encode() != checksum:
        raise BadRecord(
            f"Checkpoint {path} is truncated or was changed ({len(content)} bytes, checksum differs): "
            "delete it, and `unpooled resume` starts that part anew."
        )
    return _arrays(torch.load(io.BytesIO(data), weights_only=True))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {ARRAY: torch.from_numpy(np.array(value))}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    return value


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].numpy()
        return {k: _arrays(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_arrays(v) for v in value)
    return value

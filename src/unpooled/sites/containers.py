"""Nested containers of numbers, text and arrays as bytes and back: what a site saves of its state. Nothing is pickled.

The bytes are the length of a header, the header as JSON, and the arrays one behind the other, in the order in which
they stand in the containers. So the arrays of a model lie there as they lie in a row that is sent.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from unpooled.errors import BadRecord


def pack(value: Any) -> bytes:
    """`value` as bytes: dicts, lists, tuples, None, booleans, numbers, strings, bytes and arrays.

    Raises `TypeError` for anything else.
    """
    buffers: list[Any] = []
    header = json.dumps(_described(value, buffers)).encode()
    return b"".join([len(header).to_bytes(8, "little"), header, *buffers])


def unpack(data: bytes) -> Any:
    """What `pack` was given; arrays are fresh and can be written to. Raises `BadRecord` for other bytes."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        return _Reader(data, start).value(json.loads(data[8:start]))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise BadRecord(f"These {len(data)} bytes are no saved state: {error}.") from error


def _described(value: Any, buffers: list[Any]) -> Any:
    """Plain JSON, in which a list stands for what its first element names."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return ["dict", *([_described(k, buffers), _described(v, buffers)] for k, v in value.items())]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(_described(v, buffers) for v in value)]
    if isinstance(value, bytes):
        buffers.append(value)
        return ["bytes", len(value)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        plain = np.ascontiguousarray(value)
        buffers.append(plain.reshape(-1).view(np.uint8))
        return ["array", plain.dtype.str, list(value.shape)]
    raise TypeError(f"{type(value).__name__} cannot be saved: use numbers, text, arrays, and containers of these.")


class _Reader:
    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._place = data, start

    def value(self, described: Any) -> Any:
        if not isinstance(described, list):
            return described
        name, *rest = described
        if name == "dict":
            return {self.value(k): self.value(v) for k, v in rest}
        if name == "list":
            return [self.value(v) for v in rest]
        if name == "tuple":
            return tuple(self.value(v) for v in rest)
        if name == "bytes":
            return self._take(rest[0])
        if name == "array":
            dtype, shape = np.dtype(rest[0]), tuple(rest[1])
            count = int(np.prod(shape, dtype=np.int64))
            return np.frombuffer(self._take(count * dtype.itemsize), dtype).reshape(shape).copy()
        raise ValueError(f"there is no container '{name}'")

    def _take(self, length: int) -> bytes:
        taken = self._data[self._place : self._place + length]
        if len(taken) != length:
            raise ValueError("they were cut")
        self._place += length
        return taken

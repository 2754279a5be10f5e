"""A safetensors file of which one tensor is in memory at a time.

The format (github.com/huggingface/safetensors): eight bytes with the length of a header, the header in JSON with each
tensor's type, shape and place, then the numbers. The library maps the whole file into the process, privately, so that
a file larger than a limit on memory cannot be opened; here a tensor is read when it is asked for, and not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unpooled.errors import BadData

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}
LONGEST = 100_000_000
"""Bytes of a header: the limit of the format."""


@dataclass(frozen=True)
class Entry:
    """What can be known of a tensor without reading it."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape)) or "a single number"
        return f"{size} ({str(self.dtype).removeprefix('torch.')})"


class LazyWeights(Mapping[str, Tensor]):
    """Name -> tensor, read anew each time; `entries` says shapes and types. Raises `BadData` for a file that is cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self._places: dict[str, int] = {}
        try:
            self._read_header()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise BadData(f"{path} cannot be read as safetensors ({reason}): was it cut? Save it again.") from error

    def _read_header(self) -> None:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LONGEST, size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header: dict[str, Any] = json.loads(file.read(length))
        for name, told in header.items():
            if name == "__metadata__":
                continue
            if told["dtype"] not in TYPES:
                raise ValueError(f"'{name}' has the type {told['dtype']}, which is not known here")
            entry = Entry(tuple(map(int, told["shape"])), TYPES[told["dtype"]])
            start, stop = map(int, told["data_offsets"])
            inside = 0 <= start <= stop <= size - 8 - length and min(entry.shape, default=0) >= 0
            if not inside or stop - start != prod(entry.shape) * entry.dtype.itemsize:
                raise ValueError(f"'{name}' does not lie within the file as its shape says")
            self.entries[name], self._places[name] = entry, 8 + length + start

    def __getitem__(self, name: str) -> Tensor:
        entry = self.entries[name]
        numbers = bytearray(prod(entry.shape) * entry.dtype.itemsize)
        if not numbers:
            return torch.empty(entry.shape, dtype=entry.dtype)
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            if file.readinto(numbers) != len(numbers):
                raise BadData(f"{self.path} ends within '{name}': it was cut while it was read.")
        return torch.frombuffer(numbers, dtype=entry.dtype).view(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

"""How a message looks on the wire: arrays as typed buffers (safetensors), the rest as plain JSON.

Nothing is pickled. `encode` gives the bytes that a ledger hashes and a network transport sends; `size` gives
the payload in bytes without encoding it, which is what traffic counts: 8 bytes a number, the length of each
string, and the buffers of the arrays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
import safetensors
import safetensors.numpy

from unpooled.errors import BadRecord
from unpooled.sites.questions import KINDS, Answer, Failure, Question
from unpooled.sites.typed import check_fields

Array = np.ndarray[Any, np.dtype[Any]]
M = TypeVar("M", Question, Answer)


def size_of(value: object) -> int:
    """Payload bytes of one field's value."""
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (int, float)):
        return 8
    if isinstance(value, tuple):
        return sum(size_of(v) for v in value)
    raise TypeError(f"{type(value).__name__} cannot cross the door: use scalars, strings, tuples or arrays.")


def size(message: Question | Answer) -> int:
    """Payload bytes of a whole message."""
    kind: Any = type(message)
    return sum(size_of(getattr(message, name)) for name in _fields(kind))


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def arrays_of(message: Question | Answer) -> dict[str, Array]:
    """The message's arrays by field name."""
    values = {f.name: getattr(message, f.name) for f in fields(message)}
    return {name: v for name, v in values.items() if isinstance(v, np.ndarray)}


def encode(message: Question | Answer) -> bytes:
    """The message as bytes; equal messages give equal bytes."""
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays_of(message).items()}
    plain = {f.name: getattr(message, f.name) for f in fields(message) if f.name not in arrays}
    header = {"class": type(message).__name__, "plain": plain}
    if isinstance(message, Question):
        header["kind"] = message.kind
    # One metadata key only: safetensors writes several in an order that changes from call to call.
    return safetensors.numpy.save(
        dict(sorted(arrays.items())), metadata={"message": json.dumps(header, sort_keys=True)}
    )


def decode(data: bytes, *, answer_to: type[Question] | None = None) -> Question | Answer:
    """The message that `encode` turned into `data`: a question, or the answer to a kind of question.

    Raises `BadRecord` when the bytes are no message of a known kind.
    """
    try:
        arrays = safetensors.numpy.load(data)
        header = json.loads(json.loads(data[8 : arrays_start(data)])["__metadata__"]["message"])
        plain = {k: _tuples(v) for k, v in header["plain"].items()}
        kind: type[Question] | type[Answer]
        if answer_to is None:
            kind = KINDS[header["kind"]]
        else:
            kind = Failure if header["class"] == "Failure" else answer_to.answer
        check_fields(kind, {**plain, **arrays})
        return kind(**plain, **arrays)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadRecord(f"These {len(data)} bytes are no message of a known kind: {repr(error)[:200]}.") from error


def arrays_start(data: bytes) -> int:
    """Where in an encoded message its arrays begin: behind the header."""
    return 8 + int.from_bytes(data[:8], "little")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Stacked(Mapping[str, M], Generic[M]):
    """One message a site, kept as one template and arrays stacked along the first axis.

    It is an ordinary mapping from a site's name to its message, so code that knows nothing of stacks works
    unchanged; the in-process transport and joint handlers use the stacks without making the messages.
    `arrays[field][i]` belongs to `names[i]`; one-dimensional stacks hold one scalar or string a site. What is not an
    array yet, but becomes one when it is indexed, does as well.
    """

    names: Sequence[str]
    template: M
    arrays: Mapping[str, Any]

    def __getitem__(self, name: str) -> M:
        try:
            i = self.names.index(name)
        except ValueError:
            raise KeyError(name) from None
        return self._message(i)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def messages(self) -> Iterator[tuple[str, M]]:
        """Name and message of each site, in order."""
        for i, name in enumerate(self.names):
            yield name, self._message(i)

    def _message(self, i: int) -> M:
        rows = {k: (a[i] if a.ndim > 1 else a[i].item()) for k, a in self.arrays.items()}
        return replace(self.template, **rows)

    def size_each(self) -> int | Array:
        """Payload bytes of each site's message: one number where all are of one size, or (k,) where they hold text."""
        kind: Any = type(self.template)
        size: int | Array = sum(
            size_of(getattr(self.template, name)) for name in _fields(kind) if name not in self.arrays
        )
        for a in self.arrays.values():
            if a.ndim > 1:
                size = size + a.nbytes // len(a)
            elif a.dtype.kind == "U":
                size = size + np.char.str_len(np.char.encode(a, "utf-8"))
            else:
                size = size + size_of(a[0].item())
        return size

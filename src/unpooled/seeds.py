"""Named random streams: the same name gives the same numbers, whatever ran before.

A stream's name, such as `site/berlin/batches/17`, is hashed with blake2b together with the root seed.
Nothing here or elsewhere in the library touches a global random state.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, cast

import numpy as np


@dataclass(frozen=True)
class Streams:
    """All random numbers of one run, derived from one root seed.

    >>> Streams(7).seed("site", "berlin", 3) == Streams(7).seed("site", "berlin", 3)
    True
    >>> Streams(7).seed("site", "berlin", 3) == Streams(8).seed("site", "berlin", 3)
    False
    """

    root: int

    def seed(self, *name: str | int) -> int:
        """A 64-bit seed for the stream of that name; the parts are joined unambiguously."""
        digest = blake2b(digest_size=8)
        for part in (self.root, *name):
            text = f"{type(part).__name__[0]}{part}".encode()
            digest.update(len(text).to_bytes(4, "big") + text)
        return int.from_bytes(digest.digest(), "big")

    def generator(self, *name: str | int) -> np.random.Generator:
        """A NumPy generator for the stream of that name."""
        return np.random.Generator(np.random.PCG64(self.seed(*name)))

    def later(self, *name: str | int) -> np.random.Generator:
        """Like `generator`, but made when it is first used: for those who may not draw at all."""
        return cast(np.random.Generator, _Later(self, name))

    def torch_seed(self, *name: str | int) -> int:
        """A seed that `torch.Generator.manual_seed` takes (63 bits)."""
        return self.seed(*name) >> 1


class _Later:
    """Stands in for a generator; everything asked of it is asked of the generator, which is made then."""

    def __init__(self, streams: Streams, name: tuple[str | int, ...]) -> None:
        self._streams, self._name = streams, name
        self._made: np.random.Generator | None = None

    def __getattr__(self, attribute: str) -> Any:
        if self._made is None:
            self._made = self._streams.generator(*self._name)
        return getattr(self._made, attribute)

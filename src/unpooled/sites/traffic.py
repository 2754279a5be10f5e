"""Messages and bytes that passed the door, by site and kind of question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unpooled.sites.names import Numbered

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("up_messages", "up_bytes", "down_messages", "down_bytes")
"""Up is from a site to the coordinator, down the other way."""


class Traffic:
    """Counts at the door. No method declares its own traffic: only the transport writes here."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Sequence[str] = names if isinstance(names, Numbered) else tuple(names)
        self.kinds: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}

    def count(self, kind: str, sites: Any, *, down: Any, up: Any) -> None:
        """One question of `down` bytes and one answer of `up` bytes for each index in `sites`."""
        table = self.kinds.get(kind)
        if table is None:
            table = self.kinds[kind] = np.zeros((len(self.names), 4), dtype=np.int64)
        if isinstance(up, int) and isinstance(down, int):
            table[sites] += (1, up, 1, down)
            return
        table[sites, 0] += 1
        table[sites, 1] += up
        table[sites, 2] += 1
        table[sites, 3] += down

    def table(self, kinds: Iterable[str] | None = None) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Counts of shape (sites, 4), columns `COLUMNS`, summed over `kinds` (all when None)."""
        chosen = self.kinds if kinds is None else [k for k in kinds if k in self.kinds]
        total = np.zeros((len(self.names), 4), dtype=np.int64)
        for kind in chosen:
            total += self.kinds[kind]
        return total

    def total_bytes(self, *kinds: str) -> int:
        """Bytes up and down of these kinds, over all sites."""
        return self._total(kinds, 1, 3)

    def total_messages(self, *kinds: str) -> int:
        """Messages up and down of these kinds, over all sites."""
        return self._total(kinds, 0, 2)

    def _total(self, kinds: tuple[str, ...], *columns: int) -> int:
        chosen = [table for kind, table in self.kinds.items() if not kinds or kind in kinds]
        return sum(int(table[:, column].sum()) for table in chosen for column in columns)

    def frame(self) -> pd.DataFrame:
        """One row a site and kind, columns `site`, `kind` and `COLUMNS`."""
        import pandas as pd

        rows = [
            {"site": name, "kind": kind, **dict(zip(COLUMNS, (int(v) for v in row), strict=True))}
            for kind, table in sorted(self.kinds.items())
            for name, row in zip(self.names, table, strict=True)
        ]
        return pd.DataFrame(rows, columns=["site", "kind", *COLUMNS])

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {kind: table.tolist() for kind, table in self.kinds.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.kinds = {kind: np.array(rows, dtype=np.int64).reshape(-1, 4) for kind, rows in state.items()}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Traffic)
            and self.names == other.names
            and {k: v.tolist() for k, v in self.kinds.items()} == {k: v.tolist() for k, v in other.kinds.items()}
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        up_messages, up, down_messages, down = self.table().sum(axis=0).tolist()
        return f"Traffic(up: {up_messages} messages, {up} bytes; down: {down_messages} messages, {down} bytes)"

"""What a run on a stream leaves behind: losses and model transfers, round by round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unpooled.combine import Array

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "protocol", "kind", "seed", "loss", "mistakes", "transfers", "partial", "full", "initial", "final", "bytes",
    "examples",
)  # fmt: skip
"""Columns of `StreamResult.row`."""
POINTS = 300
"""Rounds at which curves are drawn."""


@dataclass(frozen=True, eq=False)
class StreamResult:
    """One protocol on one stream.

    `losses` (T, m) and `mistakes` (T, m) are suffered by the current models, before they learn. `sent` and `received`
    (T,) count models that went up and down because of the exchange after that round; `initial` is the first
    distribution and `final` the collection of an output after the last round, common to protocols and not in
    `transfers`. `bytes` is all that passed the door. A serial learner moves no model: its `bytes` are its examples.
    """

    protocol: str
    kind: str
    source: str
    learner: str
    seed: int
    losses: Array
    mistakes: Array
    sent: Array
    received: Array
    initial: int
    final: int
    bytes: int
    examples: int
    drifts: tuple[int, ...]
    models: Array

    @property
    def rounds(self) -> int:
        """T."""
        return len(self.losses)

    @property
    def learners(self) -> int:
        """m."""
        return int(self.losses.shape[1])

    @property
    def loss(self) -> float:
        """L(T, m), the sum of all losses suffered."""
        return float(self.losses.sum())

    @property
    def total_mistakes(self) -> int:
        """All wrong predictions; a score of 0 is wrong."""
        return int(self.mistakes.sum())

    @property
    def transfers(self) -> int:
        """C(T, m): model transfers of the protocol, up and down."""
        return int(self.sent.sum() + self.received.sum())

    @property
    def syncs(self) -> tuple[int, int]:
        """How many synchronisations reached some learners, and how many all."""
        return int(((self.received > 0) & (self.received < self.learners)).sum()), int(
            (self.received == self.learners).sum()
        )

    def transfers_in(self, start: int, stop: int) -> int:
        """Model transfers because of rounds start .. stop-1."""
        return int(self.sent[start:stop].sum() + self.received[start:stop].sum())

    def row(self) -> dict[str, Any]:
        """The totals, keys `COLUMNS`."""
        partial, full = self.syncs
        values = (
            self.protocol, self.kind, self.seed, self.loss, self.total_mistakes, self.transfers, partial, full,
            self.initial, self.final, self.bytes, self.examples,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    def curve(self, points: int = POINTS) -> pd.DataFrame:
        """Columns protocol, kind, seed, round (from 1), loss, mistakes, transfers: cumulative, at so many rounds."""
        import pandas as pd

        at = np.unique(np.linspace(0, self.rounds - 1, min(points, self.rounds)).round().astype(int))
        return pd.DataFrame(
            {
                "protocol": self.protocol,
                "kind": self.kind,
                "seed": self.seed,
                "round": at + 1,
                "loss": self.losses.sum(axis=1).cumsum()[at],
                "mistakes": self.mistakes.sum(axis=1).cumsum()[at],
                "transfers": (self.sent + self.received).cumsum()[at],
            }
        )

    def __repr__(self) -> str:
        return f"<{self.protocol} on {self.source}: loss {self.loss:.6g}, {self.transfers} model transfers>"


class StreamComparison:
    """Several protocols on several seeds of one kind of stream; `results[label][seed]` is one result."""

    def __init__(self, results: dict[str, dict[int, StreamResult]]) -> None:
        self.results = results

    def all(self) -> list[StreamResult]:
        """Every result, in the order of protocols and seeds."""
        return [result for by_seed in self.results.values() for result in by_seed.values()]

    def frame(self) -> pd.DataFrame:
        """One row a protocol and seed, columns `COLUMNS`."""
        import pandas as pd

        return pd.DataFrame([result.row() for result in self.all()], columns=list(COLUMNS))

    def curves(self, points: int = POINTS) -> pd.DataFrame:
        """Cumulative series of all runs (see `StreamResult.curve`)."""
        import pandas as pd

        return pd.concat([result.curve(points) for result in self.all()], ignore_index=True)

    def drifts(self) -> dict[int, tuple[int, ...]]:
        """First rounds of new concepts, by seed."""
        first = next(iter(self.results.values()))
        return {seed: result.drifts for seed, result in first.items()}

    def table(self) -> pd.DataFrame:
        """Means over seeds, one row a protocol (see `summarised`)."""
        return summarised(self.frame())

    def __repr__(self) -> str:
        return str(self.table()[["protocol", "loss", "mistakes", "transfers", "bytes"]].to_string(index=False))


def summarised(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of rows with columns protocol, kind, seed, loss, transfers and any others, one row a protocol.

    `seeds` is their number, `loss_half_width` half of the 95 % t-interval (NaN for one seed), and `best` says that no
    other protocol is better in loss or transfers and at least as good in the other (the Pareto front; a serial learner,
    which moves data and not models, is never on it).
    """
    import pandas as pd
    from scipy import stats

    rows = []
    for label, group in frame.groupby("protocol", sort=False):
        n = len(group)
        spread = float(group["loss"].std(ddof=1)) if n > 1 else float("nan")
        half = float(stats.t.ppf(0.975, n - 1)) * spread / n**0.5 if n > 1 else float("nan")
        means = group.drop(columns=["protocol", "kind", "seed"]).mean()
        kind = group["kind"].iloc[0]
        rows.append({"protocol": label, "kind": kind, "seeds": n, **means.to_dict(), "loss_half_width": half})
    table = pd.DataFrame(rows)
    return table.assign(best=_on_the_front(table))


def _on_the_front(table: pd.DataFrame) -> Array:
    """Which rows no other row beats in both loss and transfers."""
    loss, cost = table["loss"].to_numpy(), table["transfers"].to_numpy()
    moves_data = (table["kind"] == "Serial").to_numpy()
    beaten = np.array(
        [
            bool(((loss <= a) & (cost <= b) & ((loss < a) | (cost < b)) & ~moves_data).any())
            for a, b in zip(loss, cost, strict=True)
        ]
    )
    return ~beaten & ~moves_data

"""The coordinator's search over equivalence classes, whose values come from the sites in batches.

PERI's search is that of GES (Chickering, JMLR 3, 2002): insert while the best operator gains, delete while one gains,
and both again until the class stays as it is, at most 10 times as in its released code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unpooled.causal.graphs import PDAG, Background, class_of, consistent_extension
from unpooled.causal.graphs.background import allows
from unpooled.causal.graphs.operators import Kind, Operator
from unpooled.causal.peri.moves import NONE, Insertions, Move, edge_moves
from unpooled.causal.peri.rules import Rule
from unpooled.causal.peri.values import Bools, Floats, Key, Values, bits
from unpooled.causal.search.found import GAIN, NOTHING
from unpooled.seeds import Streams

REPETITIONS = 10


@dataclass(frozen=True)
class Step:
    """An operator that was applied, and what it gained, in the score's unit."""

    operator: Operator
    gain: float


class Climber:
    """Where the search stands: a class, the sites' regrets of it, and the way there.

    It never leaves the classes that have a DAG which agrees with the `background`. `begun` is what the arrows that this
    requires gain over the graph without edges, in the score's unit.
    """

    def __init__(
        self,
        values: Values,
        rule: Rule,
        names: tuple[str, ...],
        participation: float,
        seed: int,
        background: Background = NOTHING,
    ) -> None:
        self.values, self.rule, self.names, self.background = values, rule, names, background
        self._participation, self._streams = participation, Streams(seed)
        self._required = PDAG(background.matrices(names)[0], names)
        self._insertions = Insertions(values)
        self.offset: dict[int, Floats] = {}
        self.restart()

    def restart(self) -> None:
        """From the graph without edges, or of those that are required."""
        m = len(self.names)
        self.graph = class_of(self._required)
        self.path: list[Step] = []
        self.begun = 0.0
        self.regret = np.zeros(self.values.width)
        if not self.rule.differences:
            keys: list[Key] = [(y, 0) for y in range(m)]
            self.values.ask(dict.fromkeys(keys))
            self.regret = self._regrets_of(keys)
        for y in range(m):
            if parents := self._required.parents(y):
                self.begun += self._change((y, 0), (y, bits(parents)))

    def _change(self, before: Key, after: Key) -> float:
        """What one node gains by other parents; the sites' regrets of the graph follow."""
        self._ask([(before, after)])
        old, new = (np.array([self.values.place(key)]) for key in (before, after))
        gain = float(self._gains(old, new, np.array([before[0]]))[0])
        if not self.rule.differences:
            self.regret = self.regret - self._row(before) + self._row(after)
        return gain

    def rebase(self) -> None:
        """Round two: from here on, regrets are measured against the graph that was found, at every site.

        What a site's regret of a node with its parents in that graph was, is subtracted from all its regrets of the
        node; nothing has to be asked again.
        """
        dag = consistent_extension(self.graph)
        keys: list[Key] = [(y, bits(dag.parents(y))) for y in range(len(self.names))]
        self.values.ask(dict.fromkeys(keys))
        self.offset = {y: self._row((y, mask)) for y, mask in keys}

    def climb(self) -> None:
        """Forward and backward until the class stays as it is."""
        for _ in range(REPETITIONS):
            before = self.graph
            for kind in ("insert", "delete"):
                while (found := self.best(kind)) is not None:
                    self.apply(*found)
            if self.graph == before:
                return

    def apply(self, move: Move, gain: float) -> None:
        """Go to the class that the operator leads to."""
        if not self.rule.differences:  # every site's regret of the whole graph is needed from now on
            self.values.ask({key: None for change in move.changes for key in change})
            for before, after in move.changes:
                self.regret = self.regret - self._row(before) + self._row(after)
        self.graph = move.operator.apply(self.graph)
        self.path.append(Step(move.operator, gain))

    def best(self, kind: Kind, kept_out: tuple[int, int] | None = None) -> tuple[Move, float] | None:
        """The valid operator that gains most and agrees with what is known, the first of equals; None where none gains.

        `kept_out` is an arrow (x, y) that is neither inserted nor turned to.
        """
        return self._insertion(kept_out) if kind == "insert" else self._at_an_edge(kind, kept_out)

    def allowed(self, move: Move) -> bool:
        """Whether the class that it leads to has a DAG which agrees with what is known."""
        return self.background.empty or allows(move.operator.apply(self.graph), self.background)

    def _first(self, gains: Floats, move: Callable[[int], Move]) -> tuple[Move, float] | None:
        """The move of the greatest gain that is allowed."""
        while len(gains) and gains[best := int(gains.argmax())] > GAIN:
            if self.allowed(found := move(best)):
                return found, float(gains[best])
            gains[best] = -np.inf
        return None

    def _insertion(self, kept_out: tuple[int, int] | None) -> tuple[Move, float] | None:
        found = self._insertions.at(self.graph)
        missing = [(into, valid[(into.rows[valid] == NONE).any(axis=1)]) for into, valid in found]
        self._ask([(into.before[into.which[i]], into.after[i]) for into, unknown in missing for i in unknown])
        for into, unknown in missing:
            into.settle(self.values, unknown)
        rows = np.concatenate([into.rows[valid] for into, valid in found])
        if not len(rows):
            return None
        nodes = np.repeat([into.y for into, _ in found], [len(valid) for _, valid in found])
        gains = self._gains(rows[:, 0], rows[:, 1], nodes)
        if kept_out is not None:
            x = np.concatenate([into.x[valid] for into, valid in found])
            gains[(x == kept_out[0]) & (nodes == kept_out[1])] = -np.inf
        ends = np.cumsum([len(valid) for _, valid in found])

        def move(i: int) -> Move:
            at = int(np.searchsorted(ends, i, side="right"))
            into, valid = found[at]
            return into.move(int(valid[i - (ends[at - 1] if at else 0)]))

        return self._first(gains, move)

    def _at_an_edge(self, kind: Kind, kept_out: tuple[int, int] | None) -> tuple[Move, float] | None:
        moves = edge_moves(self.graph, kind)
        if kind == "turn":
            moves = [move for move in moves if (move.operator.x, move.operator.y) != kept_out]
        return self._first(self.gains_of(moves), moves.__getitem__)

    def gains_of(self, moves: list[Move]) -> Floats:
        """What each of these operators gains, asked for together; shape (n,)."""
        self._ask([change for move in moves for change in move.changes])
        gains = np.zeros(len(moves))
        for number in range(max((len(move.changes) for move in moves), default=0)):
            chosen = [i for i, move in enumerate(moves) if number < len(move.changes)]
            pairs = [moves[i].changes[number] for i in chosen]
            before, after = (np.array([self.values.place(pair[j]) for pair in pairs]) for j in range(2))
            gains[chosen] += self._gains(before, after, np.array([pair[0][0] for pair in pairs]))
        return gains

    def _gains(self, before: np.ndarray, after: np.ndarray, nodes: np.ndarray) -> Floats:
        here, rows, none = self.values.present, self.values.rows, np.zeros(self.values.width)
        offset: Floats = np.stack([self.offset.get(y, none) for y in range(len(self.names))])[nodes][:, here]
        old: Floats = rows[before][:, here] - offset
        new: Floats = rows[after][:, here] - offset
        return self.rule.gains(old, new, self.regret[here])

    def _ask(self, pairs: list[tuple[Key, Key]]) -> None:
        """Both values of each pair: measured against the site's own graph, or, where differences will do, the second
        against the first. Where not all sites are asked, all know a node's regret without parents, which is then used.
        """
        wanted: dict[Key, Key | None] = {}
        everybody = self._participation == 1.0
        for before, after in pairs:
            direct = self.rule.differences and everybody
            for key, measured in ((before, None), (after, before if direct else None)):
                if key is after or self.values.place(key) == NONE or not everybody:
                    named = self.values.named(key)
                    if self.rule.differences and (measured is None or named != key):
                        measured = named[0], 0
                    wanted.setdefault(named, measured)
        self.values.ask(wanted, None if everybody else self._asked_for(pairs))

    def _asked_for(self, pairs: list[tuple[Key, Key]]) -> dict[Key, Bools]:
        """The sites that are asked for each value: of each operator, a share drawn at random."""
        width = self.values.width
        count = int(np.ceil(self._participation * width - 1e-9))
        asked: dict[Key, Bools] = {}
        for before, after in pairs:
            rng = self._streams.generator("participation", before[0], str(before[1]), str(after[1]))
            chosen = np.zeros(width, bool)
            chosen[rng.choice(width, count, replace=False)] = True
            for key in map(self.values.named, (before, after)):
                asked[key] = asked.get(key, np.zeros(width, bool)) | chosen
        return asked

    def _row(self, key: Key) -> Floats:
        row: Floats = self.values.rows[self.values.place(key)]
        return row

    def _regrets_of(self, keys: list[Key]) -> Floats:
        rows = np.stack([self._row(key) - self.offset.get(key[0], 0.0) for key in keys])
        return np.asarray(rows.sum(axis=0))

"""Many models on many samples, fast: nothing before the first layer that moves is computed twice.

For each piece of the samples the base model runs once and the values that cuts take up are kept. A cut then runs only
the steps that its layers influence, for all its models at once: a layer that is affine in its parameters is computed at
both ends only, and the models are one wide batch from there on. `plain.Plain` does the same model by model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unpooled.connectivity import memory
from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.cuts import Cut
from unpooled.connectivity.graph import Step, program_of
from unpooled.connectivity.moments import Moments, add_all
from unpooled.connectivity.plain import Told
from unpooled.connectivity.scoring import Samples
from unpooled.connectivity.widened import Move, Plain, widened
from unpooled.errors import Unsupported

TOGETHER = 1_000_000
"""Bytes of outputs of several cuts that wait to be scored at once."""
_Way = list[tuple[Step, bool, list[int]]]
CHECKED = 8
"""Samples on which the steps are compared with the model itself before work starts."""


class Engine:
    """Scores cuts on `samples`; `bases` and results as in `plain.Plain`. `memory` bounds values, in bytes.

    Raises `Unsupported` where the steps do not give what the model gives.
    """

    def __init__(self, model: nn.Module, bases: Mapping[str, Weights], scored: Samples, *, budget: int) -> None:
        self.program, self.bases, self.scored, self.budget = program_of(model), bases, scored, budget
        self.metrics = tuple(scored.metrics)
        self.evaluations = 0
        self.peak = 0
        self.sizes = memory.measured(self.program, scored.X, next(iter(bases.values())))
        self._check()

    def _check(self) -> None:
        few = self.scored.X[:CHECKED]
        with torch.no_grad():
            found, _ = self.program.run(few, set())
            wanted = self.program.model(few)
        if not isinstance(found, Tensor) or not torch.allclose(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise Unsupported("The traced steps do not give what the model gives: take engine='plain'.")

    def plan(self, cuts: Sequence[Cut]) -> tuple[int, float]:
        """Samples at a time, and the work in passes of all samples through one whole model."""
        work = self.sizes.work
        whole = sum(work)
        passes = float(len(self.bases))
        for cut in cuts:
            affected = self.program.affected(cut.names)
            inside = {step.index for step in affected}
            models = len(cut.alphas)
            passes += sum(work[s.index] * (2 if memory.on_a_line(s, cut, inside) else models) for s in affected) / whole
        keep = [i for base in self.bases for i in self._kept([cut for cut in cuts if cut.base == base])]
        return memory.chunk(self.program, cuts, self.sizes, keep, len(self.scored), self.budget), passes

    def pass_of(self, rows: int) -> None:
        """One pass of so many samples through the whole model, to see how long it takes."""
        with torch.no_grad():
            self.program.run(self.scored.X[:rows], set())

    def _kept(self, cuts: Sequence[Cut]) -> set[int]:
        """Values of the base model that these cuts take up, or of which their own values are mixtures."""
        kept: set[int] = set()
        for cut in cuts:
            steps = self.program.affected(cut.names)
            inside = {step.index for step in steps}
            kept |= {i for step in steps for i in step.reads} - inside
            if cut.starts_or_stops_at(self.bases[cut.base]):
                kept |= {step.index for step in steps if memory.on_a_line(step, cut, inside)}
        return kept

    def run(self, cuts: Sequence[Cut], told: Told = lambda done, all: None) -> list[Moments]:
        """For each cut the moments of its models, in the order of its alphas, and of both end-points after them."""
        size, _ = self.plan(cuts)
        rows = len(self.scored)
        found = [Moments(len(self.metrics), len(cut.alphas) + 2) for cut in cuts]
        ways = [self._way(cut) for cut in cuts]
        kept = {base: self._kept([cut for cut in cuts if cut.base == base]) for base in self.bases}
        total = sum(len(cut.alphas) for cut in cuts) * -(-rows // size)
        done = 0
        with torch.no_grad():
            for i in range(0, rows, size):
                j = min(i + size, rows)
                began = {base: self._began(base, kept[base], i, j) for base in self.bases}
                ends = torch.stack([self.scored.scores(began[base][0], i, j) for base in list(self.bases)[:2]])
                held = sum(memory.nbytes(value) for _, shared in began.values() for value in shared.values())
                for base, (output, shared) in began.items():
                    self.program.load(self.bases[base])
                    waiting: dict[int, list[tuple[Moments, Tensor]]] = {}
                    for cut, way, moments in zip(cuts, ways, found, strict=True):
                        if cut.base != base:
                            continue
                        together = waiting.setdefault(len(cut.alphas), [])
                        together.append((moments, self._output(cut, way, output, shared, held)))
                        if memory.nbytes(together[0][1]) * len(together) > TOGETHER:
                            self._add(waiting.pop(len(cut.alphas)), ends, i, j)
                        done += len(cut.alphas)
                        told(done, total)
                    for together in waiting.values():
                        self._add(together, ends, i, j)
        self.evaluations += total // -(-rows // size) + len(self.bases)
        return found

    def _began(self, base: str, keep: set[int], i: int, j: int) -> tuple[Tensor, dict[int, Any]]:
        """The output of a base model on samples i..j, and the values in `keep`."""
        self.program.load(self.bases[base])
        return self.program.run(self.scored.X[i:j], keep)

    def _way(self, cut: Cut) -> _Way:
        """Steps of a cut, whether each may overwrite what it takes, and whose values are used up by it."""
        steps, readers = self.program.affected(cut.names), self.program.readers
        used_up = [[i for i in step.reads if max(readers[i]) == step.index] for step in steps]
        return [(step, self.program.alone(step), gone) for step, gone in zip(steps, used_up, strict=True)]

    def _output(self, cut: Cut, way: _Way, output: Tensor, shared: Mapping[int, Any], held: int) -> Tensor:
        """Outputs of the cut's models, shape (K, n, ...)."""
        if not way or way[-1][0].index != len(self.program.steps) - 1:  # no influence on the output
            return output[None].expand(len(cut.alphas), *output.shape)
        start, stop = cut.ends()
        move = Move(cut.names, start, stop, cut.alphas, self.bases[cut.base])
        plain, wide, live = dict(shared), dict[int, Any](), held
        for step, alone, used_up in way:
            value = widened(step, plain, wide, move, last=alone)
            if isinstance(value, Plain):
                plain[step.index] = value.value
            else:
                wide[step.index] = value
                live += memory.nbytes(value)
            self.peak = max(self.peak, live)
            for read in used_up:
                if read in wide:
                    live -= memory.nbytes(wide.pop(read))
        found: Tensor = wide[self.program.steps[-1].index]
        return found

    def _add(self, together: Sequence[tuple[Moments, Tensor]], ends: Tensor, i: int, j: int) -> None:
        """Outputs (K, n, ...) of several cuts on samples i..j, and both end-points after each, go into moments."""
        outputs = [output for _, output in together]
        none = ends.new_empty((len(outputs), 0, *ends.shape[1:]))
        inner = self.scored.scores_of(outputs, i, j) if len(outputs[0]) else none
        both = ends[None].expand(len(together), *ends.shape)
        add_all([moments for moments, _ in together], torch.cat([inner, both], dim=1).transpose(1, 2))

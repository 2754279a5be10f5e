"""`connect`: two models and data in, every barrier out. Names the steps; each stands in a module of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from unpooled.connectivity.alike import inputs_for, opened
from unpooled.connectivity.barriers import Curve
from unpooled.connectivity.checkpoints import Checkpoint, Weights
from unpooled.connectivity.cuts import Cut
from unpooled.connectivity.engine import Engine
from unpooled.connectivity.layers import Layers, Names, Rule, distance, is_statistic, layers_of, movable, tied_in
from unpooled.connectivity.matching import Alignment
from unpooled.connectivity.matching import align as matched
from unpooled.connectivity.norms import REMADE, batch_norms, require_policy
from unpooled.connectivity.parts import Part, parts_of
from unpooled.connectivity.plain import Evaluate, Plain, Told
from unpooled.connectivity.plan import Plan, Silent
from unpooled.connectivity.results import NO_BARRIER, Connectivity
from unpooled.connectivity.scoring import Samples, samples
from unpooled.errors import BadSetting, Unsupported, positive

CUTS = ("full", "layer", "from_input", "from_output")
MEMORY = 512_000_000
"""Bytes that the values of a model's steps may take at once, by default."""
MANY, TRIED = 100, 4
"""From so many cuts on, so many are tried to tell what all will cost."""


class Study:
    """A pair of models made ready: `plan` says what `run` will cost. Settings are those of `connect`."""

    def __init__(
        self,
        a: Checkpoint,
        b: Checkpoint,
        data: tuple[Any, Any] | None = None,
        *,
        model: nn.Module | None = None,
        evaluate: Evaluate | None = None,
        layers: Rule = "module",
        cuts: Sequence[str] = CUTS,
        groups: Mapping[str, Sequence[str]] | None = None,
        window: int = 2,
        points: int = 11,
        metrics: Any = None,
        norms: str = "keep",
        calibration: Any = None,
        engine: str = "auto",
        memory: int = MEMORY,
        batch_size: int = 256,
        seed: int = 0,
        align: str = "none",
    ) -> None:
        positive(points=points, memory=memory, batch_size=batch_size)
        if points < 3 or points % 2 == 0:
            raise BadSetting(f"points must be odd and at least 3, so that half-way is one of them; got {points}.")
        if (data is None) is (evaluate is None):
            raise BadSetting("Give data=(X, y), or evaluate, a function of a model that gives metrics; not both.")
        require_policy(norms, calibration is not None)
        self.norms, self.seed = norms, seed
        self.alphas = tuple(i / (points - 1) for i in range(points))
        self.a, self.b, self.model = opened(a, b, model)
        self.layers = _layers(self.model, layers)
        self.parts = parts_of(self.layers, cuts, window=window, groups=groups, seed=seed)
        first = next(p for p in self.model.parameters() if p.dtype.is_floating_point)
        scored = evaluate or samples(data, metrics, dtype=first.dtype, device=first.device)
        inputs = None if calibration is None else inputs_for(self.model, calibration)
        self.alignment = self._aligned(align, scored, inputs)
        if self.alignment is not None:
            self.b = self.alignment.weights
        self.samples = len(scored) if isinstance(scored, Samples) else 0
        self.engine, self.why = self._choose(engine, scored, memory, batch_size, inputs)
        self.cuts, self.curves = self._cuts()
        self._batch_size = batch_size
        self.plan = self.cost(self.cuts)

    def _aligned(self, method: str, scored: Samples | Evaluate, calibration: Tensor | None) -> Alignment | None:
        """The second model's units in the order of the first's, by the calibration inputs if there are any."""
        if method == "none":
            return None
        X = calibration if calibration is not None else scored.X if isinstance(scored, Samples) else None
        if X is None:
            raise BadSetting("Units are aligned on inputs: give calibration=X_train beside evaluate.")
        return matched(self.a, self.b, X, model=self.model, method=method, seed=self.seed)

    def _choose(
        self, engine: str, scored: Samples | Evaluate, memory: int, batch_size: int, calibration: Tensor | None
    ) -> tuple[Engine | Plain, str]:
        if engine not in ("auto", "fast", "plain"):
            raise BadSetting(f"There is no engine '{engine}'; there are auto, fast, plain.")
        bases = {"a": self.a, "b": self.b}
        why = ""
        if not isinstance(scored, Samples):
            why = "a function scores whole models"
        elif self.norms in REMADE and batch_norms(self.model):
            why = f"norms='{self.norms}' makes statistics anew for every model"
        if why and engine == "fast":
            raise Unsupported(f"The fast engine cannot do this, because {why}: take engine='plain'.")
        if not why and engine != "plain":
            assert isinstance(scored, Samples)
            try:
                made = Engine(self.model, bases, scored, budget=memory)
            except Unsupported as error:
                if engine == "fast":
                    raise
                why = str(error)
            else:
                return made, f" (without prefixes: {made.program.reason})" if made.program.reason else ""
        plain = Plain(self.model, bases, scored, norms=self.norms, calibration=calibration, batch_size=batch_size)
        return plain, f" ({why})" if why else ""

    def moving(self, layers: Sequence[str]) -> Names:
        """Entries that move with these layers under the policy for norms."""
        return tuple(
            name
            for layer in layers
            for name in self.layers[layer]
            if self.norms == "interpolate" or not is_statistic(name)
        )

    def _cuts(self) -> tuple[list[Cut], list[tuple[Part, str, int, dict[float, int]]]]:
        """Cuts that have to be computed, and for each part and default model its cut and the places of its alphas.

        The end-points are models of their own; parts that move the same entries share a cut; where nothing differs
        nothing is computed.
        """
        unequal = {name for name in self.a if not torch.equal(self.a[name], self.b[name])}
        cuts: list[Cut] = []
        known: dict[tuple[str, frozenset[str]], int] = {}
        curves = []
        for part in self.parts:
            moved = tuple(name for name in self.moving(part.layers) if name in unequal)
            whole = frozenset(moved) == unequal
            for default in "ab":
                base = "a" if whole else default
                at_ends = {0.0: -2, 1.0: -1} if whole else {0.0: -2} if base == "a" else {1.0: -1}
                if not moved:
                    at_ends = dict.fromkeys(self.alphas, -2 if base == "a" else -1)
                inner = tuple(alpha for alpha in self.alphas if alpha not in at_ends)
                key = (base if moved else "", frozenset(moved))
                if key not in known:
                    known[key] = len(cuts)
                    cuts.append(Cut(base, moved, self.a, self.b, inner))
                places = {alpha: at_ends[alpha] if alpha in at_ends else inner.index(alpha) for alpha in self.alphas}
                ends = len(cuts[known[key]].alphas) + 2
                curves.append((part, default, known[key], {x: i % ends for x, i in places.items()}))
        return cuts, curves

    def cost(self, cuts: Sequence[Cut]) -> Plan:
        """What it will cost to score these cuts."""
        models = 2 + sum(len(cut.alphas) for cut in cuts)
        if isinstance(self.engine, Engine):
            at_once, passes = self.engine.plan(cuts)
            if len(cuts) >= MANY and any(callable(cut.stop) for cut in cuts):
                seconds = self._tried(self.engine, cuts)
                return Plan(models, passes, self.samples, at_once, "fast", self.why, seconds)
            self.engine.pass_of(at_once)  # the first one is slow for reasons of its own
            start = time.perf_counter()
            self.engine.pass_of(at_once)
            seconds = (time.perf_counter() - start) * passes * self.samples / at_once
            return Plan(models, passes, self.samples, at_once, "fast", self.why, seconds)
        start = time.perf_counter()
        self.engine.score(self.a)
        seconds = (time.perf_counter() - start) * models
        return Plan(
            models, float(models), self.samples, min(self._batch_size, self.samples), "plain", self.why, seconds
        )

    @staticmethod
    def _tried(engine: Engine, cuts: Sequence[Cut]) -> float:
        """Seconds, from a few of many cuts whose ends have to be made: that may take longer than to score them."""
        few = [cuts[i * len(cuts) // TRIED] for i in range(TRIED)]
        before = engine.evaluations
        engine.run(few[:1])  # the first one is slow for reasons of its own
        start = time.perf_counter()
        engine.run(few)
        engine.evaluations = before
        return (time.perf_counter() - start) * len(cuts) / TRIED

    def run(self, told: Told = Silent) -> Connectivity:
        """Score all models and make the tables."""
        start = time.perf_counter()
        moments = self.engine.run(self.cuts, told)
        metrics = tuple(self.engine.metrics)
        barriers, cells = [], []
        for part, default, place, places in self.curves:
            curve = Curve(moments[place], places, default)
            same = {"kind": part.kind, "place": part.place, "part": part.name, "default": default}
            barriers += [{**same, "layers": len(part.layers), **row} for row in curve.rows(metrics)]
            cells += [
                {**same, "alpha": alpha, "metric": name, "value": float(curve.moments.mean[m, i])}
                for m, name in enumerate(metrics)
                for alpha, i in places.items()
            ]
        table = pd.DataFrame(barriers)
        facts = {
            "metrics": list(metrics),
            "samples": self.samples,
            "alphas": list(self.alphas),
            "norms": self.norms,
            "engine": self.plan.engine + self.why,
            "models_scored": self.plan.models,
            "passes": self.plan.passes,
            "samples_at_once": self.plan.at_once,
            "peak_bytes": self.engine.peak if isinstance(self.engine, Engine) else None,
            "seconds": time.perf_counter() - start,
            "seed": self.seed,
            "align": None if self.alignment is None else self.alignment.facts,
        }
        return Connectivity(table, pd.DataFrame(cells), self.distances(), facts, tuple(self._notes(barriers)))

    def distances(self) -> pd.DataFrame:
        """How far apart the models are, layer by layer and in all."""
        return distances(self.a, self.b, self.layers)

    def _notes(self, barriers: Sequence[Mapping[str, Any]]) -> list[str]:
        notes = []
        paper = [row for row in barriers if row["reference"] == "mean"]
        ends = {row["metric"]: (row["end_a"], row["end_b"], row["unequal_ends"]) for row in paper}
        if not all(math.isfinite(a) and math.isfinite(b) for a, b, _ in ends.values()):
            notes.append("An end-point is not a finite number: its training diverged, and no barrier means anything.")
        for metric, (a, b, unequal) in ends.items():
            if unequal:
                notes.append(
                    f"The end-points are unequal in {metric} ({a:.4g} and {b:.4g}): against their mean a layer without "
                    f"any influence would have barriers of +-{abs(a - b) / 2:.4g}. Look at the references default and "
                    "hybrid-chord too."
                )
        full = [row["barrier"] for row in paper if row["kind"] == "full" and row["metric"] == "error"]
        if full and max(full) < NO_BARRIER:
            notes.append(
                f"No full barrier: {max(full):z.2f} points of error, below {NO_BARRIER:g}. There is nothing to "
                "localise."
            )
        if self.alignment is not None:
            found = self.alignment
            notes.append(
                f"Aligned by {found.method}: {found.moved} of {found.units} units of the second model changed place, "
                f"and it computes the same (outputs differ by {found.gap:.0e} of the largest)."
            )
        if batch_norms(self.model) and self.norms in ("keep", "interpolate"):
            notes.append(
                f"The model has batch norm and its statistics are not taken anew (norms='{self.norms}'), which "
                "alone makes barriers: compare with norms='recalibrate'."
            )
        return notes


def connect(
    a: Checkpoint,
    b: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    planned: Callable[[Plan], None] | None = None,
    told: Told = Silent,
    **settings: Any,
) -> Connectivity:
    """Barriers between models `a` and `b`, full and layer by layer, on `data` = (X, y).

    `a` and `b` are modules, state dicts or files (see `open_checkpoint`); without a module among them `model` gives
    the architecture. Models are copied, so weights and mode stay as they are. Instead of data, `evaluate(model)` gives
    a dict of metrics, lower is better. `layers` is a rule (see `layers_of`), `cuts` are kinds of parts (see
    `parts_of`), `window` the layers in one of kind "window", `groups` sets of layers by name, `points` how many models
    a cut has. `metrics` are names ("loss" in nats, "error" in per cent, "mse") or a dict of functions. `norms` is a
    policy for batch norm (see `norms`), `calibration` inputs for "recalibrate". `align` puts the second model's units
    into the order of the first's, by "weights" or "activations" (see `matching.align`). `engine` is "auto", "fast" or
    "plain"; `memory` bounds the fast one's values, in bytes; `batch_size` is the plain one's. `planned` is told the
    plan before work starts, `told` how many models are done. Raises `BadSetting`, `BadData` and `Unsupported` before
    that.
    """
    study = Study(a, b, data, **settings)
    if planned is not None:
        planned(study.plan)
    return study.run(told)


def distances(a: Weights, b: Weights, layers: Layers) -> pd.DataFrame:
    """One row a layer and one for all: Euclidean distance, relative to the first, cosine, parameters."""
    every = tuple(name for names in layers.values() for name in names)
    rows = []
    for layer, names in {**layers, "all": every}.items():
        found = distance(a, b, tuple(name for name in names if not is_statistic(name)))
        rows.append(
            {
                "layer": layer,
                "parameters": found.parameters,
                "distance": found.euclidean,
                "relative": found.relative,
                "cosine": found.cosine,
            }
        )
    return pd.DataFrame(rows)


def _layers(model: nn.Module, rule: Rule) -> Layers:
    own = model.state_dict()
    layers = layers_of([name for name in own if movable(name, own[name])], rule, tied=tied_in(own))
    layers = {layer: own for layer, own in layers.items() if not all(map(is_statistic, own))}
    if not layers:
        raise BadSetting("No entry of these models can be averaged: all of them are whole numbers.")
    return layers

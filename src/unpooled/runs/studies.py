"""A study of causal discovery from a TOML config: kinds of data with known graphs, methods, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass as checked

from unpooled.causal.discovery import Settings
from unpooled.causal.discovery.truth import MEASURES
from unpooled.causal.generators import (
    AdditiveNoise,
    Environments,
    LinearGaussian,
    Random,
    environments,
    erdos_renyi,
    exact_edges,
    scale_free,
)
from unpooled.causal.generators.environments import Model
from unpooled.causal.graphs import PDAG
from unpooled.errors import BadSetting, did_you_mean, positive
from unpooled.runs.config import STRICT
from unpooled.runs.files import slug
from unpooled.runs.tables import build, known_keys, names, read_toml
from unpooled.seeds import Streams

FAMILY = "study"
"""What the result of such a run calls itself."""
Function = Literal["linear", "polynomial", "neural", "gaussian_process"]


@checked(frozen=True, kw_only=True, config=STRICT)
class Data:
    """A kind of data: a random graph of so many `nodes`, and a table of so many `rows` for each site.

    The graph has exactly `edges` edges, or is an Erdős-Rényi one of that `degree`, or a scale-free one with so many
    `attached`: one of the three. `mechanisms` are the "same" at all sites, or each site's "own". `weights` are the
    least and greatest size of those of "linear" `function`s; `noise` is its standard deviation (for other functions, in
    units of the effect's). `published` are numbers of others: by measure, then by method. Raises `BadSetting`.
    """

    name: str
    nodes: int
    rows: tuple[int, ...]
    edges: int | None = None
    degree: float | None = None
    attached: int | None = None
    function: Function = "linear"
    law: Literal["gaussian", "uniform"] = "gaussian"
    mechanisms: Literal["same", "own"] = "same"
    weights: tuple[float, float] = (0.4, 1.2)
    noise: float = 1.0
    interventions: Random | None = None
    standardise: bool = True
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positive(nodes=self.nodes)
        if not self.rows:
            raise BadSetting(f"The data '{self.name}' have no site: rows is a list of at least one number of rows.")
        for rows in self.rows:
            positive(rows=rows)
        if sum(given is not None for given in (self.edges, self.degree, self.attached)) != 1:
            raise BadSetting(f"The data '{self.name}' need exactly one of edges, degree and attached.")
        if self.function == "linear" and self.law != "gaussian":
            raise BadSetting(f"The data '{self.name}': linear functions come with Gaussian noise, got '{self.law}'.")
        for measure in self.published:
            _known_measure(measure)

    def draw(self, seed: int, graph: int) -> Environments:
        """The tables of this number: the same whatever else was drawn."""
        rng = Streams(seed).generator("study", self.name, graph)
        dag = self._graph(rng)
        make = self._model(dag, rng)
        models = [make() for _ in self.rows] if self.mechanisms == "own" else [make()] * len(self.rows)
        changed = (
            [{} for _ in self.rows]
            if self.interventions is None
            else self.interventions.draw(dag.names, len(self.rows), rng)
        )
        return environments(models, self.rows, changed, rng, standardise=self.standardise)

    def _graph(self, rng: np.random.Generator) -> PDAG:
        if self.edges is not None:
            return exact_edges(self.nodes, self.edges, rng)
        if self.degree is not None:
            return erdos_renyi(self.nodes, self.degree, rng)
        assert self.attached is not None
        return scale_free(self.nodes, self.attached, rng)

    def _model(self, dag: PDAG, rng: np.random.Generator) -> Callable[[], Model]:
        if self.function == "linear":
            low, high = self.weights
            return partial(LinearGaussian.random, dag, rng, low=low, high=high, noise=self.noise)
        return partial(AdditiveNoise.random, dag, rng, function=self.function, noise=self.noise, law=self.law)


@checked(frozen=True, kw_only=True, config=STRICT)
class Method(Settings):
    """A discovery under a name of its own. What its edges gain at each site is not asked for."""

    name: str
    gains: bool = False


@checked(frozen=True, kw_only=True, config=STRICT)
class StudyConfig:
    """Every method on `graphs` data sets of every kind; the `measures` are those that tables and figures show."""

    title: str
    data: tuple[Data, ...]
    methods: tuple[Method, ...]
    measures: tuple[str, ...] = ("shd",)
    graphs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        positive(graphs=self.graphs)
        if not self.title.strip():
            raise BadSetting("title must say in a few words what the study is about.")
        for what, listed in (("data", self.data), ("methods", self.methods)):
            called = [one.name for one in listed]
            if not called:
                raise BadSetting(f"The config lists no {what}: add [[{what}]] with a name.")
            for name in called:
                if called.count(name) > 1:
                    raise BadSetting(f"The config lists '{name}' twice among [[{what}]]: each name once.")
        if not self.measures:
            raise BadSetting("measures names what tables show: at least one, such as 'shd'.")
        for measure in self.measures:
            _known_measure(measure)


def _known_measure(measure: str) -> None:
    if measure not in MEASURES:
        raise BadSetting(
            f"There is no measure '{measure}'; there are {', '.join(MEASURES)}.{did_you_mean(measure, MEASURES)}"
        )


def load(path: Path) -> StudyConfig:
    """The config in a TOML file. Raises `BadSetting` in one line."""
    table = read_toml(path)
    known_keys("the config", table, names(StudyConfig))
    return build(StudyConfig, "the config", table)


def default_folder(config: StudyConfig) -> Path:
    """Where a run goes unless a folder is named."""
    return Path("runs") / f"study-{slug(config.title)[:40].strip('-')}"

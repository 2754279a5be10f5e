"""What is trained at the sites, as far as coordinator and questions care: a start, a description, an executor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from unpooled.combine import Array
from unpooled.seeds import Streams
from unpooled.sites.site import Samples, Site
from unpooled.training.evaluation import Evaluated, score
from unpooled.training.executors import Choice
from unpooled.training.fitting import check_fit
from unpooled.training.layout import Layout, layout_of, numpy_rows, row_of
from unpooled.training.optimizer_state import full_layout
from unpooled.training.privacy.choice import choose_private
from unpooled.training.recipe import Recipe


class Task(Protocol):
    """Installed at a site by the person in charge there; the coordinator holds the same one."""

    @property
    def streams(self) -> Streams:
        """The random streams of the run."""
        ...

    @property
    def layout(self) -> Layout:
        """The parts of the rows that travel."""
        ...

    def describe(self) -> str:
        """The task in words: what a site is told, and what it can check."""
        ...

    def start(self) -> Array:
        """The model that everybody begins with, shape (width,)."""
        ...

    def check(self, sites: Sequence[Site]) -> None:
        """Raise `BadData` where this cannot be trained."""
        ...

    def samples(self, site: Site) -> int:
        """How many samples a site will train on: what it tells, and what weights its model."""
        ...

    def batch(self, site: Site) -> int:
        """How many of them it sees in a local step."""
        ...

    def rate(self, step: int) -> float:
        """The learning rate of a local step. Raises `Unsupported` for learners without one."""
        ...

    def choose(self, sites: Sequence[Site]) -> Choice:
        """The executor that trains these sites of one process."""
        ...

    def score(self, model: Array, data: Samples) -> Evaluated:
        """A whole model, shape (width,), on test samples."""
        ...


@dataclass(frozen=True, eq=False)
class ModuleTask:
    """A torch module trained under a recipe."""

    recipe: Recipe

    @property
    def streams(self) -> Streams:
        return self.recipe.streams

    @property
    def layout(self) -> Layout:
        return full_layout(self.recipe)

    def describe(self) -> str:
        return self.recipe.describe()

    def start(self) -> Array:
        return numpy_rows(row_of(self.recipe.module, self.layout))

    def check(self, sites: Sequence[Site]) -> None:
        check_fit(self.recipe, sites)

    def samples(self, site: Site) -> int:
        return site.size or 0

    def batch(self, site: Site) -> int:
        return min(self.recipe.batch_size or self.samples(site), self.samples(site))

    def rate(self, step: int) -> float:
        return self.recipe.rate(step)

    def choose(self, sites: Sequence[Site]) -> Choice:
        return choose_private(self.recipe, sites)

    def score(self, model: Array, data: Samples) -> Evaluated:
        return score(self.recipe, layout_of(self.recipe.module), model, data)


def task_of(task: Recipe | Task) -> Task:
    """A recipe as a task; any other task as it is."""
    return ModuleTask(task) if isinstance(task, Recipe) else task

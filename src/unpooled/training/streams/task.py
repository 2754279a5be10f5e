"""Online learning as a task: what is installed at sites that hold streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadData, Unsupported
from unpooled.seeds import Streams
from unpooled.sites.site import Samples, Site
from unpooled.training.evaluation import Evaluated
from unpooled.training.executors import Choice
from unpooled.training.layout import Layout
from unpooled.training.streams.executor import StreamExecutor, linear_layout
from unpooled.training.streams.learners import Learner
from unpooled.training.streams.source import Flow


@dataclass(frozen=True, eq=False)
class StreamTask:
    """Learner i of the stream is the site called `names[i]`. All begin with the model `first` (d,), or with zeros."""

    learner: Learner
    flow: Flow
    streams: Streams
    names: tuple[str, ...]
    first: Array | None = field(default=None)

    @property
    def layout(self) -> Layout:
        return linear_layout(self.flow.width)

    def describe(self) -> str:
        return json.dumps({"learner": repr(self.learner), "width": self.flow.width, "seed": self.streams.root})

    def start(self) -> Array:
        return np.zeros(self.flow.width) if self.first is None else np.array(self.first, dtype=np.float64)

    def check(self, sites: Sequence[Site]) -> None:
        """Raise `BadData` for a site that no learner of the stream is called after."""
        for site in sites:
            if site.name not in self.names:
                raise BadData("it has no stream: learners are " + ", ".join(self.names[:3]) + ", ...")

    def samples(self, site: Site) -> int:
        return self.batch(site) * self.flow.size.rounds

    def batch(self, site: Site) -> int:
        """How many examples this learner sees in a round."""
        return int(self.flow.size.batches[self.names.index(site.name)])

    def rate(self, step: int) -> float:
        """Update rules have no common rate: raises `Unsupported`."""
        raise Unsupported("Learners on streams have no common learning rate: use a protocol that does not need one.")

    def choose(self, sites: Sequence[Site]) -> Choice:
        learners = np.array([self.names.index(site.name) for site in sites])
        return Choice(StreamExecutor(self.learner, self.flow, learners), "streams have one executor")

    def score(self, model: Array, data: Samples) -> Evaluated:
        """Streams are judged as they pass: raises `Unsupported`."""
        raise Unsupported("Learners on streams have no test samples: read the losses they suffered.")

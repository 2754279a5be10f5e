"""The cells of a run: one protocol with one seed each, where they leave their results, and how they are set up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unpooled.runs.config import Config
from unpooled.runs.files import read_json
from unpooled.runs.identity import slug
from unpooled.runs.resolve import model_of, privacy_of, protocols_of
from unpooled.runs.sources import Source, open_source
from unpooled.seeds import Streams
from unpooled.sites.ledger import Ledger
from unpooled.training.protocols import Protocol
from unpooled.training.recipe import Recipe, recipe
from unpooled.training.train import Training, federation_of, initialised


@dataclass(frozen=True)
class Cell:
    """One protocol of the config with one seed."""

    protocol: Protocol
    seed: int

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{slug(self.protocol.label)}-seed-{self.seed}"


def cells_of(config: Config) -> list[Cell]:
    """All cells, seed by seed, so that an early look compares all protocols."""
    protocols = protocols_of(config)
    return [Cell(protocol, seed) for seed in config.seeds for protocol in protocols]


def outcome_path(folder: Path, cell: Cell) -> Path:
    """Where a finished cell's results stand."""
    return folder / "cells" / f"{cell.name}.json"


def checkpoint_path(folder: Path, cell: Cell) -> Path:
    """Where an unfinished cell's state stands."""
    return folder / "checkpoint" / f"{cell.name}.pt"


def recipe_of(config: Config, source: Source, seed: int) -> Recipe:
    """The recipe for this data: the model is drawn under the seed, the loss fits the target unless named."""
    settings = config.training
    schema = source.schema
    outputs = 1 if schema.classes is None else max(2, len(schema.classes))
    streams = Streams(seed)
    model_settings = model_of(config)
    shape = source.federation.sites[source.federation.names[0]].require_train().X.shape[1:]
    module = initialised(lambda: model_settings.build(tuple(shape), outputs), streams.torch_seed("model"))
    loss = settings.loss
    if loss == "auto":
        loss = "mse" if schema.classes is None else "cross_entropy"
    return recipe(
        module,
        loss=loss,
        optimizer=settings.optimizer,
        lr=settings.lr,
        batch_size=settings.batch_size,
        optimizer_state=settings.optimizer_state,
        buffers=settings.buffers,
        executor=settings.executor,
        privacy=privacy_of(config),
        secure_sum=settings.secure_sum,
        seed=seed,
        **settings.optimizer_settings,
    )


def prepare_cell(config: Config, cell: Cell, folder: Path, executor: str | None = None) -> tuple[Training, Source]:
    """Everything set up, nothing trained. `executor` overrides `auto` when a run is resumed."""
    ledgers = None
    if config.ledger:
        where = folder / "ledger" / cell.name

        def ledgers(site: str) -> Ledger:
            return Ledger(where / f"{slug(site)}.jsonl", run=cell.name)

    source = open_source(config.data, cell.seed, ledgers)
    made = recipe_of(config, source, cell.seed)
    if executor is not None:
        made = replace(made, executor=executor)
    federation = federation_of(source.federation)
    federation.traffic.restore(source.federation.traffic.state())
    training = Training(
        federation,
        made,
        cell.protocol,
        steps=config.training.steps,
        test=source.test,
        evaluate_every=config.training.evaluate_every,
    )
    return training, source


def outcomes(folder: Path, config: Config) -> list[dict[str, Any]]:
    """Finished and failed cells, in the config's order."""
    paths = [outcome_path(folder, cell) for cell in cells_of(config)]
    anew = "delete it, and `unpooled resume` trains that part anew"
    return [read_json(path, remedy=anew) for path in paths if path.exists()]

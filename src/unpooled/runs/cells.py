"""One cell of a run: one protocol with one seed, trained to its end or to a clean stop, with checkpoints on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch

from unpooled.errors import BadData, Diverged, Interrupted
from unpooled.runs import checkpoint
from unpooled.runs.config import Config, choose
from unpooled.runs.files import read_json, write_bytes, write_json
from unpooled.runs.identity import slug
from unpooled.runs.sources import Source, holdings, open_source
from unpooled.seeds import Streams
from unpooled.sites.ledger import Ledger
from unpooled.training.models import MODELS
from unpooled.training.protocols import PROTOCOLS, Protocol
from unpooled.training.recipe import Recipe, recipe
from unpooled.training.train import Training, federation_of, initialised

Report = Callable[[int], None]
"""Called with the local steps done so far."""
Stop = Callable[[], bool]
"""Asked between rounds whether to stop."""


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


def protocols_of(config: Config) -> list[Protocol]:
    """The config's protocols; raises `BadSetting` for unknown ones, wrong settings and repetitions."""
    from unpooled.errors import BadSetting

    found = [choose("A protocol", table, PROTOCOLS) for table in config.protocols]
    labels = [p.label for p in found]
    for label in labels:
        if labels.count(label) > 1:
            raise BadSetting(f"The config lists {label} twice: each protocol once.")
    return found


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
    model_settings = choose("[model]", config.model, MODELS)
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
        made = Recipe(**{**made.__dict__, "executor": executor})
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


def run_cell(
    config: Config, cell: Cell, folder: Path, report: Report, stop: Stop, *, checkpoint_seconds: float = 10.0
) -> None:
    """Train one cell, from its checkpoint where there is one. Raises `Interrupted` after a clean stop."""
    saved = checkpoint_path(folder, cell)
    state: dict[str, Any] | None = checkpoint.load(saved) if saved.exists() else None
    began = time.monotonic()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # so that bits do not depend on the machine's number of cores
    try:
        training, source = prepare_cell(config, cell, folder, state["executor"] if state else None)
        spent = 0.0
        if state is not None:
            training.restore(state["training"])
            spent, training.executor_reason = state["seconds"], state["reason"]
        _train(training, cell, folder, saved, report, stop, checkpoint_seconds, began, spent)
        _write_outcome(training, source, cell, folder, "finished", None, spent + time.monotonic() - began)
    except Diverged as error:
        _write_outcome(training, source, cell, folder, "failed", str(error), spent + time.monotonic() - began)
    finally:
        torch.set_num_threads(before)
    saved.unlink(missing_ok=True)


def _train(
    training: Training,
    cell: Cell,
    folder: Path,
    saved: Path,
    report: Report,
    stop: Stop,
    checkpoint_seconds: float,
    began: float,
    spent: float,
) -> None:
    last_saved = last_told = time.monotonic()
    while not training.done:
        progress = training.advance()
        now = time.monotonic()
        if now - last_told > 0.1 or training.done:
            report(progress.step)
            last_told = now
        stopping = stop()
        if not training.done and (stopping or now - last_saved >= checkpoint_seconds):
            state = {
                "training": training.state(),
                "executor": training.executor,
                "reason": training.executor_reason,
                "seconds": spent + now - began,
            }
            checkpoint.save(saved, state)
            last_saved = now
        if stopping and not training.done:
            raise Interrupted(f"Stopped {cell.name} after local step {progress.step}; its state is saved.")


def _write_outcome(
    training: Training, source: Source, cell: Cell, folder: Path, status: str, error: str | None, seconds: float
) -> None:
    result = training.result
    if result.aggregate_row is not None and result.rows is not None:
        arrays = {"aggregate": result.aggregate_row, "sites": result.rows}
        names = {"layers": ",".join(result.layout.layers)}
        write_bytes(folder / "models" / f"{cell.name}.safetensors", safetensors.numpy.save(arrays, metadata=names))
    heads = {s.name: s.ledger.head for s in training.federation if s.ledger is not None}
    frame = result.sites()
    write_json(
        outcome_path(folder, cell),
        {
            "protocol": cell.protocol.label,
            "seed": cell.seed,
            "status": status,
            "error": error,
            "seconds": round(seconds, 3),
            "executor": training.executor,
            "executor_reason": training.executor_reason,
            "history": [list(row) for row in result.history],
            "sites": frame.values.tolist(),
            "traffic": training.federation.traffic.frame().values.tolist(),
            "heads": heads,
            "warnings": list(source.schema.warnings),
        },
    )


def data_facts(config: Config) -> dict[str, Any]:
    """What the report says of the data: asked of the sites of the first seed."""
    source = open_source(config.data, config.seeds[0])
    classes = source.schema.classes
    sites = holdings(source)
    tests = sum(site["test_samples"] for site in sites) if source.test is None else len(source.test)
    if tests == 0:
        raise BadData("No site has test samples: set test_fraction in [data] above 0.")
    made = recipe_of(config, source, config.seeds[0])
    parameters = sum(p.numel() for p in made.module.parameters())
    size = sum(p.numel() * p.element_size() for p in made.module.parameters())
    from math import prod

    name = config.data.source if config.data.split is not None else Path(config.data.source).name
    return {
        "data": {
            "source": Path(name).name,
            "task": "regression" if classes is None else "classification",
            "sites": sites,
            "features": prod(source.schema.shape),
            "test": "sites" if source.test is None else "central",
            "test_samples": tests,
            "note": config.data.note,
        },
        "model": {"kind": str(config.model.get("kind")), "parameters": parameters, "bytes": size},
        "warnings": list(source.schema.warnings),
    }


def outcomes(folder: Path, config: Config) -> list[dict[str, Any]]:
    """Finished and failed cells, in the config's order."""
    paths = [outcome_path(folder, cell) for cell in cells_of(config)]
    return [read_json(path) for path in paths if path.exists()]

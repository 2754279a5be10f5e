"""One cell trained to its end or to a clean stop, with checkpoints on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch

from unpooled.errors import BadData, BadSetting, Diverged, Interrupted, Refused, SiteFailed, Unsupported
from unpooled.runs import checkpoint
from unpooled.runs.cells import Cell, checkpoint_path, outcome_path, prepare_cell
from unpooled.runs.config import Config
from unpooled.runs.files import write_bytes, write_json
from unpooled.runs.openers import Opener, journal_path
from unpooled.runs.sources import Source
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.train import Training
from unpooled.training.tuning import trial_values

Report = Callable[[int], None]
"""Called with the local steps done so far."""
Stop = Callable[[], bool]
"""Asked between rounds whether to stop."""
FAILURES = (BadData, BadSetting, Diverged, Refused, SiteFailed, Unsupported)
"""What ends one cell and lets the others go on: it would happen again, whenever the cell is run."""


@dataclass
class _Work:
    """A cell at work: `began` is a monotonic time, `spent` the seconds before the last stop."""

    config: Config
    cell: Cell
    folder: Path
    began: float
    spent: float = 0.0
    training: Training | None = None
    source: Source | None = None

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.began


def run_cell(
    config: Config,
    cell: Cell,
    folder: Path,
    opener: Opener,
    report: Report,
    stop: Stop,
    *,
    checkpoint_seconds: float = 10.0,
) -> None:
    """Train one cell, from its checkpoint where there is one, and write how it ended.

    Raises `Interrupted` after a clean stop, and `BadRecord` for a checkpoint that cannot be used.
    """
    saved = checkpoint_path(folder, cell)
    state: dict[str, Any] | None = checkpoint.load(saved) if saved.exists() else None
    work = _Work(config, cell, folder, time.monotonic())
    with one_thread():
        try:
            work.source = opener.open(config, cell.seed, folder, cell.name)
            training = prepare_cell(config, cell, folder, work.source, state["executor"] if state else None)
            work.training = training
            if state is not None:
                training.restore(state["training"])
                work.spent, training.executor_reason = state["seconds"], state["reason"]
            _train(work, training, saved, report, stop, checkpoint_seconds)
            _write_outcome(work, "finished", None)
        except FAILURES as error:
            _write_outcome(work, "failed", str(error))
        finally:
            if work.source is not None:
                work.source.close()
    for path in (saved, journal_path(folder, cell.name)):
        path.unlink(missing_ok=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, so that bits do not depend on the machine's number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(work: _Work, training: Training, saved: Path, report: Report, stop: Stop, checkpoint_seconds: float) -> None:
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
                "seconds": work.seconds,
            }
            checkpoint.save(saved, state)
            training.saved()
            last_saved = time.monotonic()
        if stopping and not training.done:
            raise Interrupted(f"Stopped {work.cell.name} after local step {progress.step}; its state is saved.")


def _write_outcome(work: _Work, status: str, error: str | None) -> None:
    """Models first, then the file that says that this cell has ended; of a trial only what it came to."""
    cell, training = work.cell, work.training
    if cell.trial is not None:
        _write_trial(work, error)
        return
    found: dict[str, Any] = {"executor": "", "executor_reason": ""}
    found |= {"history": [], "sites": [], "traffic": [], "privacy": [], "absences": []}
    heads: dict[str, str] = {}
    if training is not None:
        result = training.result
        if result.aggregate_row is not None:
            arrays = {"aggregate": result.aggregate_row, **({} if result.rows is None else {"sites": result.rows})}
            names = {"layers": ",".join(result.layout.layers)}
            data = safetensors.numpy.save(arrays, metadata=names)
            write_bytes(work.folder / "models" / f"{cell.name}.safetensors", data)
        if isinstance(training.federation, InProcess):
            heads = {s.name: s.ledger.head for s in training.federation if s.ledger is not None}
        found = {
            "executor": training.executor,
            "executor_reason": training.executor_reason,
            "history": [list(row) for row in result.history],
            "sites": result.sites().values.tolist(),
            "traffic": training.federation.traffic.frame().values.tolist(),
            "privacy": [list(row) for row in training.privacy],
            "absences": [list(row) for row in training.absences],
        }
    write_json(
        outcome_path(work.folder, cell),
        {
            "protocol": cell.protocol.label,
            "seed": cell.seed,
            "status": status,
            "error": error,
            "seconds": round(work.seconds, 3),
            "lr": None if training is None else training.recipe.rate(0),
            "heads": heads,
            "warnings": list(work.source.schema.warnings) if work.source is not None else [],
            **found,
        },
    )


def _write_trial(work: _Work, error: str | None) -> None:
    """What one learning rate came to on the validation rows."""
    cell, training, tune = work.cell, work.training, work.config.tune
    assert tune is not None
    assert cell.trial is not None
    values = {} if training is None or error is not None else trial_values(training.result, cell.protocol)
    write_json(
        outcome_path(work.folder, cell),
        {
            "protocol": cell.protocol.label,
            "seed": cell.seed,
            "lr": tune.lr[cell.trial],
            "values": values,
            "error": error,
            "seconds": round(work.seconds, 3),
        },
    )

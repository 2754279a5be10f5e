"""Run all cells of a config, on one or more processes; stop cleanly; resume where it stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from unpooled.errors import BadRecord, BadSetting, Interrupted
from unpooled.runs import record
from unpooled.runs.cells import Cell, cells_of, outcome_path, run_cell
from unpooled.runs.config import Config
from unpooled.runs.files import read_json, writable
from unpooled.runs.identity import folder_name, identity
from unpooled.runs.lock import locked


@dataclass(frozen=True)
class Tick:
    """Progress: local steps done over all cells of this call, of how many, and what is being trained."""

    done: int
    total: int
    cell: str


Watch = Callable[[Tick], None]


def execute(
    config: Config,
    out: Path,
    *,
    workers: int = 1,
    watch: Watch | None = None,
    checkpoint_seconds: float = 10.0,
    stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Run the config in the folder `out` and return its result. Cells that have ended there are kept.

    Raises `BadRecord` when the folder holds another run, `Interrupted` after a clean stop (Ctrl-C).
    """
    config = frozen(config)
    writable(out)
    with locked(out):
        if (out / "result.json").exists():
            found = read_json(out / "result.json").get("identity")
            if found != identity(config):
                raise BadRecord(f"{out} holds a run with other settings ({found}): choose another folder with --out.")
        else:
            record.begin(out, config)
        return _run(config, out, workers, watch or (lambda tick: None), checkpoint_seconds, stop or (lambda: False))


def resume(folder: Path, **options: Any) -> dict[str, Any]:
    """Continue the run in `folder`; a finished one is left as it is."""
    if not (folder / "config.toml").exists():
        raise BadRecord(f"There is no run in {folder}: `unpooled runs` lists the runs that exist.")
    return execute(record.config_of(folder), folder, **options)


def default_folder(config: Config, root: Path = Path("runs")) -> Path:
    """Where a run goes unless a folder is named."""
    return root / folder_name(config)


def only(config: Config, *, protocol: str | None = None, seed: int | None = None) -> Config:
    """The config cut to one protocol (the first, or the one of that label or kind) and one seed."""
    from unpooled.runs.cells import protocols_of

    labels = [p.label for p in protocols_of(config)]
    kinds = [str(t.get("kind")) for t in config.protocols]
    place = 0
    if protocol is not None:
        if protocol not in labels + kinds:
            raise BadSetting(f"The config has no protocol '{protocol}'; there are {', '.join(labels)}.")
        place = labels.index(protocol) if protocol in labels else kinds.index(protocol)
    chosen = config.seeds[0] if seed is None else seed
    return replace(config, protocols=(config.protocols[place],), seeds=(chosen,))


def frozen(config: Config) -> Config:
    """Refuse what could only fail later: protocols and their settings are built once before any work."""
    cells_of(config)
    return config


def _run(
    config: Config, out: Path, workers: int, watch: Watch, checkpoint_seconds: float, stop: Callable[[], bool]
) -> dict[str, Any]:
    todo = [cell for cell in cells_of(config) if not outcome_path(out, cell).exists()]
    began, before = time.monotonic(), read_json(out / "result.json")["seconds"]
    status = "interrupted"
    try:
        if todo:
            runner = _in_this_process if workers <= 1 or len(todo) == 1 else _in_processes
            runner(config, todo, out, min(workers, len(todo)), watch, checkpoint_seconds, stop)
        status = "finished"
    finally:
        result = record.collect(out, config, status, before + time.monotonic() - began)
    return result


def _in_this_process(
    config: Config,
    todo: list[Cell],
    out: Path,
    workers: int,
    watch: Watch,
    checkpoint_seconds: float,
    stop: Callable[[], bool],
) -> None:
    total, done = len(todo) * config.training.steps, 0
    with _StopOnInterrupt() as interrupted:
        for cell in todo:
            if interrupted() or stop():
                raise Interrupted("Stopped between two cells; all finished work is saved.")

            def report(steps: int, cell: Cell = cell, done: int = done) -> None:
                watch(Tick(done + steps, total, cell.name))

            run_cell(config, cell, out, report, lambda: interrupted() or stop(), checkpoint_seconds=checkpoint_seconds)
            done += config.training.steps
            watch(Tick(done, total, cell.name))


class _StopOnInterrupt:
    """Turns Ctrl-C into a question to ask between rounds; a second Ctrl-C stops at once."""

    def __enter__(self) -> Callable[[], bool]:
        self._asked = False
        try:
            self._before = signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not in the main thread: whoever started the thread handles Ctrl-C
            self._before = None
        return lambda: self._asked

    def _ask(self, number: int, frame: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


_shared: dict[str, Any] = {}


def _start_worker(queue: Queue[tuple[str, int]], stopping: Event, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _shared.update(queue=queue, stopping=stopping, parent=parent)


def _work(config: Config, cell: Cell, out: Path, checkpoint_seconds: float) -> None:
    def stop() -> bool:
        return bool(_shared["stopping"].is_set()) or os.getppid() != _shared["parent"]

    if stop():
        raise Interrupted("Stopped before this cell began.")
    run_cell(
        config,
        cell,
        out,
        lambda steps: _shared["queue"].put((cell.name, steps)),
        stop,
        checkpoint_seconds=checkpoint_seconds,
    )


def _in_processes(
    config: Config,
    todo: list[Cell],
    out: Path,
    workers: int,
    watch: Watch,
    checkpoint_seconds: float,
    stop: Callable[[], bool],
) -> None:
    context = get_context("spawn")
    queue: Queue[tuple[str, int]] = context.Queue()
    stopping = context.Event()
    steps = dict.fromkeys((cell.name for cell in todo), 0)
    total = len(todo) * config.training.steps
    with (
        _StopOnInterrupt() as interrupted,
        ProcessPoolExecutor(workers, context, _start_worker, (queue, stopping, os.getpid())) as pool,
    ):
        futures: dict[Future[None], Cell] = {
            pool.submit(_work, config, cell, out, checkpoint_seconds): cell for cell in todo
        }
        open_futures = set(futures)
        try:
            while open_futures:
                finished, open_futures = wait(open_futures, timeout=0.1)
                for future in finished:
                    steps[futures[future].name] = config.training.steps
                while not queue.empty():
                    name, count = queue.get()
                    steps[name] = max(steps[name], count)
                    watch(Tick(sum(steps.values()), total, name))
                if interrupted() or stop():
                    stopping.set()
        finally:
            stopping.set()
        errors = [future.exception() for future in futures]
        watch(Tick(sum(steps.values()), total, ""))
    real = [e for e in errors if e is not None and not isinstance(e, Interrupted)]
    if real:
        raise real[0]
    if any(errors):
        raise Interrupted("Stopped; all finished work is saved.")

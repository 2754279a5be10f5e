"""unpooled as the benchmarks run it: through `Training`, with the door (policy, traffic counting) and the exchange."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from rivals.workloads import Arrays, Workload
from sklearn.datasets import load_digits

from unpooled.combine import mean
from unpooled.sites.policy import Policy
from unpooled.sites.site import Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.executors import VectorisedExecutor
from unpooled.training.observation import models_of
from unpooled.training.protocols import Protocol
from unpooled.training.recipe import recipe
from unpooled.training.train import Progress, Training, federation_of, run
from unpooled.training.unwritten import combined


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits of scikit-learn, pixels in [0, 1]."""
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target


def training(work: Workload, data: Arrays, protocol: Protocol, rounds: int, executor: str | None = None) -> Training:
    """A run of so many rounds that evaluates once, at its end, on the first site's samples."""
    policy = Policy(allow_raw_data=protocol.simulation_only)
    sites = InProcess([Site(f"s{i}", samples(X, y), policy=policy) for i, (X, y) in enumerate(data)])
    how = recipe(
        work.module(),
        lr=work.lr,
        batch_size=work.batch,
        optimizer=work.optimizer,
        executor=executor or work.executor,
        **work.settings,
    )
    steps = rounds * work.local_steps
    test = samples(data[0][0], data[0][1])
    return Training(federation_of(sites), how, protocol, steps=steps, test=test, evaluate_every=steps)


@dataclass
class Measured:
    """Seconds to the end of round one, ms of a round after it, the models (m, P) and who trained them."""

    first: float
    ms: float
    models: torch.Tensor
    executor: str


def whole_run(work: Workload, data: Arrays, protocol: Protocol, rounds: int) -> Measured:
    """One run as users start it; the last round, which evaluates, is not in the ms a round."""
    stamps: list[float] = []

    def stamp(progress: Progress) -> None:
        stamps.append(time.perf_counter())

    start = time.perf_counter()
    made = training(work, data, protocol, rounds)
    result = run(made, stamp)
    ms = (stamps[-2] - stamps[0]) / (len(stamps) - 2) * 1e3 if len(stamps) > 2 else float("nan")
    assert result.rows is not None
    return Measured(stamps[0] - start, ms, torch.tensor(result.rows), made.executor)


def arithmetic(work: Workload, data: Arrays, rounds: int) -> float:
    """Milliseconds of a round's arithmetic alone: steps of all sites and their mean, without door, channel or traffic.

    No bookkeeping can be quicker than that; going below it needs another way to compute.
    """
    sites = [Site(f"s{i}", samples(X, y)) for i, (X, y) in enumerate(data)]
    how = recipe(work.module(), lr=work.lr, batch_size=work.batch, optimizer=work.optimizer, **work.settings)
    executor, everyone = VectorisedExecutor(how, sites), slice(None)
    stamps, model = [], np.array(executor.rows(everyone)[0])
    for t in range(0, (rounds + 1) * work.local_steps, work.local_steps):
        executor.load(everyone, np.broadcast_to(model, (len(sites), len(model))))
        executor.train(everyone, t, work.local_steps)
        model = combined(mean, executor.rows(everyone), None)
        stamps.append(time.perf_counter())
    return (stamps[-1] - stamps[0]) / rounds * 1e3


def rounds_alone(work: Workload, data: Arrays, protocol: Protocol, rounds: int, executor: str) -> Measured:
    """Rounds without the evaluation that `run` ends with; a round is `work.local_steps` steps at every site.

    Protocols without an exchange would take all steps in one go; here they stop after each round, like the others. The
    first two rounds trace programs: one for sites that start from one model, one for sites with models of their own.
    """
    start = time.perf_counter()
    made = training(work, data, protocol, rounds, executor)
    coordinator, stamps = made.coordinator, []
    coordinator.look_every = work.local_steps
    while not coordinator.done:
        coordinator.local_phase()
        coordinator.exchange_models()
        if coordinator.step % work.local_steps == 0:
            stamps.append(time.perf_counter())
    coordinator.finish()
    ms = (stamps[-1] - stamps[1]) / (len(stamps) - 2) * 1e3
    return Measured(stamps[0] - start, ms, torch.tensor(np.array(models_of(made._trained_on))), made.executor)

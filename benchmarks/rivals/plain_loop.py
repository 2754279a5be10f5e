"""The plain way, written with care: one module and one torch.optim optimizer a site, then averaging."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn import functional

from rivals.workloads import Arrays, Workload

Draw = Callable[[int, int], Tensor]
"""(site, step) to positions of a batch."""


class PlainLoop:
    """All sites of a workload; `rounds` trains them and returns the seconds it took."""

    def __init__(self, work: Workload, data: Arrays, draw: Draw | None = None) -> None:
        self.work, self.step = work, 0
        self.X = [torch.from_numpy(X) for X, _ in data]
        self.y = [torch.from_numpy(y) for _, y in data]
        start = work.module()
        self.models = [deepcopy(start) for _ in data]
        self.parameters = [list(m.parameters()) for m in self.models]
        self.optimizers = [work.new_optimizer(p) for p in self.parameters]
        self.draw: Draw = draw or self._draw

    def _draw(self, site: int, step: int) -> Tensor:
        return torch.randperm(len(self.y[site]))[: self.work.batch]

    def rounds(self, count: int) -> float:
        """Train so many rounds."""
        start = time.perf_counter()
        for _ in range(count):
            for i in range(len(self.models)):
                self._train(i)
            self._average()
            self.step += self.work.local_steps
        return time.perf_counter() - start

    def _train(self, i: int) -> None:
        model, optimizer, X, y = self.models[i], self.optimizers[i], self.X[i], self.y[i]
        for step in range(self.step, self.step + self.work.local_steps):
            if self.work.batch is not None:
                rows = self.draw(i, step)
                X, y = self.X[i][rows], self.y[i][rows]
            optimizer.zero_grad()
            functional.cross_entropy(model(X), y).backward()
            optimizer.step()

    @torch.no_grad()
    def _average(self) -> None:
        for same in zip(*self.parameters, strict=True):
            mean = torch.stack(same).mean(0)
            for p in same:
                p.copy_(mean)
        for optimizer in self.optimizers:
            optimizer.state.clear()

    def model(self) -> Tensor:
        """The averaged model as one flat tensor."""
        return torch.cat([p.detach().reshape(-1) for p in self.parameters[0]])


class TextbookLoop(PlainLoop):
    """The same with the averaging of most tutorials: state dicts are averaged and loaded, key by key."""

    @torch.no_grad()
    def _average(self) -> None:
        states = [model.state_dict() for model in self.models]
        mean = {key: sum(state[key] for state in states) / len(states) for key in states[0]}
        for model in self.models:
            model.load_state_dict(mean)
        for optimizer in self.optimizers:
            optimizer.state.clear()

"""FedLab 1.3 (SMILELab): its standalone mode, all clients in one process, one after the other; see `serve`.

`SGDSerialClientTrainer` and `SyncServerHandler` are its own. A client's data loader is a list of one ready batch, which
is faster than the torch loaders of its examples. Clients step by plain SGD on full batches only.
"""

from __future__ import annotations

import logging
import sys
import time
from types import ModuleType
from typing import Any

import torch

# FedLab imports torchvision for data sets that are not used here, and one built for another torch does not load.
stand_in = ModuleType("torchvision")
stand_in.transforms = ModuleType("torchvision.transforms")  # type: ignore[attr-defined]
sys.modules["torchvision"] = stand_in

from fedlab.contrib.algorithm.basic_client import SGDSerialClientTrainer  # noqa: E402
from fedlab.contrib.algorithm.basic_server import SyncServerHandler  # noqa: E402
from fedlab.contrib.dataset.basic_dataset import FedDataset  # noqa: E402
from fedlab.core.standalone import StandalonePipeline  # noqa: E402

from rivals.serve import between, flat, serve  # noqa: E402
from rivals.workloads import Arrays, Workload  # noqa: E402

logging.disable(logging.INFO)


class Ready(FedDataset):
    """One full batch a client."""

    def __init__(self, data: Arrays) -> None:
        self.batches = [[(torch.from_numpy(X), torch.from_numpy(y))] for X, y in data]

    def get_dataloader(self, id: int, batch_size: int, type: str = "train") -> Any:
        return self.batches[id]


class Timed(StandalonePipeline):
    """FedLab's loop; the place where it evaluates takes the time."""

    def __init__(self, handler: Any, trainer: Any) -> None:
        super().__init__(handler, trainer)
        self.times = [time.perf_counter()]

    def evaluate(self) -> None:
        self.times.append(time.perf_counter())


def train(work: Workload, data: Arrays, rounds: int) -> dict[str, Any]:
    """All clients in every round, plain mean."""
    if work.batch is not None or work.optimizer != "sgd" or work.settings:
        raise ValueError("FedLab's trainer takes plain SGD on full batches here.")
    module = work.module()
    trainer = SGDSerialClientTrainer(module, len(data))
    trainer.setup_dataset(Ready(data))
    trainer.setup_optim(work.local_steps, len(data[0][1]), work.lr)
    handler = SyncServerHandler(module, rounds, 1.0)
    pipeline = Timed(handler, trainer)
    pipeline.main()
    return {"seconds": between(pipeline.times), "model": flat(list(handler.model.parameters()))}


if __name__ == "__main__":
    serve(train)

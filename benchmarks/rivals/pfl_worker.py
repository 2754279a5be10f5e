"""pfl 0.6 (Apple) on a workload, in an environment of its own: reads commands from stdin, answers JSON lines.

pfl needs packaging < 26, which clashes with unpooled's constraints; hence a process of its own. A command is
`{"work": "a", "rounds": 20, "threads": 1}`, the answer `{"seconds": ..., "model": [...]}`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent.parent))

from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Weighted
from pfl.model.pytorch import PyTorchModel

from rivals.workloads import WORKLOADS, Workload


def with_pfl_methods(work: Workload) -> torch.nn.Module:
    """The workload's module with the two methods that pfl calls."""
    module = work.module()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(x), y)

    def metrics(x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
        return {"loss": Weighted(loss(x, y).item() * len(y), len(y))}

    module.loss, module.metrics = loss, metrics  # type: ignore[assignment]
    return module


def train(work: Workload, digits: tuple[np.ndarray, np.ndarray], rounds: int) -> dict[str, Any]:
    """All sites in every round, plain mean; evaluation in round 0 only, where pfl insists on it."""
    data = work.data(*digits)
    users = [Dataset([torch.from_numpy(X), torch.from_numpy(y)], user_id=str(i)) for i, (X, y) in enumerate(data)]
    sampler = get_user_sampler("minimize_reuse", list(range(len(users))))
    federated = FederatedDataset(lambda i: users[i], sampler)
    module = with_pfl_methods(work)
    model = PyTorchModel(
        module,
        lambda parameters, lr: work.new_optimizer(list(parameters)),
        torch.optim.SGD(module.parameters(), lr=1.0),
    )
    epochs = None if work.batch else work.local_steps
    how = NNTrainHyperParams(
        local_batch_size=work.batch,
        local_num_epochs=epochs,
        local_num_steps=None if epochs else work.local_steps,
        local_learning_rate=work.lr,
    )
    # evaluation_frequency also evaluates round 0 twice a user: its share shrinks with `rounds`.
    plan = NNAlgorithmParams(rounds, evaluation_frequency=10**9, train_cohort_size=len(users), val_cohort_size=0)
    start = time.perf_counter()
    FederatedAveraging().run(plan, SimulatedBackend(federated, federated), model, how)
    seconds = time.perf_counter() - start
    flat = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    return {"seconds": seconds, "model": flat.tolist()}


def main() -> None:
    with np.load(sys.argv[1]) as file:
        digits = file["X"], file["y"]
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        torch.set_num_threads(command["threads"])
        print(json.dumps(train(WORKLOADS[command["work"]], digits, command["rounds"])), flush=True)


if __name__ == "__main__":
    main()

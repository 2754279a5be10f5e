"""pfl 0.6 (Apple): `FederatedAveraging` on its `SimulatedBackend`, the way its own benchmarks run; see `serve`.

All sites train in every round; the server averages model differences and takes a step of rate 1. pfl evaluates every
user in round 0 whatever it is told, so that round is not to be counted.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch.nn import functional

from rivals.serve import between, flat, serve
from rivals.workloads import Arrays, Workload


class Stamps(TrainingProcessCallback):
    """When each round ended."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def after_central_iteration(self, aggregate_metrics: Any, model: Any, *, central_iteration: int) -> Any:
        self.times.append(time.perf_counter())
        return False, Metrics()


def with_pfl_methods(work: Workload) -> torch.nn.Module:
    """The workload's module with the two methods that pfl calls."""
    module = work.module()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(x), y)

    def metrics(x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
        return {"loss": Weighted(loss(x, y).item() * len(y), len(y))}

    module.loss, module.metrics = loss, metrics  # type: ignore[assignment]
    return module


def train(work: Workload, data: Arrays, rounds: int) -> dict[str, Any]:
    """All sites in every round, plain mean."""
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
    plan = NNAlgorithmParams(rounds, evaluation_frequency=10**9, train_cohort_size=len(users), val_cohort_size=0)
    stamps = Stamps()
    FederatedAveraging().run(plan, SimulatedBackend(federated, federated), model, how, callbacks=[stamps])
    return {"seconds": between(stamps.times), "model": flat(list(module.parameters()))}


if __name__ == "__main__":
    serve(train)

"""The client of the Flower rival: a module of its own, so that Ray's workers import it instead of unpickling it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from torch.nn import functional

from rivals.workloads import WORKLOADS

app = ClientApp()


@cache
def at_hand(path: str, key: str) -> tuple[Any, list[Any]]:
    """Module and data of a workload, kept by the worker process from one message to the next."""
    work = WORKLOADS[key]
    with np.load(path) as file:
        data = work.data(file["X"], file["y"])
    return work.module(), [(torch.from_numpy(X), torch.from_numpy(y)) for X, y in data]


@app.train()
def train(message: Any, context: Any) -> Any:
    """Continue from the model received: local steps of plain SGD on the full batch."""
    told = message.content["told"]
    torch.set_num_threads(int(told["threads"]))
    work = WORKLOADS[str(told["work"])]
    module, data = at_hand(str(told["data"]), work.key)
    X, y = data[int(context.node_config["partition-id"])]
    parameters = list(module.parameters())
    with torch.no_grad():
        for parameter, value in zip(parameters, message.content["model"].to_numpy_ndarrays(), strict=True):
            parameter.copy_(torch.from_numpy(value.copy()))
    optimizer = work.new_optimizer(parameters)
    for _ in range(work.local_steps):
        optimizer.zero_grad()
        functional.cross_entropy(module(X), y).backward()
        optimizer.step()
    arrays = ArrayRecord([p.detach().numpy() for p in parameters])
    return Message(RecordDict({"model": arrays}), reply_to=message)

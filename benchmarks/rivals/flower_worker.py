"""Flower 1.41: its simulation engine (Ray, one actor a core) with 100 nodes; see `serve`.

The server app sends all messages at once and looks for replies every 5 ms, which is faster than Flower's own
`send_and_receive`. Ray starts once, before the first command; workers keep module and data between messages.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from rivals.flower_client import app as client_app
from rivals.serve import between, serve
from rivals.workloads import Arrays, Workload

NODES = 100
POLL_S = 0.005
server_app = ServerApp()


def one_round(grid: Any, model: list[np.ndarray], told: Any, number: int) -> list[np.ndarray]:
    """The mean of what all nodes answer."""
    content = RecordDict({"model": ArrayRecord(model), "told": told})
    messages = [Message(content, node, "train", group_id=str(number)) for node in sorted(grid.get_node_ids())]
    waiting, total, count = set(grid.push_messages(messages)), [np.zeros(p.shape) for p in model], len(messages)
    while waiting:
        replies = list(grid.pull_messages(waiting))
        for reply in replies:
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
            waiting.discard(reply.metadata.reply_to_message_id)
            for part, value in zip(total, reply.content["model"].to_numpy_ndarrays(), strict=True):
                part += value
        if waiting and not replies:
            time.sleep(POLL_S)
    return [(part / count).astype(np.float32) for part in total]


@server_app.main()
def main(grid: Any, context: Any) -> None:
    """Wait for the nodes, then serve."""
    while len(list(grid.get_node_ids())) < NODES:
        time.sleep(0.1)

    def train(work: Workload, data: Arrays, rounds: int) -> dict[str, Any]:
        import torch

        if len(data) != NODES or work.batch is not None:
            raise ValueError(f"The Flower rival takes {NODES} sites and full batches.")
        told = ConfigRecord({"work": work.key, "data": sys.argv[1], "threads": torch.get_num_threads()})
        model = [p.detach().numpy() for p in work.module().parameters()]
        times = [time.perf_counter()]
        for number in range(rounds):
            model = one_round(grid, model, told, number)
            times.append(time.perf_counter())
        return {"seconds": between(times), "model": np.concatenate([p.reshape(-1) for p in model]).tolist()}

    serve(train)


if __name__ == "__main__":
    run_simulation(
        server_app=server_app,
        client_app=client_app,
        num_supernodes=NODES,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )

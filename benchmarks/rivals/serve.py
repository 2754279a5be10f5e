"""What every rival's process does: read the digits, then answer commands from stdin by JSON lines on stdout.

A command is `{"work": "a", "rounds": 20, "threads": 1}`. The answer is `{"seconds": [...], "model": [...]}`: seconds of
each round, and the averaged model as one flat list.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from rivals.workloads import WORKLOADS, Arrays, Workload

Train = Callable[[Workload, Arrays, int], dict[str, Any]]
"""(workload, its data, rounds) to the answer."""


def serve(train: Train) -> None:
    """Answer commands until stdin ends. What libraries print goes to stderr, so that stdout holds answers alone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with np.load(sys.argv[1]) as file:
        digits = file["X"], file["y"]
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        torch.set_num_threads(command["threads"])
        work = WORKLOADS[command["work"]]
        print(json.dumps(train(work, work.data(*digits), command["rounds"])), file=answers, flush=True)


def between(times: list[float]) -> list[float]:
    """Seconds from each point in time to the next."""
    return [later - earlier for earlier, later in pairwise(times)]


def flat(parameters: list[torch.Tensor]) -> list[float]:
    """Parameters as one list, in the module's order."""
    numbers: list[float] = torch.cat([p.detach().reshape(-1) for p in parameters]).tolist()
    return numbers

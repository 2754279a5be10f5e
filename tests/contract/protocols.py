"""The one list of protocols: whatever holds for every protocol is tested over it, and a newcomer is one line."""

from __future__ import annotations

from unpooled.training.protocols import (
    AverageAtEnd,
    DaisyChain,
    DynamicAveraging,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedBN,
    FedDC,
    FedMR,
    FedPer,
    FedProx,
    FedYogi,
    Local,
    MiniBatch,
    PartialAvg,
    Pooled,
    Protocol,
    RotatingAvg,
    Scaffold,
)

PROTOCOLS: dict[str, Protocol] = {
    "feddc": FedDC(1, 10),
    "feddc-slow": FedDC(2, 5),
    "feddc-coprime-fraction": FedDC(3, 4, fraction=0.5),
    "feddc-median": FedDC(1, 3, combine="coordinate_median"),
    "fedavg-each-step": FedAvg(1),
    "fedavg": FedAvg(3),
    "fedavg-fraction": FedAvg(4, fraction=0.4),
    "fedavg-weighted": FedAvg(3, weighted_by_samples=True),
    "fedprox": FedProx(3),
    "feddc-prox": FedDC(1, 3, proximal=0.3),
    "dynamic": DynamicAveraging(0.003, 2),
    "dynamic-doubling": DynamicAveraging(0.003, augmentation="doubling"),
    "dynamic-hedged": DynamicAveraging(0.003, 3, augmentation="hedged", schedule="inverse_sqrt"),
    "dynamic-full": DynamicAveraging(0.003, augmentation="full"),
    "dynamic-weighted": DynamicAveraging(0.003, weighted_by_samples=True),
    "daisy-chain": DaisyChain(1),
    "daisy-chain-slow": DaisyChain(2),
    "feddc-circle-seen": FedDC(1, 4, hops="cyclic", weighted_by_seen=True, server_lr=0.7),
    "fedavgm": FedAvgM(3, momentum=0.5),
    "fedadagrad": FedAdagrad(3, weighted_by_samples=True),
    "fedadam-daisy": FedAdam(4, daisy_period=1),
    "fedyogi-fraction": FedYogi(3, fraction=0.5),
    "fedmr": FedMR(1, 4),
    "partial": PartialAvg(3, ("0", "2.bias"), daisy_period=1),
    "rotating": RotatingAvg(2),
    "fedper": FedPer(3),
    "fedbn": FedBN(3),
    "scaffold": Scaffold(3),
    "scaffold-fraction": Scaffold(2, server_rate=0.8, fraction=0.5),
    "mini-batch": MiniBatch(),
    "average-at-end": AverageAtEnd(),
    "local": Local(),
    "pooled": Pooled(),
}

SYMMETRIC = (
    "fedavg-each-step",
    "fedavg",
    "fedavg-weighted",
    "fedprox",
    "fedavgm",
    "fedadagrad",
    "rotating",
    "fedper",
    "fedbn",
    "scaffold",
    "mini-batch",
    "average-at-end",
    "local",
    "pooled",
)
"""Those that treat sites alike whatever their order: neither drawn sites nor drawn permutations."""

DRAWING = (
    "feddc",
    "feddc-slow",
    "feddc-coprime-fraction",
    "fedavg-fraction",
    "feddc-prox",
    "scaffold-fraction",
    "fedadam-daisy",
    "fedmr",
    "partial",
    "daisy-chain",
)
"""Those that draw sites or permutations."""

WAYS_OF_MOVING = (
    "feddc",
    "feddc-coprime-fraction",
    "feddc-circle-seen",
    "fedavg",
    "dynamic",
    "fedadam-daisy",
    "fedmr",
    "partial",
    "rotating",
    "daisy-chain",
    "local",
)
"""One of each way in which rows, or parts of them, come to other sites: for what depends on nothing else."""


def optimizer_for(name: str) -> str:
    """Adam, whose state shows where it went, or plain descent where a protocol allows nothing else."""
    return "sgd" if PROTOCOLS[name].plain_descent_only else "adam"

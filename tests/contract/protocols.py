"""The one list of protocols: whatever holds for every protocol is tested over it, and a newcomer is one line."""

from __future__ import annotations

from unpooled.training.protocols import DaisyChain, DynamicAveraging, FedAvg, FedDC, FedProx, Local, Pooled, Protocol

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
    "local": Local(),
    "pooled": Pooled(),
}

SYMMETRIC = ("fedavg-each-step", "fedavg", "fedavg-weighted", "fedprox", "local", "pooled")
"""Those that treat sites alike whatever their order: neither drawn sites nor drawn permutations."""

DRAWING = ("feddc", "feddc-slow", "feddc-coprime-fraction", "fedavg-fraction", "feddc-prox", "daisy-chain")
"""Those that draw sites or permutations."""

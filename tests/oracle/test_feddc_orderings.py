"""What Kamp, Fischer and Vreeken (ICLR 2023) and its appendix claim of FedDC, as orderings at the size of two cores.

Radon points on breast cancer: standardised, PCA to 3 numbers, whitened, 216 sites with one patient each, logistic
regression, SGD 0.05, 500 steps, 5 seeds. Digits: 50 sites, MLP 64-64-10, SGD 0.1, full local batches, 3 seeds. Gaps are
asked for at half of what a separate simulation in NumPy had given; seeds are fixed and were not chosen.
`python -m tests.oracle.test_feddc_orderings` prints the numbers.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import nn

from tests.contract.programs import quick
from tests.oracle.test_digits import SITES, model, pool
from unpooled.seeds import Streams
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.protocols import FedAvg, FedDC, Protocol
from unpooled.training.recipe import recipe
from unpooled.training.train import Training, initialised, run

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")


# --- Radon points on breast cancer -----------------------------------------------------------------------------------


@functools.cache
def patients(seed: int) -> tuple[list[Site], Samples]:
    X, y = load_breast_cancer(return_X_y=True)
    order = Streams(seed).generator("breast cancer").permutation(len(X))
    train, test = order[:216], order[216:]
    scale = StandardScaler().fit(X[train])
    pca = PCA(3, whiten=True).fit(scale.transform(X[train]))
    X = pca.transform(scale.transform(X)).astype(np.float32)
    members = [Site(f"p{i:03}", samples(X[[i]], y[[i]])) for i in train]
    return members, samples(X[test], y[test])


@functools.cache
def with_radon(protocol: Protocol) -> float:
    """Accuracy of the aggregate, mean over 5 seeds."""
    found = []
    for seed in range(5):
        members, test = patients(seed)
        start = initialised(lambda: nn.Linear(3, 1), Streams(seed).torch_seed("model"))
        how = recipe(start, loss="binary_cross_entropy", lr=0.05, seed=seed, executor="vectorised")
        training = Training(InProcess.of(members), how, protocol, steps=500, test=test, evaluate_every=500)
        found.append(run(training).final())
    return float(np.mean(found))


def test_daisy_chaining_makes_radon_points_work_where_they_fail_alone() -> None:
    """Measured before: .946 with daisy-chaining, .851 (b=50) and .846 (b=1) without; the corollary of the paper."""
    chained = with_radon(FedDC(1, 50, combine="radon"))
    assert chained - with_radon(FedAvg(50, combine="radon")) >= 0.05
    assert chained - with_radon(FedAvg(1, combine="radon")) >= 0.05


# --- digits ----------------------------------------------------------------------------------------------------------


def parts(seed: int, zipf: bool) -> tuple[InProcess, Samples]:
    """60/40 split; 5 digits a site, or sizes that fall as 1/k with mean 5."""
    X, y = pool()
    order = Streams(seed).generator("digits", 5).permutation(len(X))
    train, test = order[: int(0.6 * len(X))], order[int(0.6 * len(X)) :]
    sizes = np.full(SITES, 5)
    if zipf:
        share = 1 / np.arange(1, SITES + 1)
        sizes = np.maximum(1, np.round(5 * SITES * share / share.sum()).astype(int))
    ends = np.cumsum(sizes)
    members = [
        Site(f"s{i:02}", samples(X[train[e - n : e]], y[train[e - n : e]]))
        for i, (n, e) in enumerate(zip(sizes, ends, strict=True))
    ]
    return InProcess.of(members), samples(X[test], y[test])


@functools.cache
def digits(protocol: Protocol, steps: int = 400, zipf: bool = False) -> float:
    found = []
    for seed in range(3):
        members, test = parts(seed, zipf)
        start = initialised(model, Streams(seed).torch_seed("model"))
        how = recipe(start, lr=0.1, seed=seed, executor="vectorised")
        found.append(run(Training(members, how, protocol, steps=steps, test=test, evaluate_every=steps)).final())
    return float(np.mean(found))


@pytest.mark.slow
def test_hopping_more_rarely_helps_less() -> None:
    """Measured before, d = 1, 2, 5 and none, with b = 10: .938, .932, .921, .909."""
    never = digits(FedAvg(10), 500)
    gains = [digits(FedDC(d, 10), 500) - never for d in (1, 2, 5)]
    assert gains[0] >= 0.0145
    assert gains[1] >= 0.0115
    assert gains[2] >= 0.006
    assert gains[0] - gains[2] >= 0.0085


@pytest.mark.slow
@pytest.mark.parametrize(("fraction", "gap"), [(0.1, 0.0085), (0.2, 0.0165), (0.5, 0.017)])
def test_the_gain_survives_subsampling(fraction: float, gap: float) -> None:
    """Measured before: .914, .930, .935 against .897, .897, .901."""
    assert digits(FedDC(1, 10, fraction=fraction)) - digits(FedAvg(10, fraction=fraction)) >= gap


@pytest.mark.slow
def test_under_size_skew_weights_help_averaging_as_much_as_chaining_does() -> None:
    """Measured before: FedDC .903, FedAvg .871 and with weights by size .912."""
    plain = digits(FedAvg(10), zipf=True)
    assert digits(FedDC(1, 10), zipf=True) - plain >= 0.016
    assert digits(FedAvg(10, weighted_by_samples=True), zipf=True) - plain >= 0.02


def _report() -> None:
    for protocol in (
        FedDC(1, 50, combine="radon"),
        FedAvg(50, combine="radon"),
        FedAvg(1, combine="radon"),
        FedAvg(50),
    ):
        print(f"breast cancer {protocol.label:32} {with_radon(protocol):.3f}")
    for d in (1, 2, 5):
        print(f"larger d      {FedDC(d, 10).label:32} {digits(FedDC(d, 10), 500):.3f}")
    print(f"larger d      {FedAvg(10).label:32} {digits(FedAvg(10), 500):.3f}")
    for fraction in (0.1, 0.2, 0.5):
        for protocol in (FedDC(1, 10, fraction=fraction), FedAvg(10, fraction=fraction)):
            print(f"subsampling   {protocol.label:32} {digits(protocol):.3f}")
    for protocol in (FedDC(1, 10), FedAvg(10), FedAvg(10, weighted_by_samples=True)):
        print(f"Zipf sizes    {protocol.label:32} {digits(protocol, zipf=True):.3f}")


if __name__ == "__main__":
    _report()

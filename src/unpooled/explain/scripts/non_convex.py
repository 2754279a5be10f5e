# %% [markdown]
# # Averaging on a surface with several valleys
#
# Four models that are all good can have a mean that is worse than each of them. Whether it is depends on the surface of
# the loss between them: in one bowl the mean is never worse than the models are on average, across a hill it can be.

# %%
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize

import unpooled as up
from unpooled.combine import mean
from unpooled.explain import Drawing, Frames, Numbers
from unpooled.figures.looks import LOOKS
from unpooled.figures.style import INK, MUTED, is_narrow, new_figure
from unpooled.seeds import Streams

Array = NDArray[np.float64]
STEPS = 4000  # of gradient descent, for each network


def hills(point: Array) -> Array:
    """A loss with a hill in the middle and a valley in each quadrant; `point` is (2, ...)."""
    x, y = point
    return np.asarray(0.25 * ((x**2 - 1) ** 2 + (y**2 - 1) ** 2) + np.exp(-2 * (x**2 + y**2)) - 0.15 * x + 0.1 * y)


def height(point: Array) -> float:
    return float(hills(point))


def bowl(point: Array) -> Array:
    x, y = point
    return np.asarray(0.3 * (x**2 + y**2) - 0.15 * x + 0.1 * y)


# %% [markdown]
# ## Four valleys, one hill
#
# Four models stand at the bottom of a valley each. Move them towards their mean, on the surface with hills and in a
# convex bowl. In the bowl the loss of the mean cannot exceed the mean of the losses (Jensen's inequality); on the hills
# it can, and here the mean of the four is worse than every one of them.

# %%
CORNERS = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
minima = np.array([minimize(height, np.array(corner)).x for corner in CORNERS])
centre = mean(minima)
WAYS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
axis = np.linspace(-1.7, 1.7, 60)
across = np.array(np.meshgrid(axis, axis))
MARKS = [look.marker for look in LOOKS[:4]]


def moved(way: float) -> Array:
    return np.asarray(minima + way * (centre - minima))


def both_surfaces(width: float, way: float) -> Figure:
    narrow = is_narrow(width)
    figure = new_figure(width, 6.6 if narrow else 4.2)
    axes = figure.subplots(2 if narrow else 1, 1 if narrow else 2, squeeze=False).ravel()
    for ax, surface, title in zip(axes, (hills, bowl), ("Hills", "Bowl"), strict=True):
        ax.contour(axis, axis, surface(across), levels=12, colors=[MUTED], linewidths=0.7)
        for start, now, marker, look in zip(minima, moved(way), MARKS, LOOKS, strict=False):
            ax.plot(*zip(start, now, strict=True), color=look.light, lw=1)
            ax.plot(*now, marker=marker, color=look.light, ms=8)
        ax.plot(*centre, marker="x", color=INK, ms=9, mew=2)
        ax.set(title=title, xlabel="first weight", ylabel="second weight", aspect="equal")
        ax.grid(False)
    return figure


def tell_way(way: float) -> str:
    on_hills, in_bowl = (", ".join(f"{v:.2f}" for v in surface(moved(way).T)) for surface in (hills, bowl))
    return f"Losses on the hills {on_hills}; in the bowl {in_bowl}."


def per_cent(share: float) -> str:
    return f"{100 * share:.0f} %"


Frames("Four models on their way to their mean (cross)", "way to the mean", WAYS, both_surfaces, tell_way, per_cent)

# %%
Numbers(
    "The four minima, and their mean.",
    pd.DataFrame(
        [(f"valley {k + 1}", f"{p[0]:.2f}", f"{p[1]:.2f}", f"{hills(p):.3f}") for k, p in enumerate(minima)]
        + [("their mean", f"{centre[0]:.3f}", f"{centre[1]:.3f}", f"{hills(centre):.2f}")],
        columns=["point", "first weight", "second weight", "loss"],
    ),
)

# %% [markdown]
# ## Real networks
#
# Four sites with 300 points each, and a network of twelve hidden units that shall tell quadrants apart: points with
# `x₁ x₂ > 0` from the others. No site talks to another while it trains. Then the weights are averaged: once after the
# sites began at four different random starts, once after all began at the same.


# %%
def quadrants(count: int, *name: str | int) -> tuple[Array, NDArray[np.int64]]:
    X = Streams(0).generator("quadrants", *name).uniform(-1, 1, (count, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(2, 12), torch.nn.Tanh(), torch.nn.Linear(12, 1))


NODES = ("berlin", "paris", "rome", "oslo")
data = {node: quadrants(300, node) for node in NODES}
test = quadrants(4000, "test")


def trained(sites: dict[str, tuple[Array, NDArray[np.int64]]], seed: int, protocol: up.Local | up.FedAvg) -> up.Trained:
    return up.train(
        network,
        sites,
        protocol,
        steps=STEPS,
        lr=0.5,
        seed=seed,
        test=test,
        loss="binary_cross_entropy",
        evaluate_every=STEPS,
    )


def flat(state: dict[str, torch.Tensor]) -> Array:
    return np.concatenate([value.numpy().ravel() for value in state.values()]).astype(np.float64)


def judge(row: Array) -> tuple[float, float]:
    """Accuracy and loss on the test points of the network with these weights."""
    module = network()
    torch.nn.utils.vector_to_parameters(torch.tensor(row, dtype=torch.float32), module.parameters())
    with torch.no_grad():
        score = module(torch.tensor(test[0], dtype=torch.float32)).ravel()
        wanted = torch.tensor(test[1], dtype=torch.float32)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(score, wanted)
    return float(((score > 0) == (wanted > 0)).float().mean()), float(loss)


apart = np.array([flat(trained({node: data[node]}, k, up.Local()).models[node]) for k, node in enumerate(NODES)])
together = trained(data, 0, up.Local())
common = np.array([flat(together.models[node]) for node in NODES])
often = trained(data, 0, up.FedAvg(20))
averaged_often = flat(often.models[NODES[0]])

# %%
outcomes = {
    "four starts": ([judge(row) for row in apart], judge(mean(apart))),
    "one start": ([judge(row) for row in common], judge(mean(common))),
}
rows = [
    (
        name,
        f"{min(a for a, _ in own):.3f} to {max(a for a, _ in own):.3f}",
        f"{m[0]:.3f}",
        f"{np.mean([x for _, x in own]):.3f}",
        f"{m[1]:.3f}",
    )
    for name, (own, m) in outcomes.items()
]
often_accuracy, often_loss = judge(averaged_often)
rows.append(
    (
        "one start, averaged every 20 steps",
        "the same model",
        f"{often_accuracy:.3f}",
        "the same model",
        f"{often_loss:.3f}",
    )
)
Numbers(
    f"Test accuracy and log loss (nats) after {STEPS} steps of gradient descent.",
    pd.DataFrame(
        rows, columns=["sites began at", "accuracy of the four", "of their mean", "loss of the four", "of their mean "]
    ),
)

# %% [markdown]
# With one start the sites stay in one valley, more or less, and their mean is useful. With four starts the same
# function sits in differently ordered hidden units, and the mean mixes units that have nothing to do with one another.
# This is why federated, periodic and dynamic averaging begin at a **common start and average regularly**: models that
# are averaged every few steps never get far apart.
#
# ## From each network to the mean

# %%
steps_between = np.linspace(0, 1, 21)
ways = {
    name: np.array([[judge(row + t * (mean(group) - row))[1] for t in steps_between] for row in group])
    for name, group in {"four starts": apart, "one start": common}.items()
}


def between(width: float) -> Figure:
    figure = new_figure(width, 3.4)
    ax = figure.subplots()
    for (name, losses), look in zip(ways.items(), (LOOKS[1], LOOKS[0]), strict=True):
        ax.plot(steps_between, losses.T, color=look.light, ls="--" if name == "four starts" else "-", lw=1.2)
        ax.plot([], [], color=look.light, ls="--" if name == "four starts" else "-", label=name)
    ax.set(xlabel="way from a network (0) to the mean of all four (1)", ylabel="test loss")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


Drawing(
    "Loss on the way to the mean",
    "Each line leads from one trained network to the mean of the four; from four starts it climbs a hill.",
    between,
)

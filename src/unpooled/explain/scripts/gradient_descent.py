# %% [markdown]
# # Gradient descent, and why large batches hurt
#
# A step of gradient descent may look at one example, at a few, or at all. On one pass over the data a small batch takes
# many noisy steps, a large one few exact ones. Distributed mini-batches (Dekel et al., JMLR 2012) spread the batch over
# sites: the result is that of one machine, and so is the price of a large batch.

# %%
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import unpooled as up
from unpooled.explain import Frames, Numbers
from unpooled.figures.looks import LOOKS
from unpooled.figures.style import log_axis, new_figure
from unpooled.seeds import Streams

Array = NDArray[np.float64]
EXAMPLES = 4096
BATCHES = (1, 8, 32, 128, 512, 2048)
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FIXED = 0.1
rng = Streams(0).generator("gradient descent")
scales = np.logspace(0, -1.5, 10)  # features of very different size
hidden = rng.normal(size=10) / scales
X = rng.normal(size=(EXAMPLES, 10)) * scales
y = np.where(X @ hidden + rng.normal(size=EXAMPLES) > 0, 1.0, -1.0)
source = up.TableStream(X, y, name="one pass", scale="none")

# %% [markdown]
# ## Paths of descent
#
# Two weights, 256 examples, squared loss: the rings are points of equal loss. Each path takes the same sixty steps at
# the same rate from the same start. With all examples it goes down into the valley and along it; with one it staggers,
# and never stops.

# %%
STEPS, RATE = 60, 0.3
plane = rng.normal(size=(256, 2)) * (0.4, 1.0)
goal = np.array([1.0, -1.0])
heights = plane @ goal + 0.5 * rng.normal(size=256)
valley = np.linalg.lstsq(plane, heights, rcond=None)[0]  # the least of the empirical risk


def path(batch: int) -> Array:
    order = Streams(0).generator("order of the examples", batch)
    w = np.array([-2.0, 2.0])
    points = [w]
    for _ in range(STEPS):
        rows = order.permutation(256)[:batch]
        w = w - RATE * 2 * plane[rows].T @ (plane[rows] @ w - heights[rows]) / batch
        points.append(w)
    return np.array(points)


paths = {batch: path(batch) for batch in (1, 8, 256)}


def on_the_surface(width: float, batch: int) -> Figure:
    figure = new_figure(width, 3.6)
    ax = figure.subplots()
    sides = np.linspace(-3, 3, 60), np.linspace(-3, 3, 60)
    grid = np.stack(np.meshgrid(*sides), axis=-1) @ plane.T - heights
    ax.contour(*sides, (grid**2).mean(-1), levels=np.geomspace(0.3, 12, 12), colors=LOOKS[5].light, linewidths=0.6)
    ax.plot(*paths[batch].T, color=LOOKS[0].light, marker=LOOKS[0].marker, markersize=3, lw=1)
    ax.plot(*valley, ls="", color=LOOKS[1].light, marker="*", markersize=11)
    ax.set(xlabel="first weight", ylabel="second weight", xlim=(-3, 3), ylim=(-3, 3))
    return figure


def distance(batch: int) -> float:
    """Root mean square distance from the valley over the last twenty steps."""
    return float(np.sqrt(((paths[batch][-20:] - valley) ** 2).sum(1).mean()))


Frames(
    "A path of sixty steps; the star is the least loss",
    "batch size",
    tuple(paths),
    on_the_surface,
    lambda batch: f"In the last twenty steps {distance(batch):.2f} from the star.",
)

# %% [markdown]
# ## Risk, and empirical risk
#
# Descent lowers the loss on the examples at hand. What counts is the loss on all that could come. Here it is known: for
# independent features of variance 1 and noise of variance 1 it is |w - w*|^2 + 1. Choose how many examples there are.

# %%
FEATURES, DESCENT = 20, 400
SIZES = (16, 32, 128, 1024)
truth = 2 * rng.normal(size=FEATURES) / np.sqrt(FEATURES)


def risks(count: int) -> Array:
    """Empirical risk and risk after each step, (2, steps + 1), mean over twenty data sets."""
    both = np.zeros((2, DESCENT + 1))
    for again in range(20):
        draw = Streams(again).generator("examples at hand", count)
        rows = draw.normal(size=(count, FEATURES))
        seen = rows @ truth + draw.normal(size=count)
        w = np.zeros(FEATURES)
        for step in range(DESCENT + 1):
            wrong = rows @ w - seen
            both[:, step] += np.array([(wrong**2).mean(), ((w - truth) ** 2).sum() + 1]) / 20
            w = w - 0.1 * rows.T @ wrong / count
    return both


curves = {count: risks(count) for count in SIZES}


def two_risks(width: float, count: int) -> Figure:
    figure = new_figure(width, 3.2)
    ax = figure.subplots()
    for number, (name, curve) in enumerate(zip(("empirical risk", "risk"), curves[count], strict=True)):
        ax.plot(np.arange(DESCENT + 1) + 1, curve, color=LOOKS[number].light, ls=LOOKS[number].dash, label=name)
    ax.axhline(1, color=LOOKS[5].light, lw=0.8)
    log_axis(ax, "x")
    ax.set(xlabel="steps, from 1", ylabel="squared loss", ylim=(0, 5))
    ax.legend()
    return figure


Frames(
    "Both risks while descending; the line is the noise, below which no risk can fall",
    "examples",
    SIZES,
    two_risks,
    lambda count: f"Lowest risk {curves[count][1].min():.2f} after {curves[count][1].argmin()} steps.",
)

# %%
Numbers(
    "At the step of the lowest risk, and at the end.",
    pd.DataFrame(
        [(str(n), int(r.argmin()), float(r.min()), float(r[-1]), float(e[-1])) for n, (e, r) in curves.items()],
        columns=["examples", "best step", "lowest risk", "risk at the end", "empirical risk at the end"],
    ),
)

# %% [markdown]
# With few examples the empirical risk goes on falling while the risk has long turned: stopping early helps, and more
# examples help more. This is what sites gain from each other, and why they learn together at all.
#
# ## One pass over the data
#
# Every example is predicted before it is learned from, so its loss is honest. Choose a batch size: the picture shows
# the loss per example for each learning rate.


# %%
def one_pass(batch: int, rate: float) -> float:
    run = up.stream(source, up.LogisticSGD(rate), up.Local(), learners=1, rounds=EXAMPLES // batch, batch=batch)
    return run.loss / run.examples


losses = {batch: [one_pass(batch, rate) for rate in RATES] for batch in BATCHES}


def by_rate(width: float, batch: int) -> Figure:
    figure = new_figure(width, 3.2)
    ax = figure.subplots()
    ax.plot(RATES, losses[batch], color=LOOKS[0].light, marker=LOOKS[0].marker)
    log_axis(ax, "x")
    ax.set(xlabel="learning rate (mean loss)", ylabel="loss per example", ylim=(0, 1.2))
    return figure


def tell(batch: int) -> str:
    best = int(np.argmin(losses[batch]))
    return f"{EXAMPLES // batch} steps. Best at rate {RATES[best]:g}: {losses[batch][best]:.3f} per example."


Frames("Loss per example against the learning rate", "batch size", BATCHES, by_rate, tell)

# %%
table = [(b, RATES[int(np.argmin(v))], min(v), v[RATES.index(FIXED)]) for b, v in losses.items()]
Numbers(
    "The best rate for each batch size, and one rate for all.",
    pd.DataFrame(
        [(str(b), f"{rate:g}", best, fixed) for b, rate, best, fixed in table],
        columns=["batch", "best rate", "loss per example", f"with rate {FIXED:g}"],
    ),
)

# %% [markdown]
# A larger batch bears a larger rate, up to a point. Beyond it, it only means fewer steps on the same data.
#
# ## Distributed, the same model
#
# Four sites that share gradients after each step, and one learner with all examples: the weights agree.


# %%
def model() -> torch.nn.Module:
    return torch.nn.Linear(10, 2).double()


labels = (y > 0).astype(np.int64)
parts = {f"site {k}": (X[k:256:4], labels[k:256:4]) for k in range(4)}
one = {"all": (X[:256], labels[:256])}


def weights(sites: dict[str, tuple[Array, NDArray[np.int64]]], protocol: up.MiniBatch | up.Local) -> Array:
    run = up.train(model, sites, protocol, steps=30, lr=0.5, test=(X[256:512], labels[256:512]), executor="reference")
    return np.concatenate([value.numpy().ravel() for value in next(iter(run.models.values())).values()])


gap = float(np.abs(weights(parts, up.MiniBatch()) - weights(one, up.Local())).max())
print(f"Largest difference of a weight after 30 steps: {gap:.1e}")

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

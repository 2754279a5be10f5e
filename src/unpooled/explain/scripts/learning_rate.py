# %% [markdown]
# # The learning rate of an average
#
# Sites that begin at one model, take one step each and average, have together taken one step on all their examples.
# With which learning rate? Kamp et al. (ECML PKDD 2018, Proposition 3): with losses **summed** over a batch it is the
# rate divided by the number of sites, m. With **mean** losses, which most frameworks use, the rate stays.

# %%
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import unpooled as up
from unpooled.explain import Frames, Numbers
from unpooled.figures.looks import LOOKS
from unpooled.figures.style import new_figure
from unpooled.seeds import Streams

Array = NDArray[np.float64]
Data = tuple[Array, NDArray[np.int64]]
STEPS = 60
RATE, BATCH, FEATURES = 0.01, 4, 5
COUNTS = (1, 2, 4, 8, 16, 32)


def draw(count: int, name: str) -> Data:
    rng = Streams(0).generator("learning rate", name)
    X = rng.normal(size=(count, FEATURES))
    return X, (X.sum(axis=1) + rng.normal(size=count) > 0).astype(np.int64)


def model() -> torch.nn.Module:
    return torch.nn.Linear(FEATURES, 1).double()


def summed(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(
        output.ravel(), target.to(output.dtype), reduction="sum"
    )


def averaged(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(output.ravel(), target.to(output.dtype))


LOSSES = {"sum": summed, "mean": averaged}
many = {f"site {k}": draw(BATCH, f"site {k}") for k in range(max(COUNTS))}
test = draw(2000, "test")


def first(m: int) -> dict[str, Data]:
    return dict(list(many.items())[:m])


def union(m: int) -> dict[str, Data]:
    X, y = zip(*first(m).values(), strict=True)
    return {"all": (np.concatenate(X), np.concatenate(y))}


def train(sites: dict[str, Data], protocol: up.FedAvg | up.Local, loss: str, rate: float, steps: int) -> up.Trained:
    return up.train(
        model,
        sites,
        protocol,
        steps=steps,
        lr=rate,
        loss=LOSSES[loss],
        test=test,
        evaluate_every=1,
        executor="reference",
    )


def weights(run: up.Trained) -> Array:
    state = next(iter(run.models.values()))
    return np.concatenate([value.numpy().ravel() for value in state.values()])


# %% [markdown]
# ## The identity, checked
#
# Eight sites that average after every step, beside one learner that has all their examples.

# %%
M = 8
rows = []
for loss in LOSSES:
    together = weights(train(first(M), up.FedAvg(1), loss, RATE, 10))
    for told, rate in ((f"rate / {M}", RATE / M), ("the same rate", RATE)):
        gap = float(np.abs(together - weights(train(union(M), up.Local(), loss, rate, 10))).max())
        rows.append((f"{loss} over a batch", told, f"{gap:.1e}", "yes" if gap < 1e-12 else "no"))
Numbers(
    "Largest difference of a weight after ten steps.",
    pd.DataFrame(rows, columns=["loss", "the one learner uses", "difference", "the same model"]),
)

# %% [markdown]
# ## What it means
#
# With summed losses a federation of m sites moves like one learner with all examples and an m-th of the rate: more
# sites make it no faster. `up.suggest_lr` gives the rate that makes up for it. Move the slider.

# %%
curves: dict[int, dict[str, Array]] = {}
for m in COUNTS:
    rate = up.suggest_lr(RATE, sites=m, loss="sum")
    plans = {"rate as for one site": RATE, "m times the rate": rate}
    curves[m] = {}
    for name, chosen in plans.items():
        frame = train(first(m), up.FedAvg(1), "sum", chosen, STEPS).frame()
        own = frame[(frame["model"] == "aggregate") & (frame["metric"] == "loss")]
        curves[m][name] = own["value"].to_numpy() / len(test[1])


def slowed(width: float, m: int) -> Figure:
    figure = new_figure(width, 3.2)
    ax = figure.subplots()
    for (name, values), look in zip(curves[m].items(), LOOKS, strict=False):
        ax.plot(
            range(1, STEPS + 1), values, color=look.light, marker=look.marker, markevery=max(STEPS // 8, 1), label=name
        )
    ax.set(xlabel="step", ylabel="test loss", ylim=(0.2, 1.1))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def tell(m: int) -> str:
    ends = ", ".join(f"{name} {values[-1]:.3f}" for name, values in curves[m].items())
    return f"Test loss after {STEPS} steps: {ends}."


Frames("Summed losses, averaged after every step", "sites m", COUNTS, slowed, tell, start=len(COUNTS) - 1)

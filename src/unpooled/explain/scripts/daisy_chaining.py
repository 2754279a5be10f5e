# %% [markdown]
# # Daisy-chaining: models that travel while data stay at home
#
# Many hospitals, a handful of patients each. A model that is trained at one of them learns these few by heart.
# Averaging such models does not help much: an average of bad models is often a bad model. Daisy-chaining does something
# else. Before models are averaged, each one travels. It learns at one hospital for a step, moves on to another, learns
# there, and so on. No patient moves, and yet each model sees many of them.

# %%
from math import ceil

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import unpooled as up
from unpooled.combine import Array
from unpooled.explain import Animation, Drawing, Frames, Numbers
from unpooled.figures import style
from unpooled.figures.looks import LOOKS, RESERVED
from unpooled.seeds import Streams
from unpooled.training.coverage import events_to_cover, events_to_cover_bound, expected_distinct, published_steps
from unpooled.training.exchange import Facts
from unpooled.training.operators.hops import Hop, cyclic, permute

RUNS = 200  # repetitions of a chain, for the shares below
STEPS = 300  # of training, in the last part
HOSPITALS = 12
HOPS = 14

# %% [markdown]
# ## Twelve hospitals
#
# Each circle is a hospital and holds one model at any time. After each step the models change places by a random
# permutation: nobody is left without a model, and no model is lost. (A model may stay where it is, that happens once in
# twelve.) Follow the model with the dark ring. A hospital turns blue once that model has learned there.


# %%
def travels(hop: Hop, hospitals: int, hops: int, seed: int) -> Array:
    """Where each model is: shape (hops + 1, models), with the library's own permutations."""
    names = tuple(f"h{i}" for i in range(hospitals))
    ones = np.ones(hospitals, dtype=np.int64)
    streams = Streams(seed)
    facts = Facts(names, ones, {"model": slice(0, 1)}, ("model",), hops, streams)
    at = np.arange(hospitals)  # which model is at each hospital
    places = [np.argsort(at)]
    for t in range(hops):
        at = at[hop.order(t, streams.generator("exchange", t), facts)]
        places.append(np.argsort(at))
    return np.array(places)


def distinct(places: Array) -> Array:
    """How many hospitals each model has seen after each number of hops, the one that it started at included."""
    hops, models = len(places), places.shape[1]
    seen, counts = np.zeros((models, models), dtype=bool), np.zeros((hops, models), dtype=int)
    for t, place in enumerate(places):
        seen[np.arange(models), place] = True
        counts[t] = seen.sum(axis=1)
    return counts


journey = travels(permute(), HOSPITALS, HOPS, seed=0)
counted = distinct(journey)
angle = np.pi / 2 - 2 * np.pi * np.arange(HOSPITALS) / HOSPITALS
where = np.stack([np.cos(angle), np.sin(angle)], axis=1)


def scene(width: float, hop: int) -> Figure:
    """The hospitals with their models, and how many data sets the models have seen."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 7.2 if narrow else 4.4)
    ring, count = figure.subplots(*((2, 1) if narrow else (1, 2)))
    own = journey[: hop + 1, 0]
    for place, xy in enumerate(where):
        known = place in own
        ring.plot(*xy, "o", ms=27, mfc=LOOKS[0].light if known else style.PAPER, mec=style.MUTED, alpha=0.9)
        model = int(np.flatnonzero(journey[hop] == place)[0])
        ring.annotate(str(model + 1), xy, ha="center", va="center", color=style.PAPER if known else style.INK)
    ring.plot(*where[own[-1]], "o", ms=32, mfc="none", mec=style.INK, mew=2.2)
    if hop and own[-1] != own[-2]:
        way = {"arrowstyle": "->", "color": style.INK, "shrinkA": 15, "shrinkB": 17}
        ring.annotate("", where[own[-1]], where[own[-2]], arrowprops=way)
    ring.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", title="model 1, and where it has been")
    ring.set_axis_off()
    steps = range(HOPS + 1)
    count.plot(steps, [expected_distinct(HOSPITALS, e) for e in steps], color=style.INK, ls="--", label="formula")
    done = steps[: hop + 1]
    count.plot(done, counted[: hop + 1].mean(axis=1), color=LOOKS[1].light, marker="s", label="mean of all 12 models")
    count.plot(done, counted[: hop + 1, 0], color=LOOKS[0].light, marker="o", ls="", label="model 1")
    count.set(xlim=(-0.5, HOPS + 0.5), ylim=(0, 12.5), xlabel="hops", ylabel="hospitals seen")
    count.legend(loc="lower right")
    return figure


def told(hop: int) -> str:
    """Where the first model is and what it has seen."""
    here = "It stays where it is." if hop and journey[hop, 0] == journey[hop - 1, 0] else "It moves on."
    start = "Every model starts at home." if hop == 0 else here
    return f"{start} It has seen {counted[hop, 0]} of {HOSPITALS} hospitals; the mean model {counted[hop].mean():.1f}."


Animation("Models hop between hospitals", "Hop", tuple(range(HOPS + 1)), scene, told, seconds=1.0)

# %% [markdown]
# ## How many data sets does a model see?
#
# After e hops a model has been at e + 1 places, each drawn at random among m. It misses a given hospital each time with
# probability 1 − 1/m, so the mean number of distinct hospitals is
#
# m (1 − (1 − 1/m)^(e+1)).
#
# Fifty hospitals, many repetitions: the bars are what we counted, the dashed line is the formula.

# %%
MANY = 50
MOMENTS = (0, 2, 5, 10, 15, 24, 37, 50)
simulated = np.array([distinct(travels(permute(), MANY, max(MOMENTS), s))[list(MOMENTS)] for s in range(RUNS)])


def histogram(width: float, hops: int) -> Figure:
    """Shares of models by the number of distinct hospitals they have seen."""
    figure = style.new_figure(width, 3.4)
    ax = figure.subplots()
    found = simulated[:, MOMENTS.index(hops)]
    shares = np.bincount(found.ravel(), minlength=MANY + 1) / found.size
    ax.bar(np.arange(MANY + 1), 100 * shares, color=LOOKS[0].light)
    ax.axvline(expected_distinct(MANY, hops), color=style.INK, ls="--")
    ax.set(xlim=(0, MANY), ylim=(0, 102), xlabel=f"distinct hospitals of {MANY}", ylabel="models, in %")
    return figure


def read(hops: int) -> str:
    """Counted beside the formula."""
    found = simulated[:, MOMENTS.index(hops)]
    return f"Counted {found.mean():.2f}, formula {expected_distinct(MANY, hops):.2f}. The unluckiest saw {found.min()}."


Frames("How many hospitals a model has seen", "Hops", MOMENTS, histogram, read, start=3)

# %% [markdown]
# ## For all models, not only on average
#
# Say a model is fit to be averaged once it has seen k data sets. How long must the chain be? The paper gives a number
# of steps, d m δ^(−1/m) (H_m − H_(m−k)), d steps a hop, H the harmonic numbers. It is, but for a factor next to one,
# the mean time until **one** model has seen k. That **all** models have takes longer. `unpooled.training.coverage` has
# both; below, we also count.

# %%
DELTA = 0.05
CASES = ((25, 5), (25, 13), (50, 10), (50, 25))


def share(hospitals: int, k: int, hops: int) -> float:
    """The share of runs in which all models have seen k hospitals after so many hops."""
    runs = [distinct(travels(permute(), hospitals, hops, seed))[-1].min() >= k for seed in range(RUNS)]
    return float(np.mean(runs))


covered = []
for m, k in CASES:
    published, exact = published_steps(m, k, DELTA), events_to_cover(m, k, DELTA)
    covered.append((m, k, published, share(m, k, ceil(published)), exact, share(m, k, exact)))
Numbers(
    f"Hops until all models have seen k data sets, and the share of {RUNS} runs in which they had (wanted: 95 %)",
    pd.DataFrame(
        [
            (f"{m} sites, k = {k}", f"{old:.1f}", f"{had:.0%}", str(new), f"{has:.0%}")
            for m, k, old, had, new, has in covered
        ],
        columns=["", "published", "runs", "exact", "runs "],
    ),
)

# %% [markdown]
# The reason is luck: with fifty travellers, one is always unlucky. If luck is the trouble, do without. Let every model
# go round in a circle, each to the next: then k − 1 hops show every model k data sets, for certain.

# %%
circle = distinct(travels(cyclic(1), MANY, 24, seed=0))[-1]
wandering = simulated[:, MOMENTS.index(24)]
print(f"24 hops in a circle: {circle.min()} to {circle.max()} seen")
print(f"24 random hops: {wandering.min()} to {wandering.max()} seen")
print(f"for k = 25, {events_to_cover_bound(MANY, 25, DELTA)} random hops are enough")

# %% [markdown]
# ## Does it help?
#
# Images of digits, fifty sites with **two** images each. FedDC(1, 10) hops after every step and averages after every
# tenth. FedAvg(10) averages just as often and never hops. FedAvg(1) averages after every step, and moves as many bytes
# as FedDC.

# %%
X, y = load_digits(return_X_y=True)
train, test = up.train_test(X, y, test_fraction=0.4, seed=0)
sites = up.split(X[train] / 16, y[train], sites=50, samples=2, seed=0)


def model() -> torch.nn.Module:
    """A small network: 64 pixels, 64 hidden units, 10 digits."""
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


METHODS = {
    "FedDC(1, 10)": (up.FedDC(1, 10), LOOKS[0]),
    "FedAvg(10)": (up.FedAvg(10), LOOKS[1]),
    "FedAvg(1)": (up.FedAvg(1), LOOKS[2]),
    "each alone": (up.Local(), RESERVED["local"]),
}
runs = {
    name: up.train(model, sites, protocol, steps=STEPS, lr=0.1, seed=0, test=(X[test] / 16, y[test])).frame()
    for name, (protocol, _) in METHODS.items()
}


def curve(name: str, which: str) -> pd.DataFrame:
    """Steps and accuracies of a run: of the `aggregate`, or of `local_mean`."""
    frame = runs[name]
    return frame[(frame["model"] == which) & (frame["metric"] == "accuracy")]


def learning(width: float) -> Figure:
    """Accuracy of the models at the sites while training goes on."""
    figure = style.new_figure(width, 3.8)
    ax = figure.subplots()
    for name, (_, look) in METHODS.items():
        found = curve(name, "local_mean")
        ax.plot(found["step"], 100 * found["value"], color=look.light, marker=look.marker, ms=3, label=name)
    ax.set(xlabel="local steps", ylabel="accuracy, mean of the sites, in %", ylim=(0, 100))
    figure.legend(loc="outside upper left", ncols=2 if style.is_narrow(width) else 4)
    return figure


Drawing(
    "Accuracy on new images while training goes on",
    "Models that hop are good at any time. Those that only learn at home gain at each average, and lose it again.",
    learning,
)

# %%
last = {
    name: tuple(float(curve(name, which)["value"].iloc[-1]) for which in ("local_mean", "aggregate"))
    for name in METHODS
}
Numbers(
    f"Accuracy on new images after {STEPS} steps, one seed",
    pd.DataFrame(
        [
            (name, f"{local:.1%}", f"{whole:.1%}", f"{runs[name]['bytes'].iloc[-1] / 1e6:.0f}")
            for name, (local, whole) in last.items()
        ],
        columns=["method", "models at the sites", "their average", "MB moved"],
    ),
)

# %% [markdown]
# **How to read it.** At the same number of averagings, hopping is what makes such tiny sites work. FedAvg(1) is as
# good: with full local batches it is the same as training on all images together, and it moves as much as FedDC. So
# daisy-chaining is for those who average rarely, or whose combiner needs models that have seen enough, such as the
# Radon point. For a hop nobody in the middle has to read a model: it can be sealed for the next site
# (`sealed_hops=True`).
#
# And its price: a hospital receives a model that was just trained at another one, not a mixture of many. What that
# may tell about patients is in `docs/privacy.md`.
#
# Source: Kamp, Fischer, Vreeken, "Federated Learning from Small Datasets", ICLR 2023. `up.plan` plans periods.

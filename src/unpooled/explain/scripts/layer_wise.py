# %% [markdown]
# # Layer by layer: where averaging breaks a network
#
# Take two trained networks and average their weights. Often the result is useless, although both were good: on the
# straight way between them the loss rises to a **barrier**. Adilova and others (ICLR 2024) looked closer. Average only
# **one layer** and leave the rest as it is in one of the networks: usually there is hardly a barrier. So the layers are
# fine one by one, and not together. How can that be? The smallest example has two numbers.

# %%
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import unpooled as up
from unpooled.combine import Array
from unpooled.connectivity import connect
from unpooled.connectivity.minimal import Minimal
from unpooled.connectivity.pairs import PairSettings, train_pair
from unpooled.explain import Drawing, Frames, Numbers
from unpooled.figures import style
from unpooled.figures.looks import LOOKS
from unpooled.training.models import MLP

RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
EPOCHS = 30  # of training, for the two real networks
SIDE = 13  # lines of each surface

# %% [markdown]
# ## A network of two numbers
#
# One input, one output, two layers of one weight each, and nothing in between: the network multiplies its input by w₁
# and then by w₂. For input 1 and target 1 its squared loss is
#
# L(w₁, w₂) = (w₁w₂ − 1)².
#
# All perfect networks lie on the curve w₁w₂ = 1. Take two of them: A = (1, 1) and B = (r, 1/r). They compute the same.
# B has moved weight from the second layer to the first; nothing in the data says which of them to prefer. Now mix them,
# a share α of B, in three ways: both layers, only the first, only the second.

# %%
CUTS = {
    "both layers": (Minimal.full, LOOKS[0]),
    "first layer only": (Minimal.first, LOOKS[1]),
    "second layer only": (Minimal.second, LOOKS[2]),
}
alphas = np.linspace(0, 1, 41)


def way(r: float, name: str) -> Array:
    """The straight line of a cut in the plane of (w1, w2), shape (41, 2)."""
    first = 1 + alphas * (r - 1) * (name != "second layer only")
    second = 1 + alphas * (1 / r - 1) * (name != "first layer only")
    return np.stack([first, second], axis=1)


def cuts(width: float, r: float) -> Figure:
    """The landscape with its three cuts, and the loss along each."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 7.4 if narrow else 4.2)
    land, loss = figure.subplots(*((2, 1) if narrow else (1, 2)))
    w1, w2 = np.meshgrid(np.linspace(0.1, 10.5, 60), np.linspace(0.02, 1.3, 60))
    land.contour(w1, w2, (w1 * w2 - 1) ** 2, levels=[0.1, 0.5, 2, 8, 32], colors=style.GRID, linewidths=1)
    valley = np.linspace(1 / 1.3, 10.5, 80)
    land.plot(valley, 1 / valley, color=style.MUTED, ls=":")
    for name, (along, look) in CUTS.items():
        land.plot(*way(r, name).T, color=look.light, lw=2.4)
        values = [along(Minimal(r), float(a)) for a in alphas]
        loss.plot(alphas, values, color=look.light, marker=look.marker, markevery=10, label=name)
    for letter, point in (("A", (1, 1)), ("B", (r, 1 / r))):
        land.plot(*point, "o", color=style.INK, ms=6)
        land.annotate(letter, point, (5, 5), textcoords="offset points", weight="bold")
    land.set(xlim=(0, 10.5), ylim=(0, 1.3), xlabel="w₁", ylabel="w₂", title="dotted: loss 0")
    loss.set(xlim=(0, 1), ylim=(0, 4.2), xlabel="α, share of B", ylabel="loss", title="loss on the way")
    figure.legend(*loss.get_legend_handles_labels(), loc="outside upper left", ncols=1 if narrow else 3)
    return figure


def halves(r: float) -> tuple[float, float, float]:
    """The losses half-way: both layers, the first, the second."""
    found = Minimal(r)
    return found.full(0.5), found.first(0.5), found.second(0.5)


def told(r: float) -> str:
    """The three numbers half-way, and which is larger."""
    full, first, second = halves(r)
    order = "below" if second < full - 1e-9 else "above" if second > full + 1e-9 else "equal to"
    return f"Half-way: both {full:.3g}, first {first:.3g}, second {second:.3g}. The second layer is {order} both."


Frames("Three ways from A to B", "r", RATIOS, cuts, told, name="{:g}".format, start=4)

# %% [markdown]
# Look at r = 5. Mixing both layers climbs a hill of 0.64. Mixing the second layer alone costs a quarter of that, 0.16.
# And mixing the first alone costs 4: much **more** than both. So one layer can be averaged and the other cannot, and
# neither number tells you the barrier of the whole.
#
# Why is the first so touchy? Its partner decides. A small change of w₁ moves the product by w₂ times as much, and in A
# the partner w₂ is the large one. Along one layer the network is linear, so the loss is a plain parabola, and its
# steepness is the square of the other layer.
#
# ## The same in three surfaces
#
# Everything is known in closed form:
#
# - both layers: (α(1−α)(r + 1/r − 2))², highest in the middle: ((r−1)²/4r)²
# - first layer: (α(r−1))², only rising: at α = 1 it is a hybrid that never was trained
# - second layer: (α(1 − 1/r))², never above 1, whatever r is
#
# Over α and r they are three surfaces. The first is a ridge with a valley on either side: both ends are good networks.
# The other two end on a slope, for their last network is B's layer in A's body.


# %%
def surfaces(width: float) -> Figure:
    """Loss over the share of B and the ratio, for each cut; heights on one scale, cut off at 4."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 8.4 if narrow else 3.6)
    share, ratio = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(1.01, 7, SIDE))
    for place, (name, (along, look)) in enumerate(CUTS.items(), 1):
        ax = figure.add_subplot(*((3, 1) if narrow else (1, 3)), place, projection="3d")
        pairs = zip(share.ravel(), ratio.ravel(), strict=True)
        height = np.array([along(Minimal(float(r)), float(a)) for a, r in pairs]).reshape(share.shape)
        ax.plot_surface(share, ratio, np.minimum(height, 4), color=look.light, alpha=0.55, shade=False, lw=0.3)
        ax.set(xlabel="α", ylabel="r", zlim=(0, 4), title=name, xticks=[0, 0.5, 1], yticks=[1, 3, 5, 7])
        ax.set_zticks([0, 2, 4])
        ax.view_init(elev=22, azim=-60)
    return figure


Drawing(
    "Loss over the share of B (α) and the ratio r, cut off at 4",
    "Mixing both layers gives a ridge, mixing the first a steep slope, mixing the second a gentle one.",
    surfaces,
)

# %% [markdown]
# ## The library measures the same
#
# `unpooled.connectivity.connect` takes any two models, here these two networks as torch modules. A barrier is the loss
# half-way minus the mean of both full models, and for a single layer it says whose body the layer was put into.

# %%
one = torch.ones(1, 1, dtype=torch.float64)


def measured(r: float) -> tuple[float, float, float]:
    """The same three numbers from `connect`, with A as the default model."""
    found = connect(*Minimal(r).models(), (one, one), metrics=["mse"], points=3)
    return found.barrier(), found.barrier("first"), found.barrier("second")


table = {r: (halves(r), measured(r)) for r in RATIOS}
Numbers(
    "Half-way: the formulas, and the largest difference to what connect measures",
    pd.DataFrame(
        [
            (f"{r:g}", *(f"{value:.4f}" for value in wanted), f"{np.abs(np.subtract(wanted, found)).max():.0e}")
            for r, (wanted, found) in table.items()
        ],
        columns=["r", "both", "first", "second", "apart"],
    ),
)

# %% [markdown]
# ## Two real networks
#
# Networks with four hidden layers learn to read digits, from different starts. We average all layers, and each alone.

# %%
X, y = load_digits(return_X_y=True)
train, test = up.train_test(X, y, test_fraction=1 / 3, seed=0)
X_train, y_train = torch.tensor(X[train] / 16, dtype=torch.float32), torch.tensor(y[train])
pair = train_pair(
    lambda: MLP((64, 64, 64, 64)).build((64,), 10),
    X_train,
    y_train,
    PairSettings(epochs=EPOCHS, lr=0.02, same_init=False),
)
connected = connect(pair.a, pair.b, (torch.tensor(X[test] / 16, dtype=torch.float32), torch.tensor(y[test])), points=3)
layers = list(connected.layers["layer"][:-1])
whole = connected.barrier(metric="error")
alone = {
    layer: [connected.barrier(layer, default=default, metric="error") for default in ("a", "b")] for layer in layers
}


def bars(width: float) -> Figure:
    """Barrier of the whole network and of each layer, from both default models."""
    figure = style.new_figure(width, 3.6)
    ax = figure.subplots()
    ax.bar(0, whole, color=LOOKS[0].light, width=0.6)
    for k, (default, look) in enumerate((("a", LOOKS[1]), ("b", LOOKS[2]))):
        places = np.arange(1, len(layers) + 1) + 0.36 * (k - 0.5)
        ax.bar(
            places, [alone[layer][k] for layer in layers], color=look.light, width=0.32, label=f"in {default.upper()}"
        )
    ax.axhline(0, color=style.MUTED, lw=0.8)
    ax.set_xticks(range(len(layers) + 1), ["all", *(str(k) for k in range(1, len(layers) + 1))])
    ax.set(xlabel="layers averaged", ylabel="barrier, points of error")
    ax.legend(loc="upper right")
    return figure


Drawing(
    "Barrier of the whole network, and of each layer alone",
    f"All layers together: {whole:.0f} points. The worst single layer: {max(map(max, alone.values())):.0f} points.",
    bars,
)

# %% [markdown]
# The whole breaks; each layer alone does far less harm, here the first and the last more than those between. But be
# careful with the sum: of five layers, one moves the network less than all five do. If barriers just added up, each
# would have a fifth. The library has that comparison (`null_model`: 1 if they add up), and many others.

# %%
print(f"null model: {connected.null_model('error'):.2f}")

# %% [markdown]
# **What to take home.** A barrier belongs to a way, not to a pair of networks. Which layers can be shared is a question
# one has to measure: `unpooled connect A B --data DATA` does, and `up.PartialAvg` averages the layers that you choose.
#
# Sources: Adilova, Andriushchenko, Kamp, Fischer, Jaggi, "Layer-wise Linear Mode Connectivity", ICLR 2024, Figure 4 for
# the idea of the example; the coordinates and all numbers here are our own.

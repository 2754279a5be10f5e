# %% [markdown]
# # The kernel trick, and what it costs to distribute it
#
# A linear model draws straight lines. Much of the world is not straight. The kernel trick lets a linear model bend
# without any new theory: it computes in a space of many dimensions and never goes there. We take it in six steps. The
# last one asks what happens when the data lie at many sites.

# %%
import warnings
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import SVC, LinearSVC

import unpooled as up
from unpooled.combine import Array
from unpooled.explain import Drawing, Frames, Numbers
from unpooled.figures import style
from unpooled.figures.looks import LOOKS
from unpooled.parallel import MachineWarning
from unpooled.seeds import Streams
from unpooled.training.streams.kernel import Expansion, Gaussian
from unpooled.training.streams.kernel.expansion import mean, name_of

ALONG, FIRST = -90, 0  # degrees: along the plane, and the view shown at first
ANGLES = (-90, -75, -60, -45, -30, -15, 0)
SEEDS = 3  # random waves are drawn so often in step 6
GRID = 80  # points along each side of a picture in step 5
streams = Streams(0)

# %% [markdown]
# ## 1. A ring around a disc
#
# Two hundred points. The inner ones are less than 0.5 away from the middle, the outer ones between 0.8 and 1.2.
# Wherever one draws a straight line, both kinds are on both sides of it.


# %%
def rings(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Points (count, 2) and labels -1 (inside) and 1 (the ring)."""
    y = np.repeat([-1, 1], count // 2)
    radius = np.where(y < 0, 0.5 * np.sqrt(rng.uniform(size=count)), rng.uniform(0.8, 1.2, count))
    angle = rng.uniform(0, 2 * np.pi, count)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), y


X, y = rings(200, streams.generator("rings"))
X_new, y_new = rings(2000, streams.generator("new rings"))
line = LinearSVC().fit(X, y)
print(f"a line: {line.score(X_new, y_new):.0%} of new points right")

# %% [markdown]
# ## 2. Give the line more room
#
# Replace a point (x₁, x₂) by three numbers: φ(x) = (x₁², √2 x₁x₂, x₂²). The first and the last add up to the squared
# distance from the middle. So in the new space the disc lies low, the ring lies high, and a flat plane goes between
# them. Turn the picture until you look along the plane.


# %%
def phi(X: Array) -> Array:
    """All products of two coordinates, shape (n, 3)."""
    return np.stack([X[:, 0] ** 2, np.sqrt(2) * X[:, 0] * X[:, 1], X[:, 1] ** 2], axis=1)


plane = LinearSVC(C=100).fit(phi(X), y)
print(f"a plane: {plane.score(phi(X_new), y_new):.0%} of new points right")


# %%
def dots(ax: Any, X: Array, y: Array) -> None:
    """Both kinds of points, told apart by colour and shape."""
    for label, look in ((-1, LOOKS[0]), (1, LOOKS[1])):
        ax.scatter(*X[y == label].T, color=look.light, marker=look.marker, s=12)


def turned(width: float, angle: int) -> Figure:
    """The points as they are, and mapped, with the plane between them, seen from `angle` degrees."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 6.6 if narrow else 4.4)
    shape = (2, 1) if narrow else (1, 2)
    flat = figure.add_subplot(*shape, 1)
    dots(flat, X, y)
    flat.set(xlabel="x₁", ylabel="x₂", aspect="equal", title="as they are")
    ax = figure.add_subplot(*shape, 2, projection="3d", computed_zorder=False)
    a, b = np.meshgrid([0, 1.4], [-1, 1])
    w, shift = plane.coef_[0], plane.intercept_[0]
    ax.plot_surface(a, b, -(shift + w[0] * a + w[1] * b) / w[2], color=LOOKS[4].light, alpha=0.35)
    dots(ax, phi(X), y)
    ax.set(xlabel="x₁²", ylabel="√2 x₁x₂", xlim=(0, 1.4), ylim=(-1, 1), zlim=(0, 1.4), title="mapped, height x₂²")
    ax.set(xticklabels=[], yticklabels=[], zticklabels=[])
    ax.view_init(elev=6, azim=angle)
    return figure


def seen(angle: int) -> str:
    """What there is to see from there."""
    along = "You look along the plane: all blue dots lie on one side of it, all orange squares on the other."
    return along if angle == ALONG else "The plane is tilted. Keep turning until it becomes a line."


place = ANGLES.index(FIRST)
Frames("The disc (blue) and the ring (orange)", "Seen from", ANGLES, turned, seen, name="{}°".format, start=place)

# %% [markdown]
# ## 3. Never go there
#
# A linear method only ever needs inner products. For this map they can be had without the map:
#
# φ(x)·φ(z) = x₁²z₁² + 2 x₁x₂z₁z₂ + x₂²z₂² = (x·z)²
#
# On the left one computes three new numbers for each point, on the right an ordinary inner product and its square.
# Such a function k(x, z) = φ(x)·φ(z) is called a kernel.

# %%
x, z = streams.generator("pairs").normal(size=(2, 1000, 2))
gap = np.abs((phi(x) * phi(z)).sum(axis=1) - (x * z).sum(axis=1) ** 2).max()
print(f"1000 random pairs differ by {gap:.0e}")

# %% [markdown]
# The saving grows fast. Products of q out of p inputs are C(p+q−1, q) numbers; the kernel takes p multiplications and
# one power, whatever q is.

# %%
counts = {(p, q): comb(p + q - 1, q) for p in (2, 10, 100, 784) for q in (2, 3, 5)}
Numbers(
    "How long φ(x) is, and what one kernel value takes",
    pd.DataFrame(
        [(f"{p} inputs, degree {q}", f"{count:,}", f"{p:,}") for (p, q), count in counts.items()],
        columns=["space", "numbers in φ(x)", "multiplications for k(x, z)"],
    ),
)

# %% [markdown]
# ## 4. The same model, told in two ways
#
# Ridge regression finds weights w of the features. Every such w is a sum of the training points: w = Σ αᵢ φ(xᵢ). So we
# may look for α instead, one number a point:
#
# - primal: w = (Φᵀ Φ + λ I)⁻¹ Φᵀ y, as many unknowns as features, predictions φ(x)·w
# - dual: α = (K + λ I)⁻¹ y with K = Φ Φᵀ, as many unknowns as points, predictions Σ αᵢ k(xᵢ, x)
#
# The second form contains kernel values only. Both predict the same.


# %%
def square(X: Array, Z: Array) -> Array:
    """The kernel of phi, shape (n, q)."""
    return np.asarray((X @ Z.T) ** 2)


penalty = 0.1
primal = np.linalg.solve(phi(X).T @ phi(X) + penalty * np.eye(3), phi(X).T @ y)
dual = np.linalg.solve(square(X, X) + penalty * np.eye(len(X)), y)
difference = np.abs(phi(X_new) @ primal - square(X_new, X) @ dual).max()
print(f"{len(primal)} weights or {len(dual)} coefficients")
print(f"predictions differ by {difference:.0e}")

# %% [markdown]
# Rosenblatt's perceptron shows it even more plainly. After a mistake at xᵢ it adds yᵢφ(xᵢ) to w. Or it adds one to a
# counter that belongs to xᵢ.

# %%
w, counter = np.zeros(3), np.zeros(len(X))
for _ in range(20):
    for i in streams.generator("order").permutation(len(X)):
        mistake = y[i] * (phi(X[i : i + 1])[0] @ w) <= 0
        in_dual = y[i] * (square(X[i : i + 1], X)[0] @ (counter * y)) <= 0
        assert mistake == in_dual
        if mistake:
            w += y[i] * phi(X[i : i + 1])[0]
            counter[i] += 1
print(f"both made the same {counter.sum():.0f} mistakes")

# %% [markdown]
# ## 5. Infinitely many features, and one knob
#
# The Gaussian kernel k(x, z) = exp(−γ|x−z|²) belongs to a map with infinitely many features. Nobody could write φ(x)
# down, and nobody has to. The knob γ says how far a training point reaches. Turn it: with a large γ each point only
# speaks for itself and the model memorises; with a tiny γ the kernel is all but linear, and so is the boundary.

# %%
GAMMAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


def wave(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Points above and below a wave, 10 % of the labels turned around."""
    X = rng.uniform(-1, 1, (count, 2))
    y = np.where(X[:, 1] > 0.5 * np.sin(4 * X[:, 0]), 1, -1)
    return X, np.where(rng.uniform(size=count) < 0.1, -y, y)


X_few, y_few = wave(150, streams.generator("wave"))
X_many, y_many = wave(4000, streams.generator("new wave"))


def machine(gamma: float) -> SVC:
    """A support vector machine; the penalty follows γ so that small γ becomes the linear machine with C = 1."""
    return SVC(kernel=Gaussian(gamma), C=1 + 1 / (2 * gamma)).fit(X_few, y_few)


machines = {gamma: machine(gamma) for gamma in GAMMAS}
scores = {gamma: (found.score(X_few, y_few), found.score(X_many, y_many)) for gamma, found in machines.items()}
straight = SVC(kernel="linear", C=1).fit(X_few, y_few)
print("the linear machine")
print(f"training {straight.score(X_few, y_few):.0%}, new points {straight.score(X_many, y_many):.0%}")


# %%
def widths(width: float, gamma: float) -> Figure:
    """Where the machine says +1, with the points it was fitted to; and how good it is beside the others."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 7 if narrow else 4.2)
    left, right = figure.subplots(*((2, 1) if narrow else (1, 2)))
    side = np.linspace(-1, 1, GRID)
    a, b = np.meshgrid(side, side)
    value = machines[gamma].decision_function(np.stack([a.ravel(), b.ravel()], axis=1)).reshape(a.shape)
    left.contourf(a, b, np.sign(value), levels=[-2, 0, 2], colors=[LOOKS[0].light, LOOKS[1].light], alpha=0.25)
    dots(left, X_few, y_few)
    left.plot(side, 0.5 * np.sin(4 * side), color=style.INK, ls="--", lw=1)
    left.set(xlabel="x₁", ylabel="x₂", xlim=(-1, 1), ylim=(-1, 1), aspect="equal", title=f"γ = {gamma:g}")
    for place, (name, look) in enumerate((("training", LOOKS[2]), ("new points", LOOKS[3]))):
        values = [100 * scores[g][place] for g in GAMMAS]
        right.semilogx(GAMMAS, values, color=look.light, marker=look.marker, label=name)
    right.xaxis.set_major_formatter(FuncFormatter(lambda g, _: f"{g:g}"))
    right.axvline(gamma, color=style.INK, lw=1)
    right.set(xlabel="γ", ylabel="right, in %", ylim=(50, 102), title="right answers")
    right.legend(loc="lower left")
    return figure


def told(gamma: float) -> str:
    """The score in words."""
    training, new = scores[gamma]
    reading = "This is all but the straight line. " if gamma < 0.05 else "It memorises. " if training > 0.96 else ""
    return f"{reading}Right on its own points: {training:.0%}, on new ones: {new:.0%}."


Frames("Support vector machines with Gaussian kernels", "γ", GAMMAS, widths, told, name="{:g}".format, start=3)

# %% [markdown]
# The dashed wave is the truth. One label in ten is wrong, so 90 % is all that anybody can get on new points.
#
# ## 6. Many sites
#
# Now the points lie at ten hospitals, each fits its own kernel model, and we average them. A linear model is a row of
# numbers, and the average is as long as each. A kernel model is a list of points with coefficients, and
#
# (1/m) Σ f⁽ʲ⁾ = the **union** of all lists, with coefficients divided by m.
#
# It is exact. But it is as large as all models together, and it carries patients' rows across the doors.

# %%
SITES, ROWS, GAMMA = 10, 100, 10.0
kernel = Gaussian(GAMMA)
X_all, y_all = wave(SITES * ROWS, streams.generator("hospitals"))


def local(site: int) -> Expansion:
    """A site's kernel ridge model of its own rows, as points and coefficients."""
    rows = slice(site * ROWS, (site + 1) * ROWS)
    a = np.linalg.solve(kernel(X_all[rows], X_all[rows]) + np.eye(ROWS), y_all[rows])
    return Expansion(np.array([name_of(site, i) for i in range(ROWS)]), X_all[rows], a)


models = [local(site) for site in range(SITES)]
average = mean(models)
apart = np.abs(average.at(kernel, X_many) - np.mean([f.at(kernel, X_many) for f in models], axis=0)).max()
alone = float(np.mean([np.mean(np.sign(f.at(kernel, X_many)) == y_many) for f in models]))
together = float(np.mean(np.sign(average.at(kernel, X_many)) == y_many))
print(f"the average: {len(average)} points, {8 * 3 * len(average):,} bytes")
print(f"averaged predictions differ by {apart:.0e}")
print(f"right alone {alone:.1%}, together {together:.1%}")

# %% [markdown]
# The way out is to walk into the large space after all, but only a little way. Rahimi and Recht (2007) draw D random
# waves cos(ω·x + b) such that on average their products give the Gaussian kernel:
#
# φ(x)·φ(z) ≈ k(x, z), with an error that shrinks like 1/√D.
#
# All sites draw the same waves, from one seed. Then models are rows of D numbers again: of one size, made of sums over
# many patients, fit to be averaged, daisy-chained, or put into a Radon point. `feature_map` does just that.

# %%
FEATURES = (5, 10, 20, 40, 80, 160, 320, 640)


def fourier(features: int, seed: int) -> tuple[float, float]:
    """The mean error of kernel values among 100 points, and the accuracy of the average over the sites."""
    waves = RBFSampler(gamma=GAMMA, n_components=features, random_state=seed)
    few = waves.fit_transform(X_many[:100])
    error = np.abs(few @ few.T - kernel(X_many[:100], X_many[:100])).mean()
    averaged = up.AveragingMachineClassifier(
        RidgeClassifier(alpha=SITES), n_models=SITES, min_samples=ROWS, feature_map=waves, random_state=seed
    )
    return float(error), float(averaged.fit(X_all, y_all).score(X_many, y_many))


with warnings.catch_warnings():
    warnings.simplefilter("ignore", MachineWarning)  # parts have fewer rows than waves; the ridge penalty sees to that
    curve = {features: np.mean([fourier(features, seed) for seed in range(SEEDS)], axis=0) for features in FEATURES}


def bridge(width: float) -> Figure:
    """Error of the kernel and accuracy of the averaged model against its size."""
    figure = style.new_figure(width, 3.4)
    ax = figure.subplots()
    ax.plot([8 * (f + 1) for f in FEATURES], [100 * curve[f][1] for f in FEATURES], "o-", color=LOOKS[0].light)
    ax.plot([24 * len(average)], [100 * together], "s", color=LOOKS[1].light)
    ax.axhline(100 * alone, color=style.MUTED, ls="--")
    second = FEATURES[1]
    for text, size, height, aside, side in (
        ("union of all points", 24 * len(average), together, (0, -16), "right"),
        ("random waves, averaged", 8 * (second + 1), curve[second][1], (10, -6), "left"),
        ("a site alone", 48, alone, (0, 5), "left"),
    ):
        ax.annotate(text, (size, 100 * height), aside, textcoords="offset points", ha=side)
    style.bytes_axis(ax)
    ax.set(xlabel="size of the averaged model", ylabel="new points right, in %")
    return figure


Drawing(
    "What an averaged model costs, and how good it is",
    f"With {FEATURES[-1]} waves the average of the sites' models is as good as the union of all their points, at "
    f"{8 * (FEATURES[-1] + 1) / (24 * len(average)):.0%} of its size, and no point is in it.",
    bridge,
)

# %%
print("    D   error of k   right")
print(*(f"{f:>5}   {error:>10.3f}   {accuracy:.1%}" for f, (error, accuracy) in curve.items()), sep="\n")

# %% [markdown]
# **What to take home.** A kernel buys curved boundaries for the price of inner products. In one place that is a
# bargain. Across sites the dual form sends points around, and grows; random features send one short row a model. When
# models must stay in dual form, on a stream say, `unpooled.training.streams.kernel` sends each point once over each
# door, and compresses.
#
# Sources: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007. Keerthi and Lin, "Asymptotic
# Behaviors of Support Vector Machines with Gaussian Kernel", 2003 (why a tiny γ is linear). Kamp, Bothe, Boley, Mock,
# "Communication-Efficient Distributed Online Learning with Kernels", ECML PKDD 2016.

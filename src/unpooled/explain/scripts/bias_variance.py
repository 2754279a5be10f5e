# %% [markdown]
# # What averaging repairs, and what it does not
#
# Twenty noisy points of a curve, and a support vector regression that draws a line through them. Its regularisation λ
# (`C = 1 / λ`) decides how much the line may bend: a tiny λ follows every point, a large one hardly bends at all. What
# is best for one model is not what is best for a hundred models that will be averaged.

# %%
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.svm import SVR

from unpooled.combine import mean
from unpooled.explain import Drawing, Frames, Numbers
from unpooled.figures.looks import LOOKS
from unpooled.figures.style import INK, MUTED, is_narrow, log_axis, new_figure
from unpooled.seeds import Streams

Array = NDArray[np.float64]
RESAMPLES = 100  # data sets drawn for each lambda
LAMBDAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
POINTS, NOISE = 20, 0.3
BLUE, ORANGE, GREEN = (look.light for look in LOOKS[:3])
grid = np.linspace(0, 10, 400)


def truth(x: Array) -> Array:
    return np.asarray(np.sin(x) + 0.2 * x)


def draw_data(number: int) -> tuple[Array, Array]:
    rng = Streams(0).generator("bias and variance", number)
    x = rng.uniform(0, 10, POINTS)
    return x, truth(x) + rng.normal(0, NOISE, POINTS)


def fit(x: Array, y: Array, lam: float) -> SVR:
    return SVR(kernel="rbf", gamma=0.5, epsilon=0.1, C=1 / lam).fit(x[:, None], y)


# %% [markdown]
# ## One data set, many models
#
# The orange line is the truth, which no model is told. Move the slider: on the left the model learns the noise by
# heart, on the right it has not learned the curve.

# %%
x0, y0 = draw_data(0)


def one_fit(width: float, lam: float) -> Figure:
    figure = new_figure(width, 3.4)
    ax = figure.subplots()
    ax.plot(grid, truth(grid), color=ORANGE, ls="--", label="truth")
    ax.plot(grid, fit(x0, y0, lam).predict(grid[:, None]), color=BLUE, label="model")
    ax.plot(x0, y0, "o", color=INK, label="data")
    ax.set(xlabel="x", ylabel="y", ylim=(-2.5, 4.5))
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def tell_one(lam: float) -> str:
    own = np.mean((fit(x0, y0, lam).predict(x0[:, None]) - y0) ** 2)
    wrong = np.mean((fit(x0, y0, lam).predict(grid[:, None]) - truth(grid)) ** 2)
    return f"Mean squared error on its own points {own:.3f}, against the truth {wrong:.3f}."


Frames("One fit to twenty points", "λ", LAMBDAS, one_fit, tell_one, name="{:g}".format, start=len(LAMBDAS) // 2)

# %% [markdown]
# ## Many data sets
#
# Were the twenty points drawn again, the model would be another one. How much it changes from draw to draw is its
# **variance**; what stays wrong when we average over all draws is its **bias**. Each thin line is a model from its own
# twenty points, the thick one their mean.

# %%
curves = {lam: np.array([fit(*draw_data(i), lam).predict(grid[:, None]) for i in range(RESAMPLES)]) for lam in LAMBDAS}


def spaghetti(width: float, lam: float) -> Figure:
    figure = new_figure(width, 3.4)
    ax = figure.subplots()
    ax.plot(grid[::4], curves[lam][:30, ::4].T, color=BLUE, lw=0.6, alpha=0.4)
    ax.plot(grid, truth(grid), color=ORANGE, ls="--", label="truth")
    ax.plot(grid, mean(curves[lam]), color=INK, lw=2.2, label="mean of all models")
    ax.set(xlabel="x", ylabel="y", ylim=(-2.5, 4.5))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def decompose(models: Array) -> tuple[float, float, float]:
    """Bias squared, variance and risk, means over the grid."""
    bias = np.mean((mean(models) - truth(grid)) ** 2)
    return float(bias), float(np.mean(models.var(axis=0))), float(np.mean((models - truth(grid)) ** 2))


parts = {lam: decompose(curves[lam]) for lam in LAMBDAS}


def tell_many(lam: float) -> str:
    bias, variance, risk = parts[lam]
    return f"Bias² {bias:.3f} and variance {variance:.3f} together are the risk, {risk:.3f}."


Frames(
    f"Thirty of {RESAMPLES} fits, each to its own twenty points", "λ", LAMBDAS, spaghetti, tell_many, name="{:g}".format
)

# %% [markdown]
# ## The two parts of the risk
#
# The **risk**, the mean squared distance to the truth, is the sum of both parts, exactly. Regularisation trades one for
# the other, and a single model is best in between.

# %%
best_single = min(LAMBDAS, key=lambda lam: parts[lam][2])
best_mean = min(LAMBDAS, key=lambda lam: parts[lam][0])


def stacked(width: float) -> Figure:
    figure = new_figure(width, 3.2)
    ax = figure.subplots()
    places = np.arange(len(LAMBDAS))
    bias, variance, _ = map(np.array, zip(*(parts[lam] for lam in LAMBDAS), strict=True))
    ax.bar(places, bias, color=ORANGE, label="bias²")
    ax.bar(places, variance, bottom=bias, color=BLUE, label="variance")
    ax.set_xticks(places, [f"{lam:g}" for lam in LAMBDAS])
    ax.set(xlabel="λ", ylabel="risk")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


Drawing(
    "Risk against λ, in its two parts",
    f"A single model is best at λ = {best_single:g}; bias alone is smallest at λ = {best_mean:g}.",
    stacked,
)

# %%
heavy = {lam: np.median(np.mean((curves[lam] - truth(grid)) ** 2, axis=1)) for lam in LAMBDAS}
Numbers(
    f"Means over {RESAMPLES} draws and a grid of {len(grid)} places.",
    pd.DataFrame(
        [(f"{lam:g}", *parts[lam], heavy[lam], parts[lam][0]) for lam in LAMBDAS],
        columns=["λ", "bias²", "variance", "risk", "risk, median model", f"risk of the mean of {RESAMPLES}"],
    ),
)

# %% [markdown]
# At the smallest λ the mean and the median model differ widely: a few models run away at the ends of the interval,
# where a draw happens to have no points. Such rare draws decide the variance there, so a hundred draws do not measure
# it well: the last table shows how badly.
#
# ## What averaging does
#
# The mean of m models has the same bias and an m-th of the variance, if the models are independent. Their risk sinks
# towards the bias, and stops there.

# %%
sizes = [m for m in (1, 2, 3, 5, 10, 20, 50, 100) if m <= RESAMPLES]


def risk_of_means(lam: float, m: int) -> float:
    """Mean over groups of m models, each used once."""
    groups = curves[lam][: RESAMPLES // m * m].reshape(-1, m, len(grid))
    return float(np.mean([np.mean((mean(group) - truth(grid)) ** 2) for group in groups]))


averaged = {lam: [risk_of_means(lam, m) for m in sizes] for lam in LAMBDAS}


def sinking(width: float) -> Figure:
    figure = new_figure(width, 3.6)
    ax = figure.subplots()
    for lam, look in zip(LAMBDAS, LOOKS, strict=False):
        ax.plot(sizes, averaged[lam], color=look.light, marker=look.marker, label=f"λ = {lam:g}")
        bias, variance, _ = parts[lam]
        ax.plot(sizes, bias + variance / np.array(sizes), color=MUTED, ls=":", lw=1)
    log_axis(ax, "x")
    log_axis(ax, "y")
    ax.set(xlabel="models averaged, m", ylabel="risk of their mean")
    figure.legend(loc="outside upper left", ncols=3 if is_narrow(width) else 6)
    return figure


Drawing(
    "Risk of the mean of m models",
    "Grey: bias² + variance / m. Wiggly models (small λ) are worst alone and best together; stiff ones gain nothing.",
    sinking,
)

# %% [markdown]
# So **models that will be averaged should bend more than a single model may**: a little less regularisation at each
# site, and averaging takes away the variance that this costs. Averaging cannot take away a bias that all sites share.
#
# ## How sure these numbers are
#
# All drawn anew, several times, as many data sets each time: the smallest, the median and the largest variance. The
# last column is what the notes that this page follows once measured over 100 draws. It lies below our median in all
# rows, so those draws were on the mild side; the order of the values of λ does not depend on it.

# %%
REPEATS = 8
PUBLISHED = {0.001: 0.641, 0.01: 0.163, 0.1: 0.078, 1.0: 0.043}


def variance_again(lam: float, repeat: int) -> float:
    first = (repeat + 1) * RESAMPLES
    models = [fit(*draw_data(first + i), lam).predict(grid[::2, None]) for i in range(RESAMPLES)]
    return float(np.mean(np.var(models, axis=0)))


again = {lam: sorted(variance_again(lam, r) for r in range(REPEATS)) for lam in LAMBDAS if lam in PUBLISHED}
Numbers(
    f"Variance in {REPEATS} repetitions.",
    pd.DataFrame(
        [(f"{lam:g}", v[0], float(np.median(v)), v[-1], PUBLISHED[lam]) for lam, v in again.items()],
        columns=["λ", "smallest", "median", "largest", "notes"],
    ),
)

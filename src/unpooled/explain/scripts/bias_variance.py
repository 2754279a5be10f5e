# %% [markdown]
# # What averaging repairs, and what it does not
#
# Twenty noisy points of a curve, and a support vector regression. `C = 1 / lambda`: a small lambda follows every
# point, a large one hardly bends. We draw the points a hundred times and look at what changes from draw to draw
# (variance) and at what stays wrong on average (bias).

# %%
import numpy as np
from sklearn.svm import SVR

from unpooled.seeds import Streams

RESAMPLES, POINTS, NOISE = 100, 20, 0.3
LAMBDAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
grid = np.linspace(0, 10, 400)


def truth(x):
    return np.sin(x) + 0.2 * x


def fits(lam, resamples=RESAMPLES, seed=0):
    """Predictions on the grid, one row a resample, and the mean squared error on each one's own points."""
    rng = Streams(seed).generator("bias and variance")
    curves, own = [], []
    for _ in range(resamples):
        x = rng.uniform(0, 10, POINTS)
        y = truth(x) + rng.normal(0, NOISE, POINTS)
        model = SVR(kernel="rbf", gamma=0.5, epsilon=0.1, C=1 / lam).fit(x[:, None], y)
        curves.append(model.predict(grid[:, None]))
        own.append(np.mean((model.predict(x[:, None]) - y) ** 2))
    return np.array(curves), np.array(own)


# %% [markdown]
# The squared distance to the truth is the sum of both parts, at every place and so on average.


# %%
def decomposition(curves):
    """Bias squared, variance and risk, means over the grid."""
    bias = np.mean((curves.mean(axis=0) - truth(grid)) ** 2)
    variance = np.mean(curves.var(axis=0))
    return bias, variance, np.mean((curves - truth(grid)) ** 2)


table = {lam: decomposition(fits(lam)[0]) for lam in LAMBDAS}
for lam, (bias, variance, risk) in table.items():
    print(f"lambda {lam:>7}: bias^2 {bias:.3f} + variance {variance:.3f} = risk {risk:.3f}")

# %% [markdown]
# **What averaging does.** The mean of m such models has the same bias and about an m-th of the variance. So models
# that are going to be averaged should bend more than a single one may.

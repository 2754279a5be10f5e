# %% [markdown]
# # The Radon point: a middle that one liar cannot move
#
# Many sites have fitted models, and we want one. The usual answer is the mean. It is a good answer while all models are
# sane. But a single one that has blown up takes the mean along, as far as it likes. In 1921 Johann Radon found another
# kind of middle.

# %%
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from unpooled.combine import COMBINERS, Array, Combiner, CoordinateMedian, Mean, Radon, radon_point
from unpooled.explain import Animation, Frames, Numbers, Sketch
from unpooled.figures import style
from unpooled.figures.looks import LOOKS, RESERVED, Look
from unpooled.figures.radon import radon_tree
from unpooled.seeds import Streams

DRAWS = 100  # sets of models for each number of bad ones
TRIALS = 2000  # random groups on which the promise is checked
streams = Streams(0)

# %% [markdown]
# ## Three numbers
#
# Take models of a single parameter. Of three numbers, one lies between the other two. That is the Radon point, and
# everybody knows it under another name: the median. However far we push the largest, nothing happens.

# %%
for largest in (3.0, 30.0, 3e9):
    three = np.array([[1.0], [2.0], [largest]])
    print(f"1, 2, {largest:g}: mean {three.mean():g}, Radon point {radon_point(three)[0]:g}")

# %% [markdown]
# ## Four points
#
# In the plane it takes four. Draw them anywhere; there are two cases, and no third.
#
# - One point lies inside the triangle of the others. Then it is the Radon point.
# - They are the corners of a quadrangle. Then its diagonals cross, and the crossing is the Radon point.
#
# In both cases the points split into two groups whose hulls meet: a triangle and a point, or two lines. Try it. Drag
# one point far away and watch the star (Radon point) and the cross (mean). Or choose a point with the Tab key and move
# it with the arrow keys; with Shift it goes faster.

# %%
FOUR = [[1.0, 1.0], [5.0, 1.2], [9.0, 5.5], [3.0, 4.5]]
Sketch(
    "Four points to drag",
    "Two groups, blue and orange, whose hulls meet in the Radon point (star); the grey cross is the mean.",
    "radon_point.js",
    {"points": FOUR},
)

# %% [markdown]
# ## By hand
#
# How does one find the split? Look for numbers λᵢ, not all zero, with
#
# Σ λᵢ sᵢ = 0 and Σ λᵢ = 0.
#
# In d dimensions these are d + 1 equations. With d + 2 points there is one unknown more than equations, so there is
# a solution. Put the points with λᵢ > 0 on one side of the equation, the others on the other side, and divide both by
# the sum of the positive λᵢ: two mixtures of points, and they are equal. That common point lies in both hulls.
#
# For four points in the plane λᵢ is the area of the triangle of the other three, with signs that alternate. So one can
# do it on paper.


# %%
def area(p: Array, q: Array, r: Array) -> float:
    """Twice the area of a triangle, with a sign for its sense of rotation."""
    return float((q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1]))


points = np.array(FOUR)
lam = np.array([(-1) ** i * area(*np.delete(points, i, axis=0)) for i in range(4)])
positive, negative = np.maximum(lam, 0), np.maximum(-lam, 0)
one, other = positive @ points / positive.sum(), negative @ points / negative.sum()
print("λ =", np.array2string(lam, precision=2))
print("one side  ", one.round(6))
print("the other ", other.round(6))
print("unpooled  ", radon_point(points).round(6))

# %% [markdown]
# ## What it promises
#
# Call a model bad if some convex loss of it is above a limit. The Radon point is a mixture of the models on one side,
# and the loss of a mixture is at most that of its worst part. But it is a mixture of those on the other side, too. So
# if the Radon point is bad, there is a bad model on **each** side: one bad model alone cannot do it. In short, the loss
# of the Radon point is at most the second largest. We check that on random groups, in up to five dimensions and with
# heavy tails.

# %%
violations, worse_means = 0, 0
rng = streams.generator("promise")
for _ in range(TRIALS):
    d = int(rng.integers(1, 6))
    group, goal = rng.standard_t(1.5, (d + 2, d)), rng.normal(size=d)
    losses = np.sort(((group - goal) ** 2).sum(axis=1))
    violations += ((radon_point(group) - goal) ** 2).sum() > losses[-2] * (1 + 1e-9)
    worse_means += ((group.mean(axis=0) - goal) ** 2).sum() > losses[-2] * (1 + 1e-9)
print(f"worse than the second worst, {TRIALS} groups")
print(f"  Radon point: {violations} times")
print(f"  mean: {worse_means} times")

# %% [markdown]
# ## The tree
#
# With more models we do it again. Sixty-four models of two parameters make sixteen groups of four; their Radon points
# make four groups; and so on, three times. For a bad result there must be two bad points in the last group, two behind
# each of those, two behind each of these: at least 2 · 2 · 2 = 8 bad models out of 64. Here seven are bad. Play it.

# %%
MODELS, BAD, HEIGHT = 64, 7, 3
rng = streams.generator("tree")
rows = rng.standard_normal((MODELS, 2))
rows[:BAD] = (6.0, 5.0) + 0.5 * rng.standard_normal((BAD, 2))
levels = [level[0] for level in Radon(height=HEIGHT).tree(rows[None], rng).levels]


def step(width: float, level: int) -> Figure:
    """One level of the tree: groups of four, their splits, and the Radon points."""
    figure = radon_tree(levels[level : level + 2], width=width)
    left = len(levels[level])
    figure.axes[0].set(xlim=(-4, 8), ylim=(-4, 7.5), title=f"{left} {'Radon points' if level else 'models'}")
    figure.set_size_inches(width, 4.6)
    return figure


def far(level: int) -> int:
    """How many points of a level are nearer to the bad cluster than to the good one."""
    return int((levels[level] @ (6.0, 5.0) > (6.0**2 + 5.0**2) / 2).sum())


def told(level: int) -> str:
    """The count in words."""
    return f"{far(level)} of {len(levels[level])} are bad, and {far(level + 1)} of their Radon points."


Animation("Groups of four become their Radon points (stars)", "Level", (0, 1, 2), step, told, seconds=2.0)

# %% [markdown]
# ## The outlier against the mean
#
# How many bad models does it take? We draw sets of 64 models around 0 and make some of them bad in two ways. *Broken*
# ones are anywhere, a few of them very far away, each by itself. *Colluding* ones all say the same wrong thing.

# %%
COUNTS = (0, 1, 2, 4, 7, 8, 12, 16, 24, 32)
WAYS: dict[str, tuple[Combiner, Look]] = {
    "mean": (Mean(), LOOKS[1]),
    "Radon point": (Radon(height=HEIGHT), LOOKS[0]),
    "coordinate median": (CoordinateMedian(), LOOKS[2]),
}


def distance(combiner: Combiner, kind: str, bad: int, seed: int) -> float:
    """How far the combined model is from 0, of 64 models with `bad` bad ones."""
    rng = Streams(seed).generator("bad models")
    models = rng.standard_normal((MODELS, 2))
    models[:bad] = 50 * rng.standard_cauchy((bad, 2)) if kind == "broken" else (30.0, 30.0)
    return float(np.linalg.norm(combiner(models, rng=rng)))


found = pd.DataFrame(
    [
        (kind, name, bad, *np.percentile([distance(way, kind, bad, seed) for seed in range(DRAWS)], [50, 95]))
        for kind in ("broken", "colluding")
        for name, (way, _) in WAYS.items()
        for bad in COUNTS
    ],
    columns=["kind", "way", "bad", "median", "q95"],
)


def rivals(width: float, kind: str) -> Figure:
    """Median distance from 0, up to the 95th percentile, against the number of bad models."""
    figure = style.new_figure(width, 4.0)
    ax = figure.subplots()
    for name, (_, look) in WAYS.items():
        own = found[(found["kind"] == kind) & (found["way"] == name)]
        ax.plot(own["bad"], own["median"], color=look.light, marker=look.marker, label=name)
        ax.fill_between(own["bad"], own["median"], own["q95"], color=look.light, alpha=0.15, lw=0)
    ax.axvline(2**HEIGHT, color=RESERVED["pooled"].light, ls=":", lw=1)
    ax.annotate("2³ = 8", (2**HEIGHT, 300), (4, 0), textcoords="offset points")
    ax.set(yscale="log", ylim=(0.08, 1000), xlabel=f"{kind} models of {MODELS}", ylabel="distance from the truth")
    ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.minorticks_off()
    figure.legend(loc="outside upper left", ncols=2 if style.is_narrow(width) else 3)
    return figure


READINGS = {
    "broken": "The first broken model ruins the mean. The Radon point hardly notices any of them.",
    "colluding": "Up to seven the Radon point is safe for certain, and some more do no harm by luck. Then it breaks: "
    "equal liars fill whole groups. The coordinate median holds out longer.",
}
Frames(
    "Distance of the combined model from the truth, median and 95th percentile",
    "Bad models are",
    ("broken", "colluding"),
    rivals,
    READINGS.__getitem__,
)

# %% [markdown]
# ## What it costs
#
# Nothing is free. If no model is bad, the mean is the best there is, and the Radon point is farther off. In d
# dimensions it takes d + 2 models for one point and (d + 2)ʰ for height h, so it is for models with few parameters. And
# against liars who agree, other combiners hold out longer: `unpooled.combine` has them all, with one interface.

# %%
clean = {name: found[(found["way"] == name) & (found["bad"] == 0)]["median"].iloc[0] for name in WAYS}
Numbers(
    "64 good models: median distance from the truth",
    pd.DataFrame(list(clean.items()), columns=["combined by", "distance"]),
)

# %%
print("unpooled.combine:", *sorted(COMBINERS), sep="\n  ")

# %% [markdown]
# Sources: Radon, "Mengen konvexer Körper, die einen gemeinsamen Punkt enthalten", 1921. Kamp, Boley, Missura, Gärtner,
# "Effective Parallelisation for Machine Learning", NeurIPS 2017: fit a learner to (d + 2)ʰ parts of the data at the
# same time and take the tree's root. `up.RadonMachine` does that with any scikit-learn learner that has parameters.

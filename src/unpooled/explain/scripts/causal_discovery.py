# %% [markdown]
# # What causes what: two environments tell what one cannot
#
# Patients who get a higher dose report more pain. Does the drug hurt, or do doctors give more to those who suffer? A
# table of doses and pains cannot say. Two tables sometimes can. And neither has to leave its hospital: a few numbers
# are enough. This page shows how, and what those numbers give away.

# %%
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import unpooled as up
from unpooled.causal.discovery import open_sites
from unpooled.causal.generators import (
    AdditiveNoise,
    Environments,
    Intervention,
    LinearGaussian,
    environments,
    exact_edges,
)
from unpooled.causal.graphs import PDAG
from unpooled.causal.graphs.metrics import shd_of_classes
from unpooled.causal.orion import orion_of_tables
from unpooled.causal.peri import peri
from unpooled.causal.scores import gaussian, score_of
from unpooled.explain import Animation, Drawing, Frames, Numbers
from unpooled.figures import style
from unpooled.figures.looks import LOOKS, RESERVED
from unpooled.seeds import Streams

ROWS = 400  # patients of a hospital
REPEATS = 30  # pairs of hospitals, for the shares below
streams = Streams(0)

# %% [markdown]
# ## One table: both directions are equally good
#
# Let pain be 0.8 times the dose, plus noise: dose → pain is the truth. To compare the two directions we score each
# graph. A score says how well every variable is explained by its parents, in nats of log-likelihood, minus ½ log n for
# each parent. With straight lines and Gaussian noise, both directions get the same score, to the last digit. Not nearly
# the same: the same.

# %%
FORWARD = PDAG.from_edges(("dose", "pain"), [("dose", "pain")])
BACKWARD = PDAG.from_edges(("dose", "pain"), [("pain", "dose")])
truth = LinearGaussian(("dose", "pain"), np.array([[0.0, 0.8], [0.0, 0.0]]), np.ones(2), np.zeros(2))


def hospitals(spread: float, seed: int) -> Environments:
    """Two hospitals; in the second one doses are spread wider, by that factor. Pain follows dose by the same law."""
    changed = [{}, {"dose": Intervention("noise", spread)}]
    return environments(truth, [ROWS, ROWS], changed, Streams(seed).generator("hospitals"), standardise=False)


first = hospitals(1.0, seed=0).tables["s0"]
forward, backward = (score_of(gaussian(first), graph) for graph in (FORWARD, BACKWARD))
print(f"dose -> pain: {forward:.6f} nats")
print(f"pain -> dose: {backward:.6f} nats")

# %% [markdown]
# ## Two tables: the cause stays, the inversion breaks
#
# A second hospital spreads its doses wider. The body does not care where a dose comes from: pain still is 0.8 times the
# dose plus the same noise. So the line of pain **given dose** is the same in both hospitals.
#
# Turn it around. The line of dose given pain is a mixture of the law of pain and of how doses are given. If the doses
# change, it has to change. A description that stays the same in every environment is a good candidate for a cause.
#
# Move the slider. The solid lines, pain given dose, stay together. The dashed ones, dose given pain, part.

# %%
SPREADS = (1.0, 1.25, 1.5, 2.0, 3.0)


def slopes(table: pd.DataFrame) -> tuple[float, float]:
    """Of pain given dose, and of dose given pain."""
    covariance = np.cov(table["dose"], table["pain"])
    return float(covariance[0, 1] / covariance[0, 0]), float(covariance[0, 1] / covariance[1, 1])


def verdict(spread: float, seed: int = 0) -> str:
    """What the library says of two such hospitals: an arrow, or a line where it cannot tell."""
    found = up.discover(dict(hospitals(spread, seed).tables), method="combined", gains=False)
    return " ".join(found.graph.edges()[0]) if found.graph.edges() else "no edge"


def panel(ax: Axes, table: pd.DataFrame, title: str, shade: int) -> None:
    """A hospital's patients and both lines."""
    look = LOOKS[shade]
    ax.plot(table["dose"][:150], table["pain"][:150], ls="", marker=look.marker, ms=3, color=look.light, alpha=0.5)
    direct, inverse = slopes(table)
    ends = np.array([-9.0, 9.0])
    ax.plot(ends, direct * ends, color=style.INK, lw=2)
    ax.plot(inverse * ends, ends, color=style.INK, lw=2, ls="--")
    ax.set(xlim=(-8, 8), ylim=(-8, 8), xlabel="dose", ylabel="pain", aspect="equal", title=title)


def pair(width: float, spread: float) -> Figure:
    """Both hospitals side by side."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 7 if narrow else 4.3)
    axes = figure.subplots(*((2, 1) if narrow else (1, 2)))
    for place, (ax, table) in enumerate(zip(axes, hospitals(spread, 0).tables.values(), strict=True)):
        panel(ax, table, f"{('first', 'second')[place]} hospital", place)
    return figure


def told(spread: float) -> str:
    """Slopes and verdict."""
    (a, b), (c, d) = map(slopes, hospitals(spread, 0).tables.values())
    return (
        f"Pain given dose: slopes {a:.2f} and {c:.2f}. Dose given pain: {b:.2f} and {d:.2f}. "
        f"unpooled says: {verdict(spread)}."
    )


Frames("Two hospitals, and both ways to draw a line", "Spread of doses ×", SPREADS, pair, told, name="{:g}".format)

# %% [markdown]
# With equal hospitals (× 1) the answer is a line without a head: it cannot be known, and the library says so. That was
# one draw. How often is the verdict right?

# %%
shares = {
    spread: pd.Series([verdict(spread, seed) for seed in range(1, REPEATS + 1)]).value_counts(normalize=True)
    for spread in SPREADS
}
Numbers(
    f"{REPEATS} pairs of hospitals with {ROWS} patients each",
    pd.DataFrame(
        [
            (
                f"× {spread:g}",
                *(f"{found.get(said, 0):.0%}" for said in ("dose -> pain", "dose -- pain", "pain -> dose")),
            )
            for spread, found in shares.items()
        ],
        columns=["spread", "dose → pain", "left open", "pain → dose"],
    ),
)

# %% [markdown]
# ## Curves tell, too
#
# If the relation is bent, even one table can tell: the effect is a smooth function of the cause plus noise, and the
# other way round it hardly ever is. ORION counts **bits**: how many one needs to write a column down, with and without
# a parent. Every environment votes with its own bits, and no data are pooled. Here the second hospital treats pain
# directly, so that it no longer depends on the dose. The first votes for the edge, the second against it, and ORION
# returns the edge together with the name of who lacks it.

# %%
bent = AdditiveNoise.random(FORWARD, streams.generator("bent"), function="gaussian_process", noise=0.4)
curved = environments(bent, [ROWS, ROWS], [{}, {"pain": Intervention("hard")}], streams.generator("curved"))
orion = orion_of_tables(curved.tables)
print("graph:", *(" ".join(edge) for edge in orion.graph.edges()))
print("bits saved:", *(f"{bits:.0f}" for bits in orion.gains["dose", "pain"]))
for target in orion.targets:
    print(f"{target.environment}: {target.variable}, {target.kind}")


def scatter(width: float) -> Figure:
    """Both environments."""
    figure = style.new_figure(width, 3.4)
    ax = figure.subplots()
    for place, (table, name) in enumerate(zip(curved.tables.values(), ("first", "second, pain treated"), strict=True)):
        look = LOOKS[place]
        ax.plot(table["dose"], table["pain"], ls="", marker=look.marker, ms=3, color=look.light, alpha=0.6, label=name)
    ax.set(xlabel="dose", ylabel="pain")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


Drawing(
    "Two hospitals with a bent relation", "In the second one the edge is cut: pain no longer follows dose.", scatter
)

# %% [markdown]
# ## Regrets instead of data
#
# Now five hospitals, eight variables, and the effects differ in strength from place to place. None hands out rows. The
# server only asks: *how much better is this variable explained if that one becomes its parent?* Each hospital answers
# with one number, the difference of two **regrets**. A regret is what a model loses against the hospital's own best
# one; in a difference the best one cancels.
#
# The server adds the answers up, puts in the edge that gains most, and asks again. Watch it search. Bars are what the
# five hospitals said about the last edge.

# %%
NAMES = tuple("ABCDEFGH")
SITES = 5
rng = streams.generator("regrets")
dag = PDAG(exact_edges(len(NAMES), 9, rng).adjacency, NAMES)
many = environments([LinearGaussian.random(dag, rng) for _ in range(SITES)], [ROWS] * SITES, [{}] * SITES, rng)

search = peri(open_sites(dict(many.tables)))  # questions pass a door and are counted there
local = [gaussian(table) for table in many.tables.values()]
graphs = [PDAG(np.zeros_like(dag.adjacency), NAMES)]
answers = []
for step in search.path:
    changes = step.operator.changes(graphs[-1])
    answers.append(
        [sum(s.local_score(y, [*after]) - s.local_score(y, [*before]) for y, before, after in changes) for s in local]
    )
    graphs.append(step.operator.apply(graphs[-1]))

angle = np.pi / 2 - 2 * np.pi * np.arange(len(NAMES)) / len(NAMES)
wheel = np.stack([np.cos(angle), np.sin(angle)], axis=1)


def drawn(ax: Axes, graph: PDAG) -> None:
    """A graph with its variables on a circle."""
    for a, mark, b in graph.edges():
        way = {
            "arrowstyle": "-|>" if mark == "->" else "-",
            "color": style.INK,
            "shrinkA": 13,
            "shrinkB": 13,
            "lw": 1.3,
        }
        ax.annotate("", wheel[NAMES.index(b)], wheel[NAMES.index(a)], arrowprops=way)
    for name, xy in zip(NAMES, wheel, strict=True):
        ax.plot(*xy, "o", ms=21, mfc=style.PAPER, mec=style.MUTED)
        ax.annotate(name, xy, ha="center", va="center")
    ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    ax.set_axis_off()


def scene(width: float, step: int) -> Figure:
    """The graph after some steps, and the answers that led to the last one."""
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 7 if narrow else 4.2)
    left, right = figure.subplots(*((2, 1) if narrow else (1, 2)))
    drawn(left, graphs[step])
    if step:
        right.bar(range(1, SITES + 1), answers[step - 1], color=LOOKS[0].light, width=0.6)
    right.axhline(0, color=style.MUTED, lw=0.8)
    low, high = min(0, *map(min, answers)), max(map(max, answers))
    right.set(xlim=(0.4, SITES + 0.6), ylim=(low * 1.1, high * 1.05), xlabel="hospital", ylabel="answer, nats")
    return figure


def reported(step: int) -> str:
    """The edge of a step in words."""
    if step == 0:
        return "No edge yet. The server asks about all pairs."
    done = search.path[step - 1]
    x, y = NAMES[done.operator.x], NAMES[done.operator.y]
    return f"{done.operator.kind.capitalize()} {x} – {y}: together {done.gain:.0f} nats."


Animation("A search that sees no data", "Step", tuple(range(len(graphs))), scene, reported, seconds=1.2)

# %% [markdown]
# The end is compared with the truth: the class of graphs that no score of this kind can tell apart (lines are
# directions that stay open). Beside it, what happens if all rows are thrown into one table: unlike hospitals, mixed,
# show dependences that none of them has.

# %%
pooled = up.discover(dict(many.tables), method="ges", pooled=True, gains=False)
wrong = {
    "regrets, added up": (shd_of_classes(dag, search.graph), max(search.disclosed.values())),
    "all rows in one table": (shd_of_classes(dag, pooled.graph), ROWS * len(NAMES)),
}
Numbers(
    "Pairs of variables that are wrong, of 28, and how many numbers left each hospital",
    pd.DataFrame([(way, *numbers) for way, numbers in wrong.items()], columns=["way", "wrong pairs", "numbers sent"]),
)

# %% [markdown]
# ## What the numbers give away
#
# Fewer numbers are not no information. Ask how much better one variable is explained by one other. Of n patients with
# correlation ρ between both, the answer is
#
# −(n/2) log(1 − ρ²) − ½ log n.
#
# Anyone can solve that for ρ. So the first round of questions tells the server **every correlation at every hospital**,
# to the last digit, up to its sign. The library shows that attack: the mean error of an attacker who guesses |ρ|.

# %%
leaks = up.discover(dict(many.tables), gains=False, leakage=True).leakage
assert leaks is not None
WORDS = {"nothing": "guessing from the others", "clear": "exact answers", "secure sum": "sums under masks"}
leaks["told"] = [
    WORDS.get(way, f"noise of scale {scale:g}") for way, scale in zip(leaks["disclosure"], leaks["scale"], strict=True)
]
errors = leaks.groupby("told", sort=False)["error"].mean()


def leaked(width: float) -> Figure:
    """The attacker's error for each way of telling."""
    figure = style.new_figure(width, 3.2)
    ax = figure.subplots()
    looks = [RESERVED["local"] if told == WORDS["nothing"] else LOOKS[0] for told in errors.index]
    ax.barh(range(len(errors)), errors, color=[look.light for look in looks], height=0.6)
    ax.axvline(errors[WORDS["nothing"]], color=style.MUTED, ls=":")
    ax.set_yticks(range(len(errors)), list(errors.index))
    ax.invert_yaxis()
    ax.set_xlabel("mean error of |ρ|")
    return figure


Drawing(
    "What an attacker knows of each hospital's correlations after the first round",
    "Bars left of the dotted line mean that the answers told more than a guess from the other hospitals.",
    leaked,
)

# %% [markdown]
# **What to take home.**
#
# - One table of straight lines and Gaussian noise cannot tell directions. Differences between environments can, and so
#   can bent curves.
# - Hospitals can find a graph together and keep their rows. Unlike hospitals are then a help, not a nuisance.
# - Regrets are no secret. Where correlations must stay private, hide them in sums, add noise, and count what was spent.
#
# All of it is one call: `up.discover(sites, method="peri")`, `"orion"`, or `"combined"`.
#
# Sources: Mian, Kaltenpoth, Kamp, Vreeken, "Nothing but Regrets", AISTATS 2023 (PERI). Mian, Kamp, Vreeken,
# "Information-Theoretic Causal Discovery and Intervention Detection over Multiple Environments", AAAI 2023 (ORION).
# Ramsey and others, NeuroImage 2010 (sums of scores).

# %% [markdown]
# # When to communicate
#
# Many learners follow one stream each. Now and then the concept behind all streams changes: a **drift**. Averaging
# after every few rounds spreads quickly what one learner found out, and goes on sending models when nobody has anything
# new to tell. **Dynamic averaging** watches instead: each learner compares its model f with the common reference r, and
# as long as `|f - r|² ≤ Δ` holds everywhere, nobody sends a model (Kamp et al., ECML PKDD 2014).

# %%
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import unpooled as up
from unpooled.explain import Animation, Drawing, Numbers
from unpooled.figures.looks import LOOKS, RESERVED, Look
from unpooled.figures.style import MUTED, is_narrow, new_figure
from unpooled.figures.words import count_text

ROUNDS = 6000
DRIFT_EVERY = 2000
LEARNERS = 32
POINTS = 120  # places at which a curve is drawn
FRAMES = 16

# %% [markdown]
# ## Watched live
#
# 32 passive-aggressive learners tell whether any of four hidden features is on. The four are drawn anew at each dotted
# line. Four ways to share what they learn: never, every 10 rounds, every 50 rounds, and dynamically. Press Play.

# %%
source = up.Disjunction(drift_every=DRIFT_EVERY)
learner = up.PassiveAggressive(cap=0.5)
dynamic = up.DynamicAveraging(0.3, check_period=10)
protocols = [dynamic, up.FedAvg(10), up.FedAvg(50), up.Local()]
found = up.compare_streams(source, learner, protocols, learners=LEARNERS, rounds=ROUNDS)
runs = {protocol.label: next(r for r in found.all() if r.protocol == protocol.label) for protocol in protocols}
looks: dict[str, Look] = dict(zip(runs, (*LOOKS[:3], RESERVED["local"]), strict=True))
drifts = runs[dynamic.label].drifts
curves = {label: run.curve(POINTS) for label, run in runs.items()}
most_loss = max(run.loss for run in runs.values())
most_sent = max(run.transfers for run in runs.values())
ENDS = [round(ROUNDS * (k + 1) / FRAMES) for k in range(FRAMES)]


def marked(ax: Axes, top: float, name: str) -> None:
    for drift in drifts:
        ax.axvline(drift, color=MUTED, ls=":", lw=1)
    ax.set(xlim=(0, ROUNDS), ylim=(-0.03 * top, 1.05 * top), ylabel=name)


def live(width: float, end: int) -> Figure:
    figure = new_figure(width, 5.2)
    above, below = figure.subplots(2, 1, sharex=True)
    for label, curve in curves.items():
        seen, look = curve[curve["round"] <= end], looks[label]
        above.plot(seen["round"], seen["loss"], color=look.light, ls=look.dash, label=label)
        below.plot(seen["round"], seen["transfers"], color=look.light, ls=look.dash)
    marked(above, most_loss, "loss so far")
    marked(below, most_sent, "models sent so far")
    below.set_xlabel("round")
    figure.legend(loc="outside upper left", ncols=1 if is_narrow(width) else 4)
    return figure


def tell_live(end: int) -> str:
    window = max(end - ROUNDS // FRAMES, 0)
    sent = ", ".join(f"{label} {count_text(run.transfers_in(window, end))}" for label, run in runs.items())
    return f"Models sent in the rounds from {count_text(window)} on: {sent}."


Animation("Loss and models sent, up to a round", "round", ENDS, live, tell_live, count_text, seconds=0.6)

# %% [markdown]
# After a drift all are wrong, models move, and dynamic averaging sends. Once the learners agree again it falls silent,
# while a period goes on sending.

# %%
last = max(DRIFT_EVERY // 4, 1)
quiet = {label: run.transfers_in(DRIFT_EVERY - last, DRIFT_EVERY) for label, run in runs.items()}
Numbers(
    f"The whole stream, and how much was sent in the last {last} rounds before the first drift.",
    pd.DataFrame(
        [
            (label, count_text(round(run.loss)), run.total_mistakes, run.transfers, quiet[label])
            for label, run in runs.items()
        ],
        columns=["method", "loss", "mistakes", "models sent", "of these before the drift"],
    ),
)

# %% [markdown]
# ## How far is too far?
#
# The threshold Δ trades loss for messages. A small one sends more, a large one lets the learners
# drift apart. Nobody has to know how often the concept changes; that is what a period has to guess.

# %%
THRESHOLDS = (0.03, 0.3, 3.0)
PERIODS = (10, 50, 250)
swept = [
    *(("Δ", t, up.stream(source, learner, up.DynamicAveraging(t, check_period=10), learners=LEARNERS, rounds=ROUNDS))
      for t in THRESHOLDS),
    *(("every", b, up.stream(source, learner, up.FedAvg(b), learners=LEARNERS, rounds=ROUNDS)) for b in PERIODS),
]  # fmt: skip


def trade(width: float) -> Figure:
    figure = new_figure(width, 3.4)
    ax = figure.subplots()
    for kind, look, name in (("Δ", LOOKS[0], "dynamic, threshold Δ"), ("every", LOOKS[1], "every b rounds")):
        own = [(value, run) for which, value, run in swept if which == kind]
        ax.plot(
            [run.transfers for _, run in own],
            [run.loss for _, run in own],
            color=look.light,
            marker=look.marker,
            label=name,
        )
        for value, run in own:
            ax.annotate(f"{value:g}", (run.transfers, run.loss), xytext=(4, 4), textcoords="offset points")
    ax.margins(0.12)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: count_text(round(value)))
    ax.set(xlabel="models sent", ylabel="loss")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


Drawing("Loss against models sent", "Down and left is better. Each point is one setting on the same stream.", trade)

# %% [markdown]
# ## Where it does not help
#
# Silence needs learners that can become right. With constant noise and constant steps models never stop moving, and a
# good period is as good as a good threshold. The page on streams in the documentation measures both cases.

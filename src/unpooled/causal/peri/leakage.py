"""What a reader of the first round learns about single sites: their pairwise correlations.

With a Gaussian score, what x gains as the only parent of y at a site of n rows is -(n / 2) log(1 - rho^2) - penalty,
which solves for |rho|. Nothing of PERI's argument that graphs are hard to recover from regrets concerns this. In a
simulation the correlations are known, so the attacker's error can be measured for each way of telling less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from unpooled.causal.peri.agreeing import agreed_columns
from unpooled.causal.peri.at_site import table_for
from unpooled.causal.peri.climb import Climber
from unpooled.causal.peri.method import announce
from unpooled.causal.peri.noise import Noise
from unpooled.causal.peri.rules import Sum
from unpooled.causal.peri.secure import SummedValues
from unpooled.causal.peri.values import Floats, Key, Values
from unpooled.causal.scores.announced import GAUSSIAN, Announced
from unpooled.causal.scores.gaussian import Gaussian
from unpooled.errors import BadSetting
from unpooled.sites.secure_sum.questions import SMALLEST
from unpooled.sites.site import Site
from unpooled.sites.transports.in_process import InProcess

SCALES = (0.1, 1.0, 10.0, 100.0)


def recovered(heard: Mapping[Key, Floats], columns: int, rows: Sequence[int], penalty: Sequence[float]) -> Floats:
    """|correlations| of every site, shape (sites, m, m), from what a coordinator heard (`Peri.heard`).

    NaN where nothing was told of a pair.

    `rows` and `penalty` (nats a parent) of each site are known to a coordinator: it announced the score, and sites tell
    how many rows they hold. Both directions of a pair are averaged. Where only sums were told, each site is taken to
    have contributed by its share of the rows.
    """
    n, cost = np.asarray(rows, np.float64), np.asarray(penalty, np.float64)
    found = np.full((len(n), columns, columns), np.nan)
    gains = np.full((len(n), columns, columns), np.nan)
    for y in range(columns):
        alone = heard.get((y, 0))
        for x in range(columns):
            told = heard.get((y, 1 << x))
            if x != y and told is not None and alone is not None:
                gain = alone - told
                gains[:, x, y] = gain if len(gain) == len(n) else (gain + cost.sum()) * n / n.sum() - cost
    both = np.stack([gains, gains.transpose(0, 2, 1)])
    known = ~np.isnan(both)
    mean = np.where(known, both, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    fit = np.maximum(mean + cost[:, None, None], 0.0)
    some = known.any(axis=0)
    found[some] = np.sqrt(-np.expm1(-2 * fit / n[:, None, None]))[some]
    return found


def leakage(
    sites: Sequence[Site] | InProcess,
    score: str | Announced = "bic",
    *,
    scales: Sequence[float] = SCALES,
    clip: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The attacker's error for each disclosure, one row a disclosure and site of a simulation.

    Columns: `disclosure` ("nothing", "clear", "secure sum", "noise"), `scale` of the Laplace noise (NaN without),
    `site`, `error` (mean over pairs of | |rho| guessed - |rho| |), `pairs`. "nothing" is who guesses that the site is
    like the others: their mean |rho| of the pair (0 where there is none). Asks copies of the sites, whose ledgers and
    policies it does not touch. Raises `BadSetting` for a score of categories, whose regrets hold no correlation.
    """
    announced = score if isinstance(score, Announced) else Announced(name=score)
    if announced.name not in GAUSSIAN:
        raise BadSetting(f"Correlations leak from Gaussian scores, got {announced.name!r}: use 'bic' or 'aic'.")
    members = list(sites)
    columns = agreed_columns(_copies(members), announced)
    scores = [_score(site, announced, columns) for site in members]
    truth = np.stack([np.abs(s.correlation) for s in scores])
    rows, penalty = [s.rows for s in scores], [s.penalty for s in scores]
    others = [np.delete(truth, k, axis=0) for k in range(len(members))]
    guesses = [("nothing", np.nan, np.stack([o.mean(axis=0) if len(o) else truth[0] * 0.0 for o in others]))]
    ways: list[tuple[str, float, Noise | None, bool]] = [("clear", np.nan, None, False)]
    if len(members) >= SMALLEST:
        ways.append(("secure sum", np.nan, None, True))
    ways += [("noise", scale, Noise(scale=scale, clip=clip), False) for scale in scales]
    for disclosure, scale, noise, secure in ways:
        heard = _first_round(_copies(members), announced, columns, noise, secure=secure, seed=seed)
        guesses.append((disclosure, scale, recovered(heard, len(columns), rows, penalty)))
    pairs = np.triu_indices(len(columns), 1)
    return pd.DataFrame(
        [
            {
                "disclosure": disclosure,
                "scale": scale,
                "site": site.name,
                "error": float(np.abs(guess[k] - truth[k])[pairs].mean()),
                "pairs": len(pairs[0]),
            }
            for disclosure, scale, guess in guesses
            for k, site in enumerate(members)
        ]
    )


def _first_round(
    federation: InProcess,
    announced: Announced,
    columns: tuple[str, ...],
    noise: Noise | None,
    *,
    secure: bool,
    seed: int,
) -> dict[Key, Floats]:
    """What a coordinator has heard when it knows what the first operator of a search for the sum gains."""
    announce(federation, announced, columns, noise, local=False, seed=seed)
    values: Values = (
        SummedValues(federation, symmetric=True) if secure else Values(federation, differences=True, symmetric=True)
    )
    Climber(values, Sum(), columns, 1.0, seed).best("insert")
    return values.heard()


def _copies(sites: Sequence[Site]) -> InProcess:
    return InProcess.of([Site(site.name, state={"table": site.state["table"]}) for site in sites])


def _score(site: Site, announced: Announced, columns: tuple[str, ...]) -> Gaussian:
    found = announced.build(table_for(site, columns, announced))
    assert isinstance(found, Gaussian)
    return found

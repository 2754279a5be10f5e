"""The numbers behind figures and tables: record frames in, summary frames out; nothing is drawn here.

Intervals are two-sided 95 % Student t over seeds. Differences between methods are in `unpooled.figures.paired`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from unpooled.figures.looks import Methods, methods_of

LEVEL = 0.95
DIRECTIONS = ("up_messages", "up_bytes", "down_messages", "down_bytes")


class Interval(NamedTuple):
    """A mean over seeds and the half width of its 95 % interval (NaN for fewer than two seeds)."""

    mean: float
    half_width: float
    seeds: int


def interval(values: ArrayLike) -> Interval:
    """Mean and half width of the 95 % t-interval; values that are not finite are left out.

    >>> mean, half_width, seeds = interval([1.0, 2.0, 3.0])
    >>> mean, round(half_width, 3), seeds  # 4.3027 * 1 / sqrt(3)
    (2.0, 2.484, 3)
    """
    kept = np.asarray(values, dtype=float)
    kept = kept[np.isfinite(kept)]
    n = int(kept.size)
    if n == 0:
        return Interval(math.nan, math.nan, 0)
    if n == 1:
        return Interval(float(kept[0]), math.nan, 1)
    t = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1))
    return Interval(float(kept.mean()), t * float(kept.std(ddof=1)) / math.sqrt(n), n)


def _intervals(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """`interval` of the column `value` for each group: `by`, `mean`, `half_width`, `seeds`; groups keep their order."""
    finite = frame.assign(value=frame["value"].astype(float).replace([math.inf, -math.inf], math.nan))
    groups = finite.groupby(by, sort=False, observed=True)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index()
    n = table["count"].to_numpy()
    t = stats.t.ppf(0.5 + LEVEL / 2, np.maximum(n - 1, 1))
    table["half_width"] = t * table["std"].to_numpy() / np.sqrt(np.maximum(n, 1))
    return table.rename(columns={"count": "seeds"})[[*by, "mean", "half_width", "seeds"]]


def final_values(history: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The value after the last step: columns `protocol`, `model`, `seed`, `value`."""
    chosen = history[history["metric"] == metric].sort_values("step", kind="stable")
    last = chosen.drop_duplicates(["protocol", "model", "seed"], keep="last").sort_index(kind="stable")
    return last[["protocol", "model", "seed", "value"]].reset_index(drop=True)


def final_table(history: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Final results: columns `protocol`, `model`, `mean`, `half_width`, `seeds`."""
    return _intervals(final_values(history, metric), ["protocol", "model"])


def curve_table(history: pd.DataFrame, metric: str, model: str) -> pd.DataFrame:
    """Results on the way: `protocol`, `step`, `mean`, `half_width`, `seeds`, `bytes` (mean over seeds)."""
    chosen = history[(history["metric"] == metric) & (history["model"] == model)]
    table = _intervals(chosen, ["protocol", "step"])
    table["bytes"] = chosen.groupby(["protocol", "step"], sort=False, observed=True)["bytes"].mean().to_numpy()
    return table.sort_values("step", kind="stable").reset_index(drop=True)


def result_values(history: pd.DataFrame, metric: str, methods: Methods | None = None) -> pd.DataFrame:
    """What each method hands over in the end: `protocol`, `model`, `seed`, `value`.

    That is the combined model, or, for methods that never combine, the mean over the sites' own models. Where
    the record has only the other of the two, it is that.
    """
    values = final_values(history, metric)
    methods = methods_of(values["protocol"]) if methods is None else methods
    kept = []
    for label, group in values.groupby("protocol", sort=False, observed=True):
        wanted = methods[str(label)].result_model if str(label) in methods else "aggregate"
        present = set(group["model"])
        model = wanted if wanted in present else next((m for m in ("aggregate", "local_mean") if m in present), None)
        kept.append(group[group["model"] == model])
    return pd.concat(kept, ignore_index=True) if kept else values


def site_table(sites: pd.DataFrame, metric: str, methods: Methods | None = None) -> pd.DataFrame:
    """Results at each site: `protocol`, `site`, `model`, `mean`, `half_width`, `seeds`, both sample sizes.

    Of each method the model that counts as its result, or the one that the record has for sites. Sizes are
    means over seeds, as a simulation may split anew under every seed.
    """
    chosen = sites[sites["metric"] == metric]
    methods = methods_of(chosen["protocol"]) if methods is None else methods
    kept = []
    for label, group in chosen.groupby("protocol", sort=False, observed=True):
        wanted = "local" if str(label) in methods and methods[str(label)].result_model != "aggregate" else "aggregate"
        present = list(dict.fromkeys(group["model"]))
        kept.append(group[group["model"] == (wanted if wanted in present else present[0])])
    by, sizes = ["protocol", "site", "model"], ["samples", "test_samples"]
    rows = pd.concat(kept) if kept else chosen
    means = rows.groupby(by, sort=False, observed=True)[sizes].mean().reset_index()
    return _intervals(rows, by).merge(means, on=by, how="left")


def traffic_per_site(traffic: pd.DataFrame) -> pd.DataFrame:
    """Messages and bytes of each site, mean over seeds: `protocol`, `site` and `DIRECTIONS`."""
    columns = list(DIRECTIONS)
    totals = traffic.groupby(["protocol", "seed", "site"], sort=False, observed=True)[columns].sum()
    return totals.groupby(["protocol", "site"], sort=False, observed=True).mean().reset_index()


def traffic_table(traffic: pd.DataFrame) -> pd.DataFrame:
    """What a site sends and receives in one run of a method: `protocol`, then `DIRECTIONS` as mean, min, max.

    Columns are called `up_bytes`, `up_bytes_min`, `up_bytes_max` and so on; the mean, minimum and maximum are
    over sites, after the mean over seeds.
    """
    return _spread(traffic_per_site(traffic), ["protocol"])


def traffic_by_kind(traffic: pd.DataFrame) -> pd.DataFrame:
    """As `traffic_table`, for each kind of question: `kind`, `protocol`, then the same columns."""
    columns = list(DIRECTIONS)
    by_site = traffic.groupby(["kind", "protocol", "site"], sort=False, observed=True)[columns].mean().reset_index()
    return _spread(by_site, ["kind", "protocol"])


def _spread(by_site: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    grouped = by_site.groupby(by, sort=False, observed=True)[list(DIRECTIONS)]
    low, high = grouped.min().add_suffix("_min"), grouped.max().add_suffix("_max")
    return pd.concat([grouped.mean(), low, high], axis=1).reset_index()


def class_counts(sites: list[Mapping[str, Any]], most: int = 10) -> pd.DataFrame:
    """Who holds what: one row a site, one column a class; beyond `most` classes the rarest are added up.

    `sites` is the record's list (`name`, `samples`, `classes`). Without classes there is one column, "rows".
    """
    labels = list(dict.fromkeys(str(label) for site in sites for label in site.get("classes") or {}))
    names = [str(site["name"]) for site in sites]
    if not labels:
        return pd.DataFrame({"rows": [int(site["samples"]) for site in sites]}, index=names)
    labels = sorted(labels, key=_natural)
    counts = [{str(k): int(v) for k, v in (site.get("classes") or {}).items()} for site in sites]
    table = pd.DataFrame([[row.get(label, 0) for label in labels] for row in counts], index=names, columns=labels)
    if len(labels) > most:
        kept = set(table.sum().sort_values(ascending=False, kind="stable").index[: most - 1])
        rest = [label for label in labels if label not in kept]
        table[f"{len(rest)} other classes"] = table[rest].sum(axis=1)
        table = table.drop(columns=rest)
    return table


def _natural(label: str) -> list[tuple[int, int, str]]:
    """Sort "class 10" behind "class 9": runs of digits by value, the rest by spelling."""
    parts = re.findall(r"\d+|\D+", label)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]

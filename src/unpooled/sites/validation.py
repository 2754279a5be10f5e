"""Validation rows: a part of each site's training rows that is held back while a setting is being chosen.

Test rows are no part of it: whoever chooses with these sites cannot have looked at them. Works on simulated sites.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.sites.payload import Array
from unpooled.sites.site import Samples, Site


def set_aside(sites: Iterable[Site], fraction: float, seed: int) -> list[Site]:
    """The same sites with `fraction` of their training rows turned into their test rows; the old test rows are gone.

    A site of n rows gives up at most round(fraction * n), drawn with the stream `validation` of `seed`, and keeps at
    least one. Rows of one group stay on one side, also where a group lies at several sites. Policies and ledgers stay
    the sites' own. Raises `BadSetting` for a fraction outside (0, 1) and where no site has a row to spare.
    """
    if not 0.0 < fraction < 1.0:
        raise BadSetting(f"validation_fraction must lie between 0 and 1, got {fraction!r}.")
    sites = list(sites)
    held = [site.require_train() for site in sites]
    spare = [min(int(np.floor(fraction * len(h) + 0.5)), len(h) - 1) for h in held]
    chosen = _chosen(held, spare, Streams(seed).generator("validation"))
    if not any(mask.any() for mask in chosen):
        raise BadSetting(
            f"validation_fraction = {fraction} leaves no validation row at any site: take a greater one, or sites "
            "with more rows."
        )
    return [
        Site(site.name, part(h, ~mask), part(h, mask) if mask.any() else None, site.policy, site.ledger)
        for site, h, mask in zip(sites, held, chosen, strict=True)
    ]


def part(data: Samples, rows: Array) -> Samples:
    """Some rows of `data`, a mask or indices."""
    return Samples(data.X[rows], data.y[rows], None if data.groups is None else data.groups[rows])


def together(sites: Iterable[Site]) -> Samples:
    """The test rows of all sites in one place, as a simulation may put them."""
    parts = [site.test for site in sites if site.test is not None]
    return Samples(np.concatenate([p.X for p in parts]), np.concatenate([p.y for p in parts]))


def _chosen(held: Sequence[Samples], spare: Sequence[int], rng: np.random.Generator) -> list[Array]:
    """A mask over each site's rows: whole groups, in random order, as long as every site concerned can spare them."""
    units: dict[object, list[tuple[int, int]]] = {}
    for number, data in enumerate(held):
        for row in range(len(data)):
            label = (number, row) if data.groups is None else str(data.groups[row])
            units.setdefault(label, []).append((number, row))
    masks = [np.zeros(len(data), dtype=bool) for data in held]
    left = list(spare)
    places = list(units.values())
    for unit in rng.permutation(len(places)).tolist():
        need: dict[int, int] = {}
        for number, _ in places[unit]:
            need[number] = need.get(number, 0) + 1
        if all(left[number] >= count for number, count in need.items()):
            for number, row in places[unit]:
                masks[number][row] = True
                left[number] -= 1
    return masks

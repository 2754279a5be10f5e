"""Many families in one question: plain arrays for the wire, and what each of them takes at a site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256

import numpy as np

from unpooled.causal.combined.grouping import Family
from unpooled.causal.combined.moments import FORMS
from unpooled.causal.variables import CHOSEN
from unpooled.errors import BadData, Refused
from unpooled.sites.payload import Array
from unpooled.sites.questions import Question
from unpooled.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class Families(Question):
    """Variables with their parents and groups of sites. `shape` (n, 4), int32: variable, number of parents, number of
    sites, form; `members` the parents and the sites of each in turn, as places in `columns` and `names`."""

    session: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    shape: Array
    members: Array


def described(families: Sequence[Family]) -> dict[str, Array]:
    """The fields `shape` and `members`."""
    shape = [(f.node, len(f.parents), len(f.group), FORMS.index(f.form)) for f in families]
    members = [place for f in families for place in (*f.parents, *f.group)]
    return {"shape": np.array(shape, np.int32).reshape(-1, 4), "members": np.array(members, np.int32)}


def families_for(site: Site, question: Families) -> list[Family]:
    """The families of a question, checked; raises `Refused` where the site is to stand alone or is in no group."""
    families, at = [], 0
    places = [int(place) for place in question.members]
    own = question.names.index(site.name) if site.name in question.names else -1
    for node, parents, sites, form in question.shape.tolist():
        chosen, group = places[at : at + parents], places[at + parents : at + parents + sites]
        at += parents + sites
        known = len(question.columns)
        if not all(0 <= p < known for p in (node, *chosen)) or len({node, *chosen}) <= parents or form >= len(FORMS):
            raise BadData("it was asked for a variable and parents that are none of the columns, or repeat.")
        if own not in group or len(set(group)) < 2 or not all(0 <= k < len(question.names) for k in group):
            raise Refused("a sum is over a group of two or more sites, of which it is one; alone it tells nothing.")
        families.append(Family(node, tuple(chosen), tuple(group), FORMS[form]))
    return families


def label_of(site: Site, question: Families, family: Family, also: bytes = b"") -> bytes:
    """What tells this sum from every other one, the same at all sites of the group; `also` is what else it depends on.

    All that the sum depends on is in it, the rows that were agreed on or drawn anew too: a coordinator that asks for
    one sum twice, over other rows, does not get the same masks and so cannot subtract them.
    """
    shared = [getattr(question, f.name) for f in fields(question) if f.name not in ("shape", "members", "theta")]
    plain = [value.tobytes().hex() if isinstance(value, np.ndarray) else value for value in shared]
    return sha256(repr((question.kind, plain, family, also, site.state.get(CHOSEN, ""))).encode()).digest()

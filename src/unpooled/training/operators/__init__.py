"""Parts of exchanges, and operators that make new exchanges of them.

`permute`, `cyclic`, `recombine`, `aggregate` and `server` do something each time they are called; `every`, `at_end`,
`chain`, `first` and `cycle` say when and in which order, `only` and `rotate` on which layers, `subset` among which
sites, and `seen` with which weights. The frame is that of Kamp et al., "Efficient decentralized deep learning by
dynamic model averaging", 2018; each module names the sources of its operators.
"""

from __future__ import annotations

from unpooled.training.operators.aggregation import aggregate, averaging, server
from unpooled.training.operators.base import Nothing, Stateless
from unpooled.training.operators.hops import Hop, cyclic, hop, permute, recombine
from unpooled.training.operators.layers import Body, Head, LayerSet, NotNorms, only, rotate
from unpooled.training.operators.seen import seen
from unpooled.training.operators.subset import subset
from unpooled.training.operators.timing import at_end, chain, cycle, every, first

__all__ = [
    "Body",
    "Head",
    "Hop",
    "LayerSet",
    "NotNorms",
    "Nothing",
    "Stateless",
    "aggregate",
    "at_end",
    "averaging",
    "chain",
    "cycle",
    "cyclic",
    "every",
    "first",
    "hop",
    "only",
    "permute",
    "recombine",
    "rotate",
    "seen",
    "server",
    "subset",
]

"""Runs in a rival's environment: python causal_worker.py RIVAL TABLE.npy prints seconds and the CPDAG as JSON.

Each search runs once on a tiny table first, so that compiling and imports are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np


def xges(x: Any, extended: bool) -> Any:
    from xges import XGES
    from xges.bic_scorer_fast import BICScorerFast

    search = XGES()
    # Given by hand, as the released search does not find its own fast scorer. BIC is alpha 1; the default is 2.
    search.fit(x, extended_search=extended, scorer=BICScorerFast(x, alpha=1.0))
    return search.get_adjacency_matrix()


def causal_learn(x: Any) -> Any:
    from causallearn.search.ScoreBased.GES import ges

    graph = ges(x, score_func="local_score_BIC_from_cov")["G"].graph
    return graph == -1  # the tail of an arrow, and both ends of a line


def ges(x: Any) -> Any:
    import ges

    return ges.fit_bic(x)[0]


SEARCHES = {
    "xges": lambda x: xges(x, True),
    "xges-0": lambda x: xges(x, False),
    "causal-learn": causal_learn,
    "ges": ges,
}

if __name__ == "__main__":
    search, table = SEARCHES[sys.argv[1]], np.load(sys.argv[2])
    search(np.random.default_rng(0).standard_normal((100, 3)))
    start = time.perf_counter()
    found = search(table)
    seconds = time.perf_counter() - start
    print("\n" + json.dumps({"seconds": seconds, "adjacency": np.asarray(found).astype(bool).astype(int).tolist()}))

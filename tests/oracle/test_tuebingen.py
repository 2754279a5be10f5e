"""Direction of real cause-effect pairs by the shorter description, as `examples/causal/real_data.py` reports it.

Mooij, Peters, Janzing, Zscheischler and Schölkopf, JMLR 17, 2016: weighted accuracy over the pairs with one column on
either side. Methods of this kind are reported between 60 and 75 %.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/causal/real_data.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pruning", ["length", "gcv"])
def test_direction_of_cause_effect_pairs(shared_data: Path, pruning: str) -> None:
    found = runpy.run_path(str(EXAMPLE))["pairs"](shared_data / "tuebingen-pairs", pruning)
    assert found["count"] == 102
    assert found["high"] > 0.6  # not below what is reported for such methods

"""Combiners in configs, and what importing them brings in."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from unpooled.combine import COMBINERS, MultiKrum, Radon, TrimmedMean, combiner, mean, table
from unpooled.errors import BadSetting


@pytest.mark.parametrize(
    ("setting", "made"),
    [
        ("mean", mean),
        ({"kind": "trimmed_mean", "trim": 0.1}, TrimmedMean(0.1)),
        ({"kind": "radon", "height": 2, "seed": 5}, Radon(2, 5)),
        ({"kind": "multi_krum", "byzantine": 1, "keep": 2}, MultiKrum(1, 2)),
        (np.mean, np.mean),
    ],
)
def test_names_tables_and_functions_make_combiners(setting: Any, made: Any) -> None:
    assert combiner(setting) == made


@pytest.mark.parametrize("made", [TrimmedMean(0.1), Radon(2, 5), MultiKrum(1, 2), *COMBINERS.values()])
def test_a_combiner_and_its_table_make_each_other(made: Any) -> None:
    assert combiner(table(made)) == made


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("radn", "There is no combiner 'radn'; there are mean, .*Did you mean 'radon'"),
        ({"kind": "krumm"}, "There is no combiner 'krumm'.*Did you mean 'krum'"),
        ({"trim": 0.1}, "There is no combiner {'trim': 0.1}"),
        (7, "There is no combiner 7"),
        ({"kind": "trimmed_mean", "trimm": 0.1}, r"\[trimmed_mean\] has no setting 'trimm'. Did you mean 'trim'"),
        ({"kind": "mean", "x": 1}, r"\[mean\] has no setting 'x'. There are none"),
        ({"kind": "trimmed_mean", "trim": "much"}, r"\[trimmed_mean\] has a setting of the wrong type"),
        ({"kind": "trimmed_mean", "trim": 0.7}, "trim must lie above 0 and below 0.5, got 0.7"),
        ({"kind": "radon", "seed": "x"}, "seed must be a whole number, got 'x'"),
        ({"kind": "radon", "height": 0}, "height must be a whole number of at least 1"),
    ],
)
def test_what_is_no_combiner_is_refused_with_a_hint(setting: Any, message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        combiner(setting)


def test_labels_name_the_settings_that_are_not_defaults() -> None:
    assert TrimmedMean(0.1).__name__ == "trimmed_mean(trim=0.1)"
    assert MultiKrum(1).__name__ == "multi_krum(byzantine=1)"
    assert TrimmedMean().__name__ == "trimmed_mean"


def test_combining_works_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy, unpooled.combine as c\n"
        "assert c.radon(numpy.eye(3)[:, :1]).shape == (1,)\n"
        "del sys.modules['torch']\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'torch']"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)

"""Validation rows: training rows only, by group, and never the last row of a site."""

from __future__ import annotations

import numpy as np
import pytest

from unpooled.errors import BadSetting
from unpooled.sites.site import Samples, Site
from unpooled.sites.validation import set_aside, together


def sites(*sizes: int, groups: list[list[int]] | None = None) -> list[Site]:
    """Sites whose rows all differ; test rows are negative."""
    made, start = [], 0
    for i, n in enumerate(sizes):
        X = np.arange(start, start + n, dtype=np.float32)[:, None]
        own = None if groups is None else np.array(groups[i])
        test = Samples(-1 - X[:1], np.zeros(1, dtype=np.int64))
        made.append(Site(f"s{i}", Samples(X, np.zeros(n, dtype=np.int64), own), test))
        start += n
    return made


def test_each_site_gives_its_share_and_keeps_a_row() -> None:
    aside = set_aside(sites(8, 2, 1, 20), 0.25, seed=0)
    assert [len(s.require_train()) for s in aside] == [6, 1, 1, 15]
    assert [0 if s.test is None else len(s.test) for s in aside] == [2, 1, 0, 5]


def test_all_rows_are_old_training_rows_each_once() -> None:
    before = sites(8, 5)
    aside = set_aside(before, 0.4, seed=3)
    rows = np.concatenate([s.require_train().X.ravel() for s in aside] + [together(aside).X.ravel()])
    assert sorted(rows.tolist()) == list(range(13))  # no negative row: the test rows are gone
    assert [len(s.require_train()) for s in before] == [8, 5]


def test_groups_stay_whole_also_across_sites() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        groups = [rng.integers(0, 12, 9).tolist() for _ in range(4)]
        aside = set_aside(sites(9, 9, 9, 9, groups=groups), 0.3, seed)
        kept = {g for s in aside for g in s.require_train().groups.tolist()}
        held = {g for s in aside if s.test is not None for g in s.test.groups.tolist()}
        assert held
        assert not kept & held
        assert all(s.test is None or len(s.test) <= 3 for s in aside)


def test_the_seed_draws_the_rows() -> None:
    drawn = [together(set_aside(sites(40, 40), 0.25, seed)).X.tobytes() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_no_row_to_spare_is_said() -> None:
    with pytest.raises(BadSetting, match="leaves no validation row at any site: take a greater one"):
        set_aside(sites(1, 1), 0.5, 0)
    with pytest.raises(BadSetting, match="between 0 and 1"):
        set_aside(sites(4), 1.0, 0)

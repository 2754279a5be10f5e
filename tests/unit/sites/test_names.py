"""Names that are made when they are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from unpooled.sites.names import Numbered, picked


def test_a_numbered_name_knows_its_number_and_refuses_others() -> None:
    names = Numbered("site", 12)
    assert [names.number(name) for name in names] == list(range(12))
    for other in ("site12", "site07", "site-1", "site", "sites3", "a3"):
        with pytest.raises(ValueError, match=other):
            names.number(other)


def test_picking_picks_among_what_was_picked() -> None:
    few = Numbered("s", 100).pick(np.array([5, 50, 99]))
    assert list(few) == ["s5", "s50", "s99"] == list(picked(few, None))
    assert few.pick(np.array([2, 0])) == ("s99", "s5")
    assert list(few[1:]) == ["s50", "s99"]
    assert picked(("a", "b", "c"), np.array([2, 0])) == ("c", "a")


def test_equal_names_are_equal_however_they_are_kept() -> None:
    assert Numbered("s", 3) == ("s0", "s1", "s2")
    assert Numbered("s", 3) == Numbered("s", 5)[:3]
    assert Numbered("s", 3) != Numbered("t", 3)
    assert Numbered("s", 3) != ("s0", "s1")

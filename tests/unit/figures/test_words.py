"""Names, looks and numbers as figures and page show them."""

from __future__ import annotations

import math

import pytest

from unpooled.figures.looks import LOOKS, RESERVED, THEME, Method, methods, methods_of, variables
from unpooled.figures.words import metric_called
from unpooled.training.protocols import PROTOCOLS


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("metric", "mean", "half", "shown"),
    [
        ("accuracy", 0.9412, 0.0081, "94.1 ± 0.8 %"),
        ("accuracy", 0.9412, math.nan, "94.1 %"),
        ("rmse", 5.2, 0.0656, "5.20 ± 0.07"),
        ("rmse", 1234.4, 56.7, "1234 ± 57"),
        ("loss", 0.0, 0.0, "0.00 ± 0.00"),
        ("accuracy", math.nan, math.nan, "–"),
    ],
)
def test_interval_in_words(metric: str, mean: float, half: float, shown: str) -> None:
    assert plain(metric_called(metric).interval(mean, half)) == shown


def test_difference_has_a_sign_and_points() -> None:
    accuracy = metric_called("accuracy")
    assert plain(accuracy.difference(0.031, 0.009)) == "+3.1 ± 0.9 points"
    assert plain(accuracy.difference(-0.031, 0.009)) == "−3.1 ± 0.9 points"
    assert plain(accuracy.difference(-0.00001, 0.009)) == "0.0 ± 0.9 points"


def test_unknown_metric_is_shown_as_it_is() -> None:
    assert metric_called("hit_rate").words == "hit rate"
    assert metric_called("hit_rate").higher_is_better
    assert not metric_called("worst_site_loss").higher_is_better


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_stand_out_from_the_background(theme: int) -> None:
    paper = luminance(THEME["paper"][theme])
    for name, pair in variables().items():
        if name not in ("paper", "grid"):
            light, dark = sorted((luminance(pair[theme]), paper), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= (4.5 if name in THEME else 3.0), name


def test_every_colour_has_one_name() -> None:
    light = [pair[0] for pair in variables().values()]
    assert len(set(light)) == len(light)


def test_local_and_pooled_look_alike_in_every_report() -> None:
    first, second = methods_of(["FedAvg(1)", "Local", "Pooled"]), methods_of(["Pooled", "A", "B", "Local"])
    for label in ("Local", "Pooled"):
        assert first[label] == second[label]
    assert first["Pooled"].shown == "Pooled (simulation only)"
    assert first["Local"].look is RESERVED["local"]


def test_no_two_of_many_methods_look_the_same() -> None:
    found = methods_of(f"M{i}(1)" for i in range(2 * len(LOOKS)))
    assert len({(m.look.slot, m.look.marker, m.look.dash) for m in found.values()}) == 2 * len(LOOKS)


def test_kind_decides_and_not_the_label() -> None:
    found: Method = methods([{"label": "alone", "kind": "Local", "simulation_only": False}])["alone"]
    assert found.alone
    assert found.result_model == "local_mean"


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_what_counts_as_a_result_is_the_same_for_tuning_and_for_tables(kind: str) -> None:
    assert methods_of([kind])[kind].result_model == PROTOCOLS[kind].result_model

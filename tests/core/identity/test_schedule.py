"""Schedules over the sampling as readable strings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fantasyid_core.identity.steering.schedule import (
    SCHEDULE_PRESETS,
    check_schedule,
    parse_schedule,
    schedule_weight,
)


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("0:0, 0.2:1, 0.8:1, 1:0", [(0, 0), (0.2, 1), (0.8, 1), (1, 0)]),
        ("", [(0, 1), (1, 1)]),
        ("50%: -2", [(0.5, -2)]),
        ("0.5:1;\n .5:0", [(0.5, 1), (0.5, 0)]),
        (" Fade-In ", [(0, 0), (0.3, 1)]),
    ],
)
def test_every_form_of_the_text_gives_its_points(text, points):
    assert parse_schedule(text) == points


@pytest.mark.parametrize(
    ("text", "character", "expected"),
    [
        ("0:0, 0.2:1, 0.1:1", 13, "from 0.2 on, in order"),
        ("1.2:1", 1, "from 0 to 1"),
        ("-0.1:1", 1, "from 0 to 1"),
        ("120%:1", 1, "from 0 to 1"),
        ("0.5:1, 0.5:0, 0.5:1", 15, "at most two points"),
        ("0:nan", 3, "finite"),
        ("nan:1", 1, "a part|points such as"),
        ("0", 2, "':' and the weight"),
        ("0:1 x", 5, "a comma or the end"),
        ("0:1, x:1", 6, "a part of the sampling"),
        ("fade", 1, "presets always, fade in"),
        ("fade in, 1:1", 10, "nothing after a preset"),
    ],
)
def test_a_mistake_is_pointed_at(text, character, expected):
    with pytest.raises(ValueError, match=f"Schedule: expected .*({expected})") as caught:
        parse_schedule(text)
    message, line, caret = str(caught.value).split("\n")
    assert message.endswith(f"at character {character}.")
    assert line == f"  {text}" and caret == " " * (character + 1) + "^"


def test_the_weight_is_linear_between_the_points_and_stays_outside():
    points = parse_schedule("0.2:0, 0.6:2, 0.9:-1")
    for percent in np.linspace(0, 1, 101):
        assert schedule_weight(points, percent) == pytest.approx(np.interp(percent, *zip(*points, strict=True)))
    assert schedule_weight(points, 0) == 0 and schedule_weight(points, 1) == -1


def test_two_points_at_one_place_are_a_jump():
    points = parse_schedule("0:1, 0.5:1, 0.5:0, 1:0")
    assert schedule_weight(points, math.nextafter(0.5, 0)) == 1 and schedule_weight(points, 0.5) == 0
    assert schedule_weight(parse_schedule("first half"), 0.5) == 0 == schedule_weight(parse_schedule("second half"), 0)


@pytest.mark.parametrize("name", SCHEDULE_PRESETS)
def test_presets_have_names(name):
    assert parse_schedule(name) == SCHEDULE_PRESETS[name]
    assert check_schedule(SCHEDULE_PRESETS[name]) == SCHEDULE_PRESETS[name]


@pytest.mark.parametrize(
    "points", [[], [(0.5, 1), (0.2, 1)], [(0, math.nan)], [(2, 1)], [(0, 1)] * 3, [(math.nan, 1)], ["ab", 3]]
)
def test_points_that_are_no_schedule_are_refused(points):
    with pytest.raises(ValueError, match="Expected .*(schedule|point)"):
        check_schedule(points)

"""Pictures of layer weights and schedules."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fantasyid_core.identity.steering.curves import BACKGROUND, INK, draw_curve, draw_schedule


def ink(picture: np.ndarray) -> np.ndarray:
    """Where the picture is at least as blue as half the curve's colour; everything else in it is grey."""
    return picture[..., 2].astype(int) - picture[..., 0] > (INK[2] - INK[0]) / 2


def test_bars_are_as_high_as_the_weights():
    picture = draw_curve([1.0, 0.5, 0.0, 0.25], 280, 120)
    assert picture.shape == (120, 280, 3) and picture.dtype == np.uint8
    assert (picture[0, 0] == BACKGROUND).all()
    columns = [int(30 + (layer + 0.5) / 4 * 242) for layer in range(4)]
    heights = np.array([ink(picture)[:, x].sum() for x in columns])
    assert np.abs(heights - 96 * np.array([1, 0.5, 0, 0.25])).max() <= 1.5


def test_negative_weights_hang_down():
    rows = np.flatnonzero(ink(draw_curve([-1.0], 100, 100))[:, 61])
    assert rows.min() == pytest.approx(8 + 76 / 2, abs=1.5) and rows.max() == pytest.approx(8 + 76, abs=1.5)


def test_the_line_follows_the_schedule():
    picture = ink(draw_schedule([(0.0, 0.0), (1.0, 1.0)], 238, 124))
    for x in (60, 130, 200):
        assert np.flatnonzero(picture[:, x]).mean() == pytest.approx(8 + 100 * (1 - (x - 30) / 200), abs=1.5)


def test_a_schedule_of_one_point_is_a_level_line():
    picture = ink(draw_schedule([(0.5, 2.0)]))
    assert picture[7:9, 40:240].any(axis=0).all() and not picture[11:].any()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: draw_curve([]), "at least one weight"),
        (lambda: draw_curve([math.nan]), "finite"),
        (lambda: draw_curve([1.0], 20, 96), "64 x 48 pixels, got 1 and 20 x 96"),
        (lambda: draw_schedule([]), "at least one point"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()

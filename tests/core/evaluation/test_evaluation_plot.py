"""The picture of a video's scores."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.evaluation import score_plot
from fantasyid_core.evaluation.plot import LIKENESS, MOTION, NEIGHBOURS, PAPER, Panel, _frame_ticks, _ticks


def pixels(picture: np.ndarray, colour) -> np.ndarray:
    """Where the picture has a colour, [H, W]."""
    return (np.abs(picture.astype(int) - colour).max(axis=2) < 25)[:, 56:]


def rows_of_curve(picture: np.ndarray, colour, column: int) -> np.ndarray:
    return np.flatnonzero(pixels(picture, colour)[45:, column]) + 45


def test_the_plot_has_its_parts():
    picture = score_plot(np.full(9, 0.5), np.full(8, 0.3), np.full(8, 0.9))
    assert picture.shape == (420, 720, 3) and picture.dtype == np.uint8
    assert (picture[0, 0] == PAPER).all()
    for colour in (LIKENESS, NEIGHBOURS, MOTION):
        assert pixels(picture, colour).sum() > 500
    assert score_plot([0.5], width=800, height=300).shape == (300, 800, 3)


def test_curves_stand_where_their_values_are():
    low, high = (score_plot(np.full(2, value), np.full(1, 1.0)) for value in (0.0, 1.0))
    column = 300
    bottom, top = (np.median(rows_of_curve(each, LIKENESS, column)) for each in (low, high))
    ramp = score_plot([0.0, 1.0], [1.0])
    for part in (0.2, 0.6, 0.9):
        rows = rows_of_curve(ramp, LIKENESS, round(part * 650))
        assert np.abs(rows - (bottom + part * (top - bottom))).min() < 3


def test_a_gap_in_the_values_is_a_gap_in_the_curve():
    values = np.full(11, 0.8)
    whole = pixels(score_plot(values), LIKENESS)
    values[4:7] = np.nan
    gap = pixels(score_plot(values), LIKENESS)
    thick = lambda curve, x: curve[45:, x : x + 20].any(axis=1).sum()  # noqa: E731
    # The dashed mean remains, which is thinner than the curve and interrupted.
    assert thick(whole, 320) > thick(gap, 320) and thick(gap, 100) == thick(whole, 100)


def test_a_video_without_faces_and_a_single_frame_are_drawn():
    nothing = score_plot(np.full(5, np.nan), np.full(4, np.nan))
    assert pixels(nothing, LIKENESS)[60:].sum() == 0
    assert pixels(score_plot([0.7]), LIKENESS).sum() > 20


def test_negative_likeness_widens_the_axis():
    assert Panel("", [], (0, 100), 2, 1.0).ticks == [0, 0.25, 0.5, 0.75, 1]
    assert _ticks(-0.2, 1.0) == [-0.5, 0, 0.5, 1]
    assert _ticks(0, 12) == [0, 5, 10, 15] and _ticks(0, 0.1) == [0, 0.025, 0.05, 0.075, 0.1]
    assert len(_frame_ticks(49)) <= 13 and len(_frame_ticks(100000)) < 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least 1 frame and one value fewer of the others, got 0, 0 and 0"),
        (([0.5, 0.5], [1, 1]), "got 2, 0 and 2"),
        (([0.5, np.inf],), "finite numbers"),
        (([[0.5, 0.5]],), r"series of finite numbers .NaN for gaps., got \[1, 2\]"),
        (([0.5], (), (), "", 300), "at least 560 x 280 pixels, got 300 x 420"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        score_plot(*arguments)

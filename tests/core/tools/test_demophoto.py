"""The real photo of the demo: shipped, found, fitted and edited with nothing but what comes along."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.tools.demophoto import TITLES, below, photo_panels, photo_sheet


@pytest.fixture(scope="module")
def panels():
    return photo_panels()


def test_each_panel_shows_something_else(panels):
    assert len(panels) == len(TITLES) == 6
    photo, *others = (panel.astype(int) for panel in panels)
    for title, other in zip(TITLES[1:], others, strict=True):
        assert other.shape == (512, 512, 3) and np.abs(other - photo)[120:480, 120:400].mean() > 0.5, title
    assert all(np.abs(one - two).mean() > 0.3 for one, two in zip(others, others[1:], strict=False))


def test_a_wider_face_is_wider_and_the_rest_of_the_picture_stays(panels):
    moved = np.abs(panels[3].astype(int) - panels[0]).mean(axis=-1)
    assert moved[:6].max() < 6 and moved[200:400].mean() > 10 * moved[:30].mean()


def test_the_row_hangs_below_the_sheet(panels):
    row = photo_sheet(panels)
    both = below(np.zeros((10, 3000, 3), np.uint8), row)
    assert both.shape == (10 + len(row), 3000, 3) and np.array_equal(both[10:, : row.shape[1]], row)


def test_a_photo_without_a_face_is_explained():
    with pytest.raises(ValueError, match="(?i)no face"):
        photo_panels(np.full((300, 300, 3), 128, np.uint8))

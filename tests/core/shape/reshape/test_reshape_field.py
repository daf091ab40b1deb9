"""Where pixels come from: no place is fetched twice, however strong the edit is."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.reshape.field import draw_on, grid_around, movement, reach_of


@pytest.mark.parametrize("share", [0.03, -0.03, 0.12, -0.12], ids=["wider", "narrower", "much wider", "much narrower"])
def test_a_head_of_another_width_folds_nothing_around_it(share):
    mesh, size, pixels = head_mesh(), (420, 400), 1.2
    before = 1000 * pixels * np.asarray(mesh.template, np.float64) * (1, -1, 1) + (200, 210, 0)
    after = before + share * (before - (200, 210, 0)) * (1, 0, 0)
    reach = reach_of(before[:, :2], after[:, :2], pixels)
    grid = grid_around(np.concatenate([before, after])[:, :2], reach, size)
    field = movement(draw_on(grid, after, mesh.faces), before[:, :2], after[:, :2], mesh.faces, pixels, size).full()
    assert np.abs(field).max() > 0.8 * np.abs(after - before).max()
    assert (1 + np.diff(field[..., 0], axis=1)).min() > 0.2, "pixels side by side change places"
    assert np.abs(field[:, [0, -1]]).max() < 0.05 * np.abs(field).max(), "the edges of the part stay"

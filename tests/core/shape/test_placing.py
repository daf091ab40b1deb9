"""The pose of a head by its points: what is no face is told as such."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.shape.reconstruct.placing import pose_of

PLACES = np.random.default_rng(0).normal(size=(20, 3)) * (60, 80, 30)


def test_points_that_a_similarity_moved_give_it_back_with_one_of_them_wrong():
    points = 2.0 * PLACES + (300, -200, 10)
    points[3] += 500
    pose = pose_of(points, PLACES, np.linspace(1, 2, 20))
    np.testing.assert_allclose(pose.rotation, np.eye(3), atol=0.02)
    assert pose.scale == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("points", [np.outer(np.arange(20), [1.0, 2, 0]), np.zeros((20, 3)), np.full((20, 3), np.nan)])
def test_points_of_no_face_are_refused(points):
    with pytest.raises(ValueError, match="etect the face again"):
        pose_of(points, PLACES, np.ones(20))

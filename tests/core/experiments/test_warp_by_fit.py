"""Heads with a photo's skin, and how true Warp Face is with the head that was fitted to them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: no person can be drawn")

from fantasyid_core.experiments import warp_by_fit as warping
from fantasyid_core.experiments.drawn_heads import distance, face_region
from fantasyid_core.experiments.skinned_heads import SCALE, Pose, draw_skinned, head_of, rotation
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.reconstruct.placing import pose_of

SEED = 1_000_000_700


@pytest.fixture(scope="module")
def drawn():
    return draw_skinned(*head_of(SEED))


def test_a_drawn_head_lies_where_it_is_said_to(drawn):
    assert drawn.picture.shape == (512, 512, 3) and 0.08 < drawn.face.mean() < 0.3
    far = draw_skinned(drawn.vertices, Pose(20.0, -5.0, 8.0), distance=1000.0)
    pose = pose_of(far.lying * (1, -1, 1), 1000 * drawn.vertices, np.ones(len(drawn.vertices)))
    np.testing.assert_allclose(pose.rotation, rotation(Pose(20.0, -5.0, 8.0)), atol=1e-3)
    assert pose.scale == pytest.approx(SCALE / 1000, rel=1e-3)
    assert pose.yaw == pytest.approx(20, abs=0.5)


def test_the_best_camera_is_exact_from_far_away_and_near_otherwise(drawn):
    region = face_region(head_mesh().template)
    misses = []
    for head in (drawn, draw_skinned(drawn.vertices, Pose(10.0, 0.0, 0.0), distance=1000.0)):
        away = warping.best_camera(head.vertices, head) - head.lying
        misses.append(np.linalg.norm(away[region, :2], axis=1).mean())
    assert 0.5 < misses[0] < 8 and misses[1] < 0.05


def test_a_wrong_head_is_as_wrong_as_is_said(drawn):
    region = face_region(head_mesh().template)
    wrong = warping.wrong_head(drawn.vertices, SEED)
    assert distance(wrong[region], drawn.vertices[region]) == pytest.approx(warping.ERROR, rel=0.05)


def test_warping_by_the_fit_is_as_true_as_by_decas_camera():
    """In the points as true as DECA could be, in the pixels nearly so; better than without either."""
    rows = warping.measure(SEED, ("face_width", "eye_size"), (0.5,), causes=True)
    mean = {name: np.mean([row[name] for row in rows], axis=0) for name in rows[0] if name != "slider"}
    fit, bound, wrong, five, nothing = (
        mean[name] for name in (warping.FIT, warping.BOUND, warping.WRONG, warping.FIVE, warping.NOTHING)
    )
    assert fit[0] > nothing[0] + 10 and fit[1] < 0.5 * nothing[1]
    assert fit[0] > five[0] + 1 and fit[0] > wrong[0] - 2
    assert fit[1] < bound[1] + 0.05
    assert mean[warping.FIT_HEAD][0] > five[0] + 1 and mean[warping.FIT_PLACE][0] > five[0] + 1
    assert abs(mean[warping.FIT_PLACE][0] - fit[0]) < 1  # the place tells, not the head


def test_the_table_has_a_row_for_every_slider_and_one_for_all(monkeypatch, capsys):
    row = {name: warping.Result(40.0, 0.5) for name in (warping.FIT, warping.BOUND, warping.WRONG, warping.FIVE)}
    row |= {warping.NOTHING: warping.Result(30.0, 1.0)}
    monkeypatch.setattr(warping, "measure", lambda seed, sliders, causes: [{"slider": name, **row} for name in sliders])
    assert warping.main(["--heads", "1", "--sliders", "face_width", "jaw_width"]) == 0
    told = capsys.readouterr().out
    assert "| all | 40.0 | 40.0 | 40.0 | 40.0 | 30.0 | 0.50 |" in told and "1 heads, sliders at -0.5 and 0.5" in told

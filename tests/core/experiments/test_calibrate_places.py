"""Where a face lies beneath its points, learned from heads whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: no person can be drawn")

from fantasyid_core.experiments import calibrate_places as calibrating
from fantasyid_core.experiments.calibrate_places import Placed
from fantasyid_core.experiments.drawn_heads import HELD_OUT
from fantasyid_core.shape.reconstruct.calibration import POINTS, load_correction, save_correction
from fantasyid_core.shape.reconstruct.landmark_fit import fit_points, own_head
from fantasyid_core.tools.demophoto import PHOTO


def invented(heads: int) -> list[Placed]:
    """Heads that are wider than their points by half of how much the points are."""
    draw, vertices = np.random.default_rng(0), len(own_head().template)
    widths = draw.normal(0, 3, heads)
    noise = [0.01 * draw.normal(size=(POINTS, 2)) for _ in widths]
    return [
        Placed(np.full((POINTS, 2), (width, 0)) + some, np.full((vertices, 2), (1.5 * width, 0)))
        for width, some in zip(widths, noise, strict=True)
    ]


def test_a_share_of_what_the_places_lack_is_learned(tmp_path):
    heads = invented(40)
    known = calibrating.learned(heads, own_head())
    save_correction(tmp_path / "correction.npz", known)
    for correction in (known, load_correction(tmp_path / "correction.npz")):
        added = correction(np.full((POINTS, 2), (4.0, 0.0)))
        expected = np.broadcast_to((2 * calibrating.SHARE, 0.0), (POINTS, 2))
        np.testing.assert_allclose(added, expected, atol=0.05)
    assert calibrating.errors(heads, own_head(), known) < 0.75 * calibrating.errors(heads, own_head(), None)


def test_with_what_comes_along_a_photo_that_taught_nothing_lies_nearer_to_the_truth():
    heads = list(calibrating.skinned(range(HELD_OUT + 700, HELD_OUT + 704), own_head(), PHOTO))
    heads += calibrating.drawn(range(HELD_OUT + 700, HELD_OUT + 704), own_head())
    assert len(heads) == 8
    for some in (heads[:4], heads[4:]):
        before, after = (calibrating.errors(some, own_head(), known) for known in (None, load_correction()))
        assert 0.5 < after < 0.97 * before


def test_the_command_says_how_far_the_heads_lie_from_the_truth(tmp_path, capsys):
    few = ["--drawn", "3", "--heads", "1", "--test", "1", "--out", str(tmp_path / "out.npz")]
    calibrating.main([*few, "--skins", str(PHOTO)])
    assert (tmp_path / "out.npz").is_file() and "mm on 1 heads" in capsys.readouterr().out


def test_without_a_skin_nothing_is_learned_or_written(tmp_path, capsys):
    with pytest.raises(SystemExit):
        calibrating.main(["--out", str(tmp_path / "out.npz")])
    assert not list(tmp_path.iterdir()) and "expected --skins PHOTO" in capsys.readouterr().err


def test_no_face_from_the_side_is_corrected(astride):
    """Where the sliders are not trusted; from the front, the head lies elsewhere than by its points alone."""
    for yaw, corrected in ((0, True), (60, False)):
        with_it, without = (
            fit_points(*astride(yaw), head, 0.5, "neutral").shape.seen
            for head in (own_head(), replace(own_head(), correction=None))
        )
        assert np.isfinite(with_it).all() and np.array_equal(with_it, without) != corrected


@pytest.fixture
def astride():
    """The arguments of a fit: the average head's points, turned by degrees."""

    def turned(yaw: float):
        head, angle = own_head(), np.radians(yaw)
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        points = head.calibration.mean @ turn.T * (1, -1, -1) + (128, 128, 0)
        return calibrating.FaceCrop(np.zeros((256, 256, 3), np.uint8), np.eye(2, 3)), points

    return turned

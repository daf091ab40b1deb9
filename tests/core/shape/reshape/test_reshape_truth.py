"""Reshaped videos against drawn ones: the same person in the same motion, drawn with the edited head."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")

from fantasyid_core.people.instruments.comparing import psnr
from fantasyid_core.people.instruments.moving import gone
from fantasyid_core.people.instruments.reshaping import compare, draw_lively, truth_of
from fantasyid_core.shape import reshape_video
from fantasyid_core.shape.reshape import reshape_frames

PERSON, SIZE, FRAMES = 1_000_000_003, 256, 7


@pytest.fixture(scope="module")
def before():
    return draw_lively(PERSON, FRAMES, SIZE)


@pytest.mark.parametrize(("slider", "value"), [("face_width", 0.5), ("jaw_width", -0.5), ("nose_width", 0.5)])
def test_it_is_as_if_the_edited_head_were_drawn(before, slider, value):
    truth = truth_of(before, slider, value)
    made = list(reshape_frames(before.frames, {slider: value}))
    score = compare(np.stack([each.picture for each in made]), [each.movement for each in made], truth)
    assert score.psnr >= 30
    assert 0.9 <= score.slope <= 1.1
    assert score.misplaced <= 1.5 and score.landmarks <= 1.5
    assert score.outside < 0.5
    assert score.flicker <= 1.05 and score.jitter <= 1.05


def test_an_edit_and_its_inverse_return(before):
    there = reshape_video(before.frames, {"face_width": 0.5})
    back = reshape_video(there, {"face_width": -0.5})
    everywhere = np.ones(before.frames.shape[:3], bool)
    assert (there != before.frames).any() and psnr(back, before.frames, everywhere) >= 35


def test_half_the_strength_moves_half_the_way(before):
    truth, slopes = truth_of(before, "face_width", 0.6), []
    for strength in (0.5, 1.0):
        made = reshape_frames(before.frames, {"face_width": 0.6}, strength=strength)
        slopes.append(gone(truth, [each.movement for each in made]).slope)
    assert slopes[0] / slopes[1] == pytest.approx(0.5, abs=0.02)


def test_two_videos_of_one_person_get_one_head(before):
    """Whether frames come as an array or one by one makes no difference where all of them are looked at."""
    at_once = reshape_video(before.frames, {"face_width": 0.5})
    one_by_one = np.stack(list(reshape_video(iter(before.frames), {"face_width": 0.5}, count=FRAMES)))
    assert np.abs(at_once.astype(int) - one_by_one).max() <= 1

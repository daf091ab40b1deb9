"""What a viewer sees at first sight, of samplers whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fantasyid_core.people.instruments.details import measure_details, measure_sliders, share_of, sharpness
from fantasyid_core.people.instruments.subjects import BentRenderer, TrueRenderer, held_out_people, scene_of
from fantasyid_core.people.render import render_frames
from fantasyid_core.shape.edit.edit import edit_shape

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


@pytest.fixture(scope="module")
def people():
    return held_out_people(4)


def test_shares_and_sharpness_in_closed_form():
    without, with_it = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 200, np.uint8)
    assert share_of(with_it, without, with_it) == 1 and share_of(without, without, with_it) == 0
    assert share_of(with_it // 4, without, with_it) == 0.25
    assert np.isnan(share_of(with_it, without, without))
    board = np.indices((1, 8, 8)).sum(0) % 2
    frames = np.repeat(board[..., None] * 100, 3, 3).astype(np.uint8)
    assert sharpness(frames, np.ones((1, 8, 8), bool)) == pytest.approx(400**2)  # every Laplacian is +-400
    assert sharpness(with_it, np.ones((1, 8, 8), bool)) == 0


def test_true_renders_are_right(people):
    found = measure_details(TrueRenderer(people), people)
    right = {"glasses_on": 1, "glasses_off": 0, "beard_on": 1, "beard_off": 0, "sharpness": 1, "hair_error": 0}
    assert {name: found[name] for name in right if name in found} == pytest.approx(
        {name: value for name, value in right.items() if name in found}, abs=1e-3
    )
    assert {"glasses_off", "beard_on", "beard_off"} <= found.keys() and found["psnr"] > 60


def test_a_hint_of_glasses_on_everybody_is_seen(people):
    """A sampler that lays a quarter of a pair of glasses on all."""

    def hinted(vertices, references, prompt, seed):
        person = next(each.person for each in people if np.array_equal(each.references, references))
        motion, backdrop = scene_of(prompt)
        looks = [replace(person.appearance, glasses=kind) for kind in ("none", "square")]
        bare, worn = (
            render_frames(replace(person, appearance=look), motion.frames(9), backdrop, 64).astype(float)
            for look in looks
        )
        return (0.75 * bare + 0.25 * worn).round().astype(np.uint8)

    assert measure_details(hinted, people)["glasses_off"] == pytest.approx(0.25, abs=0.02)


def test_sliders_of_a_sampler_that_goes_half_the_way(people):
    def half(vertices, references, prompt, seed):
        subject = next(each for each in people if np.array_equal(each.references, references))
        motion, backdrop = scene_of(prompt)
        bend = vertices - subject.vertices
        ends = [
            render_frames(subject.person, motion.frames(2), backdrop, 64, bend=each).astype(float)
            for each in (None, bend)
        ]
        return (0.5 * ends[0] + 0.5 * ends[1]).round().astype(np.uint8)

    found = measure_sliders(half, people, ("face_width", "chin_height"), edit_shape)
    for effect in found.values():
        assert effect.slope == pytest.approx(0.5, abs=0.02) and effect.correlation > 0.97
        assert effect.sharp_slope == pytest.approx(0.5, abs=0.02)


def test_a_soft_video_that_moves_as_it_should_has_nearly_the_whole_slope(people):
    true = BentRenderer(people, frames=2)

    def soft(*request):
        return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in true(*request)])

    exact, blurred = (measure_sliders(each, people, ("jaw_width",), edit_shape)["jaw_width"] for each in (true, soft))
    assert exact.slope == exact.sharp_slope == 1 and exact.correlation > 0.999
    assert blurred.sharp_slope < 0.6 and 0.8 < blurred.slope < 1

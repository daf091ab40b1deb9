"""FM on pictures that move by known amounts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fantasyid_core.evaluation import face_motion, face_motions

SIZE = 160


def texture(seed: int = 0) -> np.ndarray:
    """A smooth periodic random picture, float64 [SIZE, SIZE] in 0..255, by its Fourier coefficients."""
    rng = np.random.default_rng(seed)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE), indexing="ij"))
    spectrum = np.fft.rfft2(rng.normal(size=(SIZE, SIZE))) * np.exp(-((frequencies / 0.05) ** 2))
    return spectrum


def moved(spectrum: np.ndarray, x: float, y: float) -> np.ndarray:
    """The picture shifted by any fraction of pixels, np.uint8 [SIZE, SIZE]: exact, since it is periodic."""
    rows, columns = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]
    picture = np.fft.irfft2(spectrum * np.exp(-2j * np.pi * (columns * x + rows * y)), s=(SIZE, SIZE))
    still = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return ((picture - still.min()) / np.ptp(still) * 255).round().clip(0, 255).astype(np.uint8)


def clip(*places: tuple[float, float]) -> np.ndarray:
    spectrum = texture()
    return np.stack([moved(spectrum, *place) for place in places])


@pytest.mark.parametrize("shift", [(0.3, 0.0), (2.0, 1.0), (0.0, -4.0), (6.0, 3.0)])
def test_a_known_shift_is_found(shift):
    motion = face_motion(clip((0, 0), shift), [30, 30, SIZE - 30, SIZE - 30])
    assert motion == pytest.approx(math.hypot(*shift), rel=0.03, abs=0.02)


def test_a_still_picture_does_not_move():
    assert face_motion(clip((0, 0), (0, 0), (0, 0))) == 0
    assert face_motion(np.full((2, 32, 32, 3), 77, np.uint8)) == 0


def test_every_pair_is_measured_for_itself():
    motions = face_motions(clip((0, 0), (1, 0), (1, 3), (1, 3)), [30, 30, 130, 130])
    assert motions == pytest.approx([1, 3, 0], abs=0.1)
    assert face_motion(clip((0, 0), (1, 0), (1, 3), (1, 3)), [30, 30, 130, 130]) == pytest.approx(motions.mean())


def test_only_the_face_counts():
    """The left half moves by 2, the right half by 5; boxes look at one or the other."""
    first, left, right = clip((0, 0), (0, 2), (0, 5))
    second = np.concatenate([left[:, : SIZE // 2], right[:, SIZE // 2 :]], axis=1)
    frames = np.stack([first, second, second])
    in_left, in_right = [10, 30, 60, 130], [100, 30, 150, 130]
    assert face_motion(frames[:2], in_left) == pytest.approx(2, abs=0.1)
    assert face_motion(frames[:2], in_right) == pytest.approx(5, abs=0.2)
    # The earlier frame's box counts.
    per_frame = np.array([in_right, in_left, in_left])
    assert face_motions(frames, per_frame) == pytest.approx([5, 0], abs=0.2)
    assert face_motions(frames, torch.tensor(per_frame)) == pytest.approx(face_motions(frames, per_frame))


def test_frames_without_a_face_are_gaps():
    frames, box = clip((0, 0), (1, 0), (1, 3), (1, 3)), np.array([30.0, 30, 130, 130])
    motions = face_motions(frames, [box, None, box, None])
    assert np.isnan(motions[1]) and motions[[0, 2]] == pytest.approx([1, 0], abs=0.1)
    assert face_motion(frames, [box, None, box, None]) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match="a face in at least one frame before the last, got none"):
        face_motion(frames, [None, None, None, box])


def test_boxes_are_cut_at_the_picture():
    frames = clip((0, 0), (2, 0))
    assert face_motion(frames, [-50, -1, 900, SIZE]) == face_motion(frames)


def test_all_forms_of_frames_are_the_same():
    grey = clip((0, 0), (2, 1))
    colour = np.repeat(grey[..., None], 3, axis=3)
    expected = face_motion(grey)
    for frames in (colour, torch.tensor(colour), torch.tensor(colour) / 255, colour / 255, torch.tensor(grey)):
        assert face_motion(frames) == pytest.approx(expected, abs=1e-6)
    assert face_motion(colour[:, :, ::-1]) == pytest.approx(expected, rel=0.2)  # not contiguous


FRAMES = np.zeros((2, 32, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "boxes", "message"),
    [
        (FRAMES[:1], None, "at least 2 frames to see motion between, got 1"),
        (FRAMES[:0], None, r"Expected frames .*got \[0, 32, 40, 3\]"),
        (FRAMES[0], None, r"got \[32, 40, 3\]"),
        (FRAMES[..., :2], None, r"got \[2, 32, 40, 2\]"),
        (FRAMES[:, :8], None, "at least 16 pixels"),
        (FRAMES.astype(np.int32), None, "got int32"),
        (FRAMES + 200.0, None, "floats in 0..1, got values from 200 to 200"),
        (FRAMES * np.nan, None, "floats in 0..1, got values from nan"),
        (FRAMES, [0, 0, 10, np.nan], "box of frame 0 as finite x0, y0, x1, y1"),
        (FRAMES, [[0, 0, 10, 10], [0, 0, 10]], "box of frame 1 as finite"),
        (FRAMES, [[0, 0, 10, 10]] * 3, "or 2 boxes for 2 frames, got 3"),
        (FRAMES, [10, 10, 10, 20], "x0 < x1, y0 < y1 in a picture of 40 x 32 pixels"),
        (FRAMES, [50, 0, 60, 10], "in a picture of 40 x 32 pixels"),
    ],
)
def test_what_cannot_be_measured_is_refused(frames, boxes, message):
    with pytest.raises(ValueError, match=message):
        face_motion(frames, boxes)

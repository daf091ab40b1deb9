"""What comes in and goes out: types, an edit that is none, endless and broken videos."""

from __future__ import annotations

from itertools import count, cycle, islice

import numpy as np
import pytest

from fantasyid_core.shape import reshape_video
from fantasyid_core.shape.reshape import PersonEdit, ReshapeReport, ReshapeSettings, reshape_frames
from fantasyid_core.shape.reshape.report import NO_FACE

EDIT = {"face_width": 0.6}


@pytest.fixture(scope="module")
def frames():
    """Three photos of a face: scikit-image's astronaut, nodding."""
    data = pytest.importorskip("skimage.data", reason="the photo needs scikit-image: pip install scikit-image")
    photo = np.ascontiguousarray(data.astronaut()[:300, 70:370])
    return np.stack([np.roll(photo, shift, axis=0) for shift in (0, 1, 2)])


@pytest.mark.parametrize("edit", [None, {}, "{}", {"face_width": 0}, ""])
def test_without_an_edit_every_frame_returns_bit_for_bit(frames, edit):
    assert np.array_equal(reshape_video(frames, edit), frames)
    assert np.array_equal(reshape_video(frames, EDIT, strength=0.0), frames)


def test_floats_and_bytes_and_tensors_are_the_same_video(frames):
    torch = pytest.importorskip("torch")
    whole = reshape_video(frames, EDIT)
    floats = reshape_video(frames.astype(np.float32) / 255, EDIT)
    given = list(reshape_video(torch.from_numpy(frames).float() / 255, EDIT))
    assert whole.dtype == np.uint8 and floats.dtype == np.float32
    assert floats.min() >= 0 and floats.max() <= 1
    assert np.abs(255 * floats - whole).max() <= 1.01
    assert np.abs(np.asarray(given[0]) - floats[0]).max() < 1e-5


def test_one_frame_is_a_video_too(frames):
    made = reshape_video(frames[:1], EDIT)
    assert made.shape == frames[:1].shape and (made != frames[:1]).any()


def test_an_endless_video_is_read_a_bounded_way_ahead(frames):
    read = count()

    def endless():
        for frame in cycle(frames):
            next(read)
            yield frame

    made = list(islice(reshape_video(endless(), EDIT), 40))
    assert len(made) == 40 and next(read) - 40 <= 130
    assert all((one != two).any() for one, two in zip(made, cycle(frames), strict=False))


def test_a_long_video_without_a_face_is_passed_on_and_nothing_is_kept():
    still, report = np.full((48, 48, 3), 90, np.uint8), ReshapeReport()
    made = sum(each.picture is still for each in reshape_frames((still for _ in range(240)), EDIT, report=report))
    assert made == 240 and report.treated == 0 and report.people[0].passed == {NO_FACE: 240}


def test_frames_of_another_size_are_a_new_scene(frames):
    smaller = np.ascontiguousarray(frames[:, 20:280, 20:280])
    made = list(reshape_video([*frames, *smaller], EDIT))
    assert [each.shape for each in made] == [each.shape for each in (*frames, *smaller)]
    assert all((one != two).any() for one, two in zip(made, (*frames, *smaller), strict=True))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frames: np.where(frames == 0, np.nan, frames / 255.0), r"Frame 0 holds \d+ NaN"),
        (lambda frames: frames.astype(np.float32), "Frame 0"),
        (lambda frames: frames[..., 0], r"\[T,H,W,3\]"),
        (lambda frames: [frames[0], "face.png"], "Frame 1: expected a picture"),
        (lambda frames: [frames[0], frames[1][..., :2]], "Frame 1: expected a picture"),
        (lambda frames: "video.mp4", "frames of a video"),
        (lambda frames: None, "frames of a video"),
    ],
    ids=["NaN", "floats to 255", "no channels", "a name", "two channels", "a path", "nothing"],
)
def test_what_is_no_video_is_a_sentence(frames, spoil, message):
    with pytest.raises(ValueError, match=message):
        list(reshape_video(spoil(frames), EDIT))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PersonEdit(EDIT, how="prettiest"), "a way to choose"),
        (lambda: PersonEdit(EDIT, number=-1), "0 or more"),
        (lambda: ReshapeSettings(smoothing=float("nan")), "smoothing of 0 to 5"),
        (lambda: ReshapeSettings(in_front=2), "in_front of 0 to 1"),
        (lambda: ReshapeSettings(workers=0), "workers of 1"),
    ],
)
def test_settings_out_of_range_are_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_shape_of_another_mesh_is_refused_before_any_frame(frames):
    read = []
    heads = np.zeros((100, 3)), np.ones((100, 3))
    with pytest.raises(ValueError, match="5023 or 2236 vertices.*got 100"):
        reshape_video((read.append(0) or frame for frame in frames), heads)
    assert not read

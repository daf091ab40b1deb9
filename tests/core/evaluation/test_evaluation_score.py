"""Scores of videos, and the best of several."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from fantasyid_core.evaluation import (
    VideoScore,
    best_of,
    combined_score,
    face_motions,
    inter_frame_similarities,
    reference_similarities,
    score_identity,
    score_video,
)
from fantasyid_core.evaluation.score import face_finder
from fantasyid_core.face.align import FaceCrop

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (5, 32, 32, 3), np.uint8)
VECTORS = RNG.normal(size=(5, 8))
BOX = np.array([4.0, 4, 28, 28])


def finder(missing: tuple[int, ...] = ()):
    """Finds the frames' vectors, by their order."""
    calls = iter(range(len(FRAMES)))

    def find(frame):
        index = next(calls)
        assert np.array_equal(frame, FRAMES[index])
        return None if index in missing else (VECTORS[index], BOX)

    return find


def test_a_video_is_scored_by_the_metrics():
    score = score_video(FRAMES, VECTORS[:2], finder())
    assert np.allclose(score.reference_similarities, reference_similarities(VECTORS[:2], VECTORS))
    assert np.allclose(score.inter_frame_similarities, inter_frame_similarities(VECTORS))
    assert np.allclose(score.face_motions, face_motions(FRAMES, BOX))
    assert score.reference_similarity == pytest.approx(score.reference_similarities.mean())
    assert score.face_motion == pytest.approx(score.face_motions.mean()) and score.missing == ()
    assert f"Reference similarity {score.reference_similarity:.2f}" in score.describe()
    assert "no face" not in score.describe() and score.plot("a video").shape == (420, 720, 3)


def test_frames_without_a_face_are_left_out():
    score = score_video(FRAMES, VECTORS[0], finder(missing=(1,)))
    assert score.missing == (1,)
    kept = reference_similarities(VECTORS[0], VECTORS)[[0, 2, 3, 4]]
    assert score.reference_similarity == pytest.approx(kept.mean())
    assert np.isnan(score.inter_frame_similarities).tolist() == [True, True, False, False]
    assert np.isnan(score.face_motions).tolist() == [False, True, False, False]
    assert score.describe().endswith("1 of 5 frames show no face.")


def test_a_video_without_any_face_has_no_score():
    score = score_video(FRAMES, VECTORS[0], finder(missing=tuple(range(5))))
    assert math.isnan(score.reference_similarity) and math.isnan(score.face_motion)
    assert score.describe() == "No face was found in any of the 5 frames."
    assert score.plot().shape == (420, 720, 3)


def test_a_single_frame_has_a_likeness_only():
    score = score_video(FRAMES[:1] / 255, VECTORS[0], lambda frame: (VECTORS[0], BOX))
    assert score.reference_similarity == pytest.approx(1) and math.isnan(score.face_motion)


def test_grey_frames_are_refused():
    with pytest.raises(ValueError, match=r"frames in colour \[T, H, W, 3\], got \[5, 32, 32\]"):
        score_video(FRAMES[..., 0], VECTORS[0], finder())


class Colours:
    """Stands for ArcFace: the vector of a face is the colour of its nose."""

    def embed(self, picture, points):
        x, y = np.round(points[2]).astype(int)
        return picture[y, x].astype(np.float64)


@pytest.fixture
def faces(monkeypatch):
    """Stands for the detector: squares of 8 pixels that are not black are faces, a red one is in focus."""

    def detect(picture, detector, folders=()):
        found = []
        for top in range(0, 32, 8):
            for left in range(0, 32, 8):
                if picture[top : top + 8, left : left + 8].any():
                    side = 8 if picture[top, left, 0] else 6
                    box = np.array([left, top, left + side, top + side], np.float32)
                    points = np.tile(box[:2] + 3, (5, 1))
                    found.append(SimpleNamespace(box=box, points=points, area=side**2))
        return found

    monkeypatch.setattr("fantasyid_core.face.detectors.detect.detect_faces", detect)


def picture(*squares) -> np.ndarray:
    canvas = np.zeros((32, 32, 3), np.uint8)
    for row, column, colour in squares:
        canvas[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = colour
    return canvas


RED, GREEN, DARK_GREEN = (200, 0, 0), (0, 200, 0), (10, 90, 0)


def test_of_several_faces_the_likest_counts(faces):
    frame = picture((0, 0, RED), (1, 2, GREEN))
    vector, box = face_finder(Colours(), references=[DARK_GREEN])(frame)
    assert tuple(vector) == GREEN and box.tolist() == [16, 8, 22, 14]
    vector, box = face_finder(Colours())(frame)  # without references the largest
    assert tuple(vector) == RED
    assert face_finder(Colours())(picture()) is None


def test_a_person_is_compared_with_all_views_of_the_reference(faces):
    crop, matrix = picture((2, 2, GREEN)), np.eye(2, 3)
    points = np.tile([3.0, 3.0], (5, 1))
    other = FaceCrop(crop, matrix, points, picture((0, 0, RED)))
    face = FaceCrop(crop, matrix, others=(other,))  # its own face is looked for in the crop
    frames = np.stack([picture((0, 0, GREEN)), picture((0, 1, RED)), picture()])
    score = score_identity(frames, face, Colours())
    assert score.reference_similarities[:2] == pytest.approx([0.5, 0.5]) and score.missing == (2,)


def test_a_reference_without_a_face_is_refused(faces):
    with pytest.raises(ValueError, match="The detector yunet finds no face in the reference"):
        score_identity(FRAMES, FaceCrop(picture(), np.eye(2, 3)), Colours(), "yunet")


def test_the_combined_score_weighs_likeness_and_motion():
    assert combined_score(0.6, 0.0, 1, 0) == pytest.approx(0.6)
    assert combined_score(0.6, 0.6, 0, 1) == pytest.approx(0.5)
    assert combined_score(0.6, 0.6, 1, 0.25) == pytest.approx((0.6 + 0.25 * 0.5) / 1.25)
    assert combined_score(0.6, math.nan) == combined_score(0.6, 0)  # a single frame is still
    assert combined_score(0.6, math.inf, 0, 1) == 1
    assert math.isnan(combined_score(math.nan, 0.5))


def test_the_likest_and_liveliest_video_wins():
    stiff, wild, good, bad = (0.6, 0.05), (0.35, 5.0), (0.58, 0.6), (0.1, 0.1)
    assert best_of([stiff, wild, good, bad]) == [2, 0, 1, 3]
    assert best_of([stiff, wild, good, bad], motion_weight=0)[0] == 0
    assert best_of([stiff, wild, good, bad], likeness_weight=0)[0] == 1


def test_ties_go_to_the_earlier_video_and_no_face_is_last():
    nothing = (math.nan, math.nan)
    assert best_of([nothing, (0.5, 0.5), (0.5, 0.5), (0.6, 0.5), nothing]) == [3, 1, 2, 0, 4]


def test_scores_of_videos_can_be_ranked():
    scores = [VideoScore(np.array([value]), np.array([]), np.array([])) for value in (0.2, 0.7, math.nan)]
    assert best_of(scores) == [1, 0, 2]


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([], {}, "at least one video that shows a face, got 0"),
        ([(math.nan, 1.0)], {}, "got 1 videos without"),
        ([(0.5, 1.0)], {"likeness_weight": 0, "motion_weight": 0}, "not both 0, got 0 and 0"),
        ([(0.5, 1.0)], {"motion_weight": -1}, "finite weights of at least 0"),
        ([(0.5, 1.0)], {"likeness_weight": math.nan}, "finite weights"),
        ([(0.5, -1.0)], {}, "a motion of at least 0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores, options, message):
    with pytest.raises(ValueError, match=message):
        best_of(scores, **options)

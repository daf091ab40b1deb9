"""RS and IFS on vectors whose cosines are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fantasyid_core.evaluation import (
    inter_frame_similarities,
    inter_frame_similarity,
    reference_similarities,
    reference_similarity,
)

RNG = np.random.default_rng(0)
FRAMES = RNG.normal(size=(7, 16))


def turned(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def test_known_angles_have_their_cosines():
    frames = np.array([turned(0), turned(60), turned(120), turned(180)])
    assert reference_similarities([1, 0], frames) == pytest.approx([1, 0.5, -0.5, -1])
    assert reference_similarity([1, 0], frames) == pytest.approx(0)
    assert inter_frame_similarities(frames) == pytest.approx([0.5, 0.5, 0.5])
    assert inter_frame_similarity(frames) == pytest.approx(0.5)


def test_equal_vectors_are_exactly_alike():
    same = np.repeat(FRAMES[:1], 5, axis=0)
    assert reference_similarity(FRAMES[0], same) == pytest.approx(1, abs=1e-15) and inter_frame_similarity(same) <= 1
    assert reference_similarity(-FRAMES[0], same) == pytest.approx(-1, abs=1e-15)


def test_the_lengths_of_vectors_do_not_count():
    scales = np.array([1e-200, 1e200, 1, 3, 1e-3, 7, 1e30])[:, None]
    plain = reference_similarity(FRAMES[0], FRAMES)
    assert reference_similarity(1e-300 * FRAMES[0], FRAMES * scales) == pytest.approx(plain)
    assert inter_frame_similarity(FRAMES * scales) == pytest.approx(inter_frame_similarity(FRAMES))


def test_several_references_are_averaged():
    references = RNG.normal(size=(3, 16))
    each = [reference_similarity(reference, FRAMES) for reference in references]
    assert reference_similarity(references, FRAMES) == pytest.approx(np.mean(each))
    brute = np.mean([r @ f / np.linalg.norm(r) / np.linalg.norm(f) for r in references for f in FRAMES])
    assert reference_similarity(references, FRAMES) == pytest.approx(brute)


def test_one_frame_has_a_likeness_but_no_neighbour():
    assert reference_similarity(FRAMES[:1], FRAMES[0]) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least 2 consecutive frames, got 1"):
        inter_frame_similarity(FRAMES[:1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_give_the_same_similarity_as_arrays(dtype):
    frames = torch.tensor(FRAMES).to(dtype).requires_grad_()
    expected = reference_similarity(frames.detach().double().numpy()[0], frames.detach().double().numpy())
    value = reference_similarity(frames[0], frames)
    assert isinstance(value, float) and value == pytest.approx(expected, abs=1e-12)


def without(row: int, value: float) -> np.ndarray:
    frames = FRAMES.copy()
    frames[row] = value
    return frames


@pytest.mark.parametrize(
    ("reference", "frames", "message"),
    [
        (FRAMES[0], without(3, 0), "frame vectors with a direction, got only zeros at frame 3. Leave out"),
        (FRAMES[0], without(2, np.nan), "finite frame vectors, got NaN or infinite ones at frame 2"),
        (FRAMES[0], without(2, np.inf), "at frame 2"),
        (FRAMES[0], np.zeros((9, 16)), r"at frame 0, 1, 2, 3, 4 \.\.\."),
        (np.zeros(16), FRAMES, "only zeros at reference 0"),
        (FRAMES[0, :8], FRAMES, "of one width, got 8 and 16"),
        (FRAMES[0], FRAMES[None], r"frame vectors \[T, C\], got \[1, 7, 16\]"),
        (FRAMES[None], FRAMES, r"reference vectors \[R, C\], got \[1, 7, 16\]"),
        (FRAMES[0], FRAMES[:0], r"frame vectors \[T, C\], got \[0, 16\]"),
    ],
)
def test_what_has_no_cosine_is_refused(reference, frames, message):
    with pytest.raises(ValueError, match=message):
        reference_similarity(reference, frames)

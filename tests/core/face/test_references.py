"""Reference sets: pose selection against an exhaustive search, and another person among the photos."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fantasyid_core.face import FaceCrop, odd_ones, reference_set, spread_poses

FRONT, LEFT, RIGHT, UP, DOWN, TILTED = (2, 1, 0), (-60, 0, 5), (58, 3, -4), (4, -25, 0), (1, 30, 2), (3, 2, 35)


def test_the_most_frontal_comes_first_and_then_the_farthest():
    poses = [LEFT, DOWN, FRONT, (5, 4, 0), RIGHT]
    assert spread_poses(poses, 1) == [2]
    assert spread_poses(poses, 2) == [2, 0]
    assert spread_poses(poses, 3) == [2, 0, 4]
    assert spread_poses(poses, 4) == [2, 0, 4, 1]
    assert spread_poses(poses) == [2, 0, 4, 1, 3]


def test_roll_does_not_decide_who_is_frontal_since_the_alignment_undoes_it():
    assert spread_poses([(20, 0, 0), (1, 0, 80)], 1) == [1]


def test_six_of_many_are_as_far_apart_as_the_greedy_bound_promises():
    """Farthest-first selection is at least half as good as the best selection (Gonzalez, 1985)."""
    poses = np.random.default_rng(3).normal(0, [35, 15, 8], (14, 3))

    def spread(chosen):
        return min(np.linalg.norm(poses[i] - poses[j]) for i, j in combinations(chosen, 2))

    chosen = spread_poses(poses.tolist())
    assert len(set(chosen)) == 6
    assert chosen[0] == np.hypot(*poses[:, :2].T).argmin()
    assert spread(chosen) >= spread(max(combinations(range(14), 6), key=spread)) / 2
    for place in range(1, 6):  # each one is the farthest from those before it
        distances = [min(np.linalg.norm(poses[i] - poses[j]) for j in chosen[:place]) for i in range(14)]
        assert chosen[place] == int(np.argmax(distances))


def test_answer_is_the_same_every_time_and_ties_go_to_the_first():
    assert spread_poses([(10, 0, 0), (-10, 0, 0), (0, 10, 0)]) == [0, 1, 2]
    assert spread_poses([FRONT] * 4, 3) == [0, 1, 2]
    assert spread_poses([FRONT, FRONT, LEFT, LEFT], 4) == [0, 2, 1, 3]


def test_angles_go_the_short_way_round():
    assert spread_poses([(0, 0, 0), (0, 0, 179), (0, 0, -179), (0, 0, 90)], 3) == [0, 1, 3]


def test_unknown_poses_come_last_in_their_order():
    assert spread_poses([None, LEFT, None, FRONT], 6) == [3, 1, 0, 2]
    assert spread_poses([None, LEFT, None, FRONT], 3) == [3, 1, 0]
    assert spread_poses([None] * 8) == list(range(6))
    assert spread_poses([]) == []


@pytest.mark.parametrize(
    "poses, count, message",
    [
        ([FRONT], 0, "at least 1 pose, got 0"),
        ([FRONT], 2.0, "at least 1 pose, got 2.0"),
        ([(1, 2)], 6, "poses of 3 angles"),
        ([(1, 2, "x")], 6, "poses of 3 angles"),
        ([(1, float("nan"), 2)], 6, "finite angles or None"),
    ],
)
def test_bad_poses_are_refused(poses, count, message):
    with pytest.raises(ValueError, match=message):
        spread_poses(poses, count)


def vectors(cosines):
    """Unit vectors with these cosines."""
    values, axes = np.linalg.eigh(np.array(cosines, float))
    assert values.min() > -1e-9
    return axes * np.sqrt(np.maximum(values, 0))


def people(*who, same=0.6, another=0.05):
    """Embeddings of photos, one letter per photo for the person."""
    cosines = [[same if a == b else another for b in who] for a in who]
    np.fill_diagonal(table := np.array(cosines, float), 1)
    return vectors(table)


@pytest.mark.parametrize(
    "who, odd",
    [("aaa", ()), ("aba", (1,)), ("baaa", (0,)), ("aabac", (2, 4)), ("aaabb", (3, 4)), ("a", ()), ("aa", ())],
)
def test_photos_of_somebody_else_are_found(who, odd):
    found = odd_ones(people(*who))
    assert found.indices == odd and len(found.notes) == len(odd)
    for index, note in zip(found.indices, found.notes, strict=True):
        assert note.startswith(f"Photo {index + 1} seems to show another person") and "so it was left out" in note
        assert "0.05 on average and 0.05 at best" in note


@pytest.mark.parametrize(
    "who, names", [("ab", "photo 1 and photo 2"), ("abba", "photos 1, 4 and photos 2, 3"), ("abc", ""), ("ccaab", "")]
)
def test_nobody_is_odd_when_no_person_has_more_photos(who, names):
    found = odd_ones(people(*who))
    assert found.indices == () and len(found.notes) == 1
    assert f"show {len(set(who))} different people ({names}" in found.notes[0]
    assert "cannot be told who is meant" in found.notes[0] and "All are used" in found.notes[0]


def test_profiles_are_held_together_by_the_views_between_them():
    chain = np.eye(4)  # left profile, half left, half right, right profile
    for i in range(3):
        chain[i, i + 1] = chain[i + 1, i] = 0.5
    chain[0, 3] = chain[3, 0] = 0.02
    assert odd_ones(vectors(chain)) == ((), ())


def test_a_doubtful_photo_is_reported_and_kept():
    found = odd_ones(people(*"aab", another=0.24))
    assert found.indices == ()
    assert "Photo 3 may show another person" in found.notes[0] and "It was kept" in found.notes[0]
    assert "may show 2 different people" in odd_ones(people(*"ab", another=0.24)).notes[0]
    assert "seem to show 2 different" in odd_ones(people(*"ab")).notes[0]


def test_thresholds_length_of_vectors_and_numbers():
    vectors = people(*"aab", another=0.24)
    assert odd_ones(vectors, another=0.3).indices == (2,)
    assert odd_ones(vectors, same=0.2, another=0.1) == ((), ())
    assert odd_ones(17 * vectors).notes == odd_ones(vectors).notes
    assert odd_ones(vectors, numbers=[2, 5, 9]).notes[0].startswith("Photo 9 may")


@pytest.mark.parametrize(
    "embeddings, message",
    [
        ([[1.0, 0], [1.0, 0, 0]], r"vectors \[N,D\] of one width"),
        ([], r"vectors \[N,D\]"),
        ([1.0, 2.0], r"vectors \[N,D\], one per photo, got \[2\]"),
        ([[0.0, 0], [1, 0]], "finite length above zero"),
        ([[np.nan, 0], [1, 0]], "finite length above zero"),
        ([["a"], ["b"]], r"vectors \[N,D\]"),
    ],
)
def test_bad_vectors_are_refused(embeddings, message):
    with pytest.raises(ValueError, match=message):
        odd_ones(embeddings)


def crop(pose=None, *notes):
    yaw, pitch, roll = pose or (None, None, None)
    return FaceCrop(np.zeros((16, 16, 3), np.uint8), np.eye(2, 3), yaw=yaw, pitch=pitch, roll=roll, notes=notes)


def test_reference_set_is_the_frontal_face_with_the_others():
    faces = [crop(pose) for pose in (LEFT, FRONT, (1, 3, 1), RIGHT, UP, DOWN, TILTED, (-58, 1, 4))]
    found = reference_set(faces)
    assert found.crop is faces[1].crop and found.pose == FRONT
    assert len(found.others) == 5 and found.others[0] is faces[0]
    assert {id(face) for face in found.others} == {id(faces[i]) for i in (0, 3, 4, 5, 6)}
    assert "Of 8 photos, photos 1, 2, 4, 5, 6, 7 are used, the most different head poses" in found.notes[0]
    assert "Photo 2, the most frontal one, is the main picture" in found.notes[0]


def test_another_person_is_left_out_and_said():
    faces = [crop(FRONT), crop(LEFT), crop((0, 0, 0)), crop(RIGHT)]
    found = reference_set(faces, embeddings=people(*"aaba"))
    assert found.crop is faces[0].crop and found.others == (faces[1], faces[3])
    assert "photos 1, 2, 4 are used" in found.notes[0] and "Photo 3 seems to show another person" in found.notes[1]
    two = reference_set(faces[:2], embeddings=people(*"ab"))
    assert len(two.others) == 1 and "cannot be told who is meant" in two.notes[1]


def test_notes_keep_the_numbers_of_their_photos():
    faces = [crop(LEFT, "Blurred."), crop(FRONT, "Dark.", "Small."), crop((3, 3, 1), "Unused.")]
    found = reference_set(faces, count=2, numbers=[1, 4, 6])
    assert found.notes[1:] == ("Photo 1: Blurred.", "Photo 4: Dark.", "Photo 4: Small.")
    assert "photos 1, 4 are used" in found.notes[0]
    assert "only photo 2 is used" in reference_set(faces, count=1).notes[0]


def test_one_photo_stays_as_it_is():
    face = crop(None, "Blurred.")
    assert reference_set([face], embeddings=[np.ones(512)]) is face


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(faces=[]), "at least one face for a set of references, got none"),
        (dict(faces=[reference_set([crop(FRONT), crop(LEFT)])]), "one with further views"),
        (dict(faces=[crop()], embeddings=np.eye(2)), "Expected 1 ArcFace vectors, one per face, got 2"),
        (dict(faces=[crop()], numbers=[1, 2]), "Expected 1 numbers of photos, got 2"),
        (dict(faces=[crop()], count=0), "at least 1 pose, got 0"),
    ],
)
def test_bad_sets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        reference_set(**arguments)

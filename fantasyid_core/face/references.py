"""Chooses reference photos of one person: the most different head poses, without pictures of another person.

The paper keeps the six most different views of a person for training (section 4.1); the same choice serves an
artist who has several photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .align import FaceCrop
from .likeness import ANOTHER, SAME


class OddOnes(NamedTuple):
    """indices: photos that clearly show somebody else. notes: sentences for the user, also about doubtful photos
    and when the photos disagree so that nobody can be said to be odd."""

    indices: tuple[int, ...]
    notes: tuple[str, ...]


def spread_poses(poses: Sequence[Sequence[float] | None], count: int = 6) -> list[int]:
    """Indices of the `count` most different head poses, the most frontal one first (all, if there are fewer).

    poses: yaw, pitch and roll in degrees, or None when not known. The first is the one with the least yaw and
    pitch (the alignment undoes the roll). Each further one is that whose nearest chosen pose is farthest away
    (Gonzalez, 1985), by the Euclidean distance of the three angles, each the short way round the circle. Ties
    go to the lower index, so the answer is always the same. Poses that are not known come last, in their order.

    Raises ValueError for another count or shape, and for angles that are not finite.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"Expected to choose at least 1 pose, got {count!r}.")
    known = [index for index, pose in enumerate(poses) if pose is not None]
    unknown = [index for index, pose in enumerate(poses) if pose is None]
    angles = _checked_angles([poses[index] for index in known])
    chosen = _farthest_first(angles, min(count, len(known)))
    return ([known[index] for index in chosen] + unknown)[:count]


def odd_ones(
    embeddings: Sequence[np.ndarray],
    same: float = SAME,
    another: float = ANOTHER,
    numbers: Sequence[int] | None = None,
) -> OddOnes:
    """Which of several photos show another person than the rest.

    embeddings: ArcFace vectors [N,D], of any length. Photos are of one person when a chain of cosines of at
    least `same` joins them, so that a left and a right profile are held together by the views between them. The
    largest group is the person; it must be larger than every other, else it is not known who is meant (two
    photos that disagree, for example), and nobody is odd. Outside the group, a photo whose best cosine with it
    is below `another` is odd; from there to `same` it is only doubtful.
    numbers: what the notes call the photos, 1 to N unless given.

    Raises ValueError for vectors of another shape, of length zero, or not finite.
    """
    cosines = _cosines(embeddings)
    numbers = _checked_numbers(numbers, len(cosines))
    groups = _groups(cosines >= same)
    if len(groups) < 2:
        return OddOnes((), ())
    person, others = groups[0], [index for group in groups[1:] for index in group]
    if len(person) == len(groups[1]):
        best = max(cosines[i, j] for i in range(len(cosines)) for j in range(i))
        return OddOnes((), (_undecided(groups, numbers, best, another),))
    odd, notes = [], []
    for index in sorted(others):
        best, mean = cosines[index, person].max(), cosines[index, person].mean()
        if best < another:
            odd.append(index)
        notes.append(_told(numbers[index], best, mean, best < another))
    return OddOnes(tuple(odd), tuple(notes))


def reference_set(
    faces: Sequence[FaceCrop],
    count: int = 6,
    embeddings: Sequence[np.ndarray] | None = None,
    numbers: Sequence[int] | None = None,
) -> FaceCrop:
    """The most frontal of several photos of a person, with the other most different views as `others`.

    faces: one crop per photo. count: how many photos are kept at most. embeddings: their ArcFace vectors [N,D];
    with them, photos that clearly show another person (`odd_ones`) are left out, and the notes say so.
    Notes of the photos are kept, each with the number of its photo: `numbers`, 1 to N unless given.

    Raises ValueError without faces, for a face that is a set already, and what `spread_poses` and `odd_ones` raise.
    """
    if not len(faces):
        raise ValueError("Expected at least one face for a set of references, got none.")
    if any(face.others for face in faces):
        raise ValueError("Expected single faces, got one with further views. Make the set from the photos themselves.")
    if embeddings is not None and len(embeddings) != len(faces):
        raise ValueError(f"Expected {len(faces)} ArcFace vectors, one per face, got {len(embeddings)}.")
    numbers = _checked_numbers(numbers, len(faces))
    odd = OddOnes((), ()) if embeddings is None else odd_ones(embeddings, numbers=numbers)
    kept = [index for index in range(len(faces)) if index not in odd.indices]
    chosen = [kept[place] for place in spread_poses([faces[index].pose for index in kept], count)]
    if len(faces) == 1:
        return faces[0]
    notes = [_used([numbers[index] for index in chosen], len(faces)), *odd.notes]
    notes += [f"Photo {numbers[index]}: {note}" for index in sorted(chosen) for note in faces[index].notes]
    first, *others = (faces[index] for index in chosen)
    return replace(first, notes=tuple(notes), others=tuple(others))


def _farthest_first(angles: np.ndarray, count: int) -> list[int]:  # [N,3] degrees
    if not count:
        return []
    frontal = np.hypot(*_turns(angles[:, :2], 0).T)
    chosen = [int(frontal.argmin())]
    nearest = _distances(angles, chosen[0])
    while len(chosen) < count:
        nearest[chosen] = -1  # a pose that occurs twice is as near as the chosen one
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(angles, chosen[-1]))
    return chosen


def _distances(angles: np.ndarray, index: int) -> np.ndarray:
    return np.linalg.norm(_turns(angles, angles[index]), axis=1)


def _turns(angles: np.ndarray, origin) -> np.ndarray:
    """Differences of angles in -180..180 degrees."""
    return (angles - origin + 180) % 360 - 180


def _checked_angles(poses: list) -> np.ndarray:
    try:
        angles = np.array([[float(angle) for angle in pose] for pose in poses]).reshape(len(poses), 3)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected poses of 3 angles (yaw, pitch, roll in degrees) or None, got {poses}.") from error
    if not np.isfinite(angles).all():
        raise ValueError(f"Expected finite angles or None for a pose, got {poses}.")
    return angles


def _cosines(embeddings) -> np.ndarray:  # [N,D] -> [N,N]
    try:
        vectors = np.stack([np.asarray(vector, np.float64) for vector in embeddings])
    except (TypeError, ValueError) as error:
        raise ValueError("Expected ArcFace vectors [N,D] of one width, one per photo.") from error
    if vectors.ndim != 2:
        raise ValueError(f"Expected ArcFace vectors [N,D], one per photo, got {list(vectors.shape)}.")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise ValueError("Expected ArcFace vectors of finite length above zero. Compute them again.")
    vectors /= length
    return vectors @ vectors.T


def _groups(joined: np.ndarray) -> list[list[int]]:  # bool [N,N]
    """Indices that are joined directly or through others, the largest group first."""
    left, groups = set(range(len(joined))), []
    while left:
        group, fresh = set(), {min(left)}
        while fresh:
            group |= fresh
            fresh = {j for i in fresh for j in np.flatnonzero(joined[i]).tolist()} - group
        left -= group
        groups.append(sorted(group))
    return sorted(groups, key=len, reverse=True)


def _checked_numbers(numbers, count: int) -> list[int]:
    numbers = list(range(1, count + 1) if numbers is None else numbers)
    if len(numbers) != count:
        raise ValueError(f"Expected {count} numbers of photos, got {len(numbers)}.")
    return numbers


def _undecided(groups: list[list[int]], numbers: list[int], best: float, another: float) -> str:
    people = " and ".join(_listed([numbers[index] for index in group]) for group in groups)
    seem = "seem to" if best < another or max(map(len, groups)) > 1 else "may"
    return (
        f"The photos {seem} show {len(groups)} different people ({people}), none of them in more photos than the "
        f"others, so it cannot be told who is meant (cosines up to {best:.2f}; {SAME:g} and more are usual for one "
        "person). All are used. Take out those of the others, or add photos."
    )


def _told(number: int, best: float, mean: float, odd: bool) -> str:
    figures = f"its cosines with the others are {mean:.2f} on average and {best:.2f} at best"
    if odd:
        return f"Photo {number} seems to show another person ({figures}), so it was left out."
    return f"Photo {number} may show another person ({figures}; {SAME:g} is usual). It was kept; take it out if so."


def _used(chosen: list[int], total: int) -> str:
    if len(chosen) == 1:
        return f"Of {total} photos, only photo {chosen[0]} is used."
    return (
        f"Of {total} photos, {_listed(sorted(chosen))} are used, the most different head poses. Photo {chosen[0]}, the "
        "most frontal one, is the main picture."
    )


def _listed(numbers: list[int]) -> str:
    return "photo" + ("s " if len(numbers) > 1 else " ") + ", ".join(map(str, numbers))

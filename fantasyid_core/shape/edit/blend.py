"""Blends several people's heads into one, and exaggerates a head away from the average."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from .controls import as_given
from .faceframe import checked_vertices, face_frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..faceshape import FaceShape

    Vertices = TypeVar("Vertices")

MAX_SHAPES = 6
EXAGGERATION = -1.0, 2.0
"""-1 is the average face, 0 the blend itself, 1 twice as far from the average."""


def blend_shapes(
    shapes: Sequence[Vertices],  # 1..6 x [V,3]
    weights: Sequence[float] | None = None,
    exaggeration: float = 0.0,
    average: ArrayLike | None = None,  # [V,3]
    onto: int | None = None,
) -> Vertices:  # [V,3]
    """The weighted mean of up to six heads of one mesh: vertices in metres, float32, a tensor for a tensor.

    Heads may be posed: each is moved and turned as a whole onto the head `onto`, by default the one with the largest
    weight (not scaled; a child's head is smaller than a man's), so the blend is posed like that one. weights: from 0;
    only their proportion counts, they are brought to the sum 1; equal by default. That head comes out bit for bit when
    its weight is all of the sum. exaggeration: how much farther than it is the blend is driven away from `average`,
    -1..2; without an `average` (FLAME's mean head is `Topology.template`) that is the mean of the given heads.

    Raises ValueError for no or too many heads, another number of weights, negative, NaN or only zero weights, heads
    of different meshes, an exaggeration outside its range, and one of a single head without an average.
    """
    heads = _checked_heads(shapes, average)
    shares = blend_weights([1.0] * len(heads) if weights is None else weights, len(heads))
    low, high = EXAGGERATION
    if not low <= exaggeration <= high:  # NaN included
        raise ValueError(f"Expected an exaggeration of {low:g} to {high:g}, got {exaggeration!r}.")
    if exaggeration and average is None and len(heads) == 1:
        raise ValueError(
            "Expected a second head or the average face, got one head alone: there is nothing to exaggerate it away "
            "from. Connect another shape, or give the mesh topology, which holds FLAME's mean head."
        )
    main = int(np.argmax(shares)) if onto is None else onto
    if shares[main] == 1 and not exaggeration:
        return as_given(shapes[0], heads[main])
    aligned = np.stack([_aligned(head, heads[main]) for head in heads])
    blend = np.tensordot(shares, aligned, axes=1)
    if exaggeration:
        mean = aligned.mean(axis=0) if average is None else _aligned(checked_vertices(average), heads[main])
        blend += exaggeration * (blend - mean)
    return as_given(shapes[0], blend)


def blend_faces(
    people: Sequence[FaceShape], weights: Sequence[float], exaggeration: float = 0.0, average: ArrayLike | None = None
) -> FaceShape:
    """`blend_shapes` of `FaceShape`s, posed and placed in the photo like the first one, so that its photo can follow.

    Raises as `blend_shapes`.
    """
    shares = blend_weights(weights, len(people))
    vertices = blend_shapes([person.vertices for person in people], shares, exaggeration, average, onto=0)
    mixed = " + ".join(f"{share:.0%} {person.name}".strip() for person, share in zip(people, shares, strict=True))
    return replace(people[0], vertices=vertices, name=mixed, note="", edit="")


class Blend(NamedTuple):
    """shape: the mix. note: who has how much of it, a sentence for people."""

    shape: FaceShape
    note: str


def mix_people(
    people: Sequence[FaceShape | None],
    place: str = "",
    weights: str = "",
    exaggeration: float = 0.0,
    folders: Iterable[str | os.PathLike] = (),
) -> Blend:
    """`blend_faces` by the handle on the circle (see `read_place`), or by the text `weights` (see `read_weights`).

    people: None is nobody. folders: one may hold the topology file, whose mean head is the average face.
    """
    from ..topology.known import mean_head

    people = [each for each in people if each is not None]
    given = read_weights(weights, len(people))
    shares = blend_weights(circle_weights(*read_place(place), len(people)) if given is None else given, len(people))
    shape = blend_faces(people, shares, exaggeration, mean_head(len(people[0].vertices), folders))
    named = enumerate(zip(people, shares, strict=True), 1)
    parts = (f"{share:.0%} person {n}{f' ({who.name})' if who.name else ''}" for n, (who, share) in named)
    return Blend(shape, ", ".join(parts) + ".")


def read_weights(text: str, count: int) -> list[float] | None:
    """Weights out of a text such as "2, 1, 1"; None for an empty one. Raises ValueError for what are no `count`
    numbers, naming the first that is none."""
    words = text.replace(",", " ").replace(";", " ").split()
    if not words:
        return None
    weights = []
    for word in words:
        try:
            weights.append(float(word))
        except ValueError:
            raise ValueError(f"Expected weights such as 2, 1, 1, got {word!r} among them.") from None
    blend_weights(weights, count)
    return weights


def read_place(text: str) -> tuple[float, float]:
    """The handle's place on the circle out of the widget's JSON, {"version": 1, "x": 0, "y": 0}; the middle for an
    empty text. What is out of -1..1 is brought there. Raises ValueError for anything else."""
    if not text.strip():
        return 0.0, 0.0
    try:
        state = json.loads(text)
        x, y = (float(state.get(name, 0)) for name in "xy")
        newer = int(state.get("version", 1)) > 1
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ValueError(f'Expected a place such as {{"x": 0, "y": 0.5}}, got {text[:60]!r}.') from None
    if newer:
        raise ValueError("This place on the circle was made with a newer pack. Update the FantasyID nodes.")
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"Expected the place of the handle as finite numbers, got {x}, {y}.")
    return min(max(x, -1.0), 1.0), min(max(y, -1.0), 1.0)


def blend_weights(weights: Sequence[float], count: int) -> np.ndarray:
    """Weights float64 [count] with the sum 1 and these proportions.

    Raises ValueError for another number of them, negative, NaN or infinite ones, and for only zeros.
    """
    values = np.asarray(weights, np.float64)
    if values.shape != (count,):
        raise ValueError(f"Expected one weight for each of {count} heads, got {values.size}.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"Expected weights from 0 on, got {', '.join(f'{value:g}' for value in values)}.")
    if not values.any():
        raise ValueError("All weights are 0: expected at least one head with a weight above 0.")
    values = values / values.max()  # so that tiny and huge ones neither vanish nor overflow
    return values / values.sum()


def circle_weights(x: float, y: float, count: int) -> np.ndarray:  # [count]
    """The weights of people on a circle, for a handle at (x, y): x to the right, y up, the circle's radius 1.

    Person k stands at the angle 90 - 360 k / count degrees: the first at the top, the next clockwise. At a person's
    place that person has all of it, in the middle all have the same, between neighbours the two share. A handle
    outside the people's polygon counts where the line to the middle leaves it. Of one person it is always 1; two
    share by the handle's height. Wachspress' coordinates (1975) of the polygon.

    Raises ValueError for another count than 1..6, and NaN or infinite places.
    """
    if not 1 <= count <= MAX_SHAPES:
        raise ValueError(f"Expected 1 to {MAX_SHAPES} people on the circle, got {count!r}.")
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"Expected the place of the handle as finite numbers, got {x!r}, {y!r}.")
    if count == 1:
        return np.ones(1)
    if count == 2:
        share = (min(max(y, -1.0), 1.0) + 1) / 2
        return np.array([share, 1 - share])
    angles = math.pi / 2 - 2 * math.pi * np.arange(count) / count
    people = np.column_stack([np.cos(angles), np.sin(angles)])
    following = np.roll(people, -1, axis=0)
    # Distance of each side of the polygon, in distances of the middle from it: 1 in the middle, 0 on the side.
    outwards = (people + following) / (1 + math.cos(2 * math.pi / count))
    reach = 1 - outwards @ np.array([x, y])
    if reach.min() < 0:
        reach = 1 - (1 - reach) / (1 - reach.min())
    # The weight of a person: the product of the distances of the sides that the person is not on.
    weights = np.array([np.prod(np.delete(reach, [person, person - 1])) for person in range(count)])
    return weights / weights.sum()


def _checked_heads(shapes: Sequence, average: ArrayLike | None) -> list[np.ndarray]:
    if not 1 <= len(shapes) <= MAX_SHAPES:
        raise ValueError(f"Expected 1 to {MAX_SHAPES} heads to blend, got {len(shapes)}.")
    heads = [checked_vertices(shape) for shape in shapes]
    counts = [len(head) for head in heads] + ([] if average is None else [len(checked_vertices(average))])
    if len(set(counts)) > 1:
        raise ValueError(
            f"Expected heads of one mesh, got {', '.join(map(str, counts))} vertices. Make them all with the node "
            "Reconstruct Face, or load FLAME heads with the node Load Shape."
        )
    return heads


def _aligned(head: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The head, moved and turned onto the target by their faces' places."""
    if head is target:
        return head
    ours, theirs = face_frame(head), face_frame(target)
    return (head - ours.origin) @ (theirs.rotation @ ours.rotation.T).T + theirs.origin

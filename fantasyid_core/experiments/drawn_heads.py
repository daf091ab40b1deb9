"""Drawn heads whose truth is known, with MediaPipe's points as they are seen on them.

People of `people` with random looks and a part of their own shape, deformed by random sliders and turned by up to 28
degrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..face.landmarks.faces import mesh_pass
from ..face.landmarks.squares import Squares, squares_of_points
from ..shape.edit.controls import face_controls
from ..shape.edit.faceframe import face_frame, face_places
from ..shape.ownhead.mesh import head_mesh
from ..shape.reconstruct.calibration import POINTS
from ..shape.reconstruct.landmark_fit import MeanHead, own_head
from ..shape.reconstruct.placing import Pose, pose_of

SIZE = 256
SPREAD = 0.35  # standard deviation of the sliders
HELD_OUT = 1_000_000_000  # seeds from here on are for testing, as in `people.person`


class Seen(NamedTuple):
    """One drawn head: true vertices [V,3] in metres and sliders [S], its points [468,3] as they are seen (y up, z to
    the viewer, pixels), and its true pose from upright millimetres to these."""

    vertices: np.ndarray
    values: np.ndarray
    points: np.ndarray
    pose: Pose


class OwnHeads:
    """Heads of `people`: every look, with shape parameters of their own, which the sliders do not know.

    settles: whether the pictures themselves tell where the points lie on the mesh.
    """

    settles = True

    def __init__(self):
        mesh = head_mesh()
        self.template, self.faces = mesh.template, mesh.faces
        self.controls = face_controls(self.template)
        self.middle = middle_of(self.template)

    def mean_head(self) -> MeanHead:
        """The head that is fitted to these."""
        return own_head()

    def heads(self, seeds: range) -> Iterator[Seen]:
        from ..people.motion import frame_row
        from ..people.person import sample_person
        from ..people.render import render_frames, render_maps

        for seed in seeds:
            draw = np.random.default_rng([seed, 14])
            person = sample_person(seed)
            person = replace(person, shape=tuple(np.round(0.4 * np.array(person.shape), 4)))
            values = random_values(draw, len(self.controls.controls))
            bend = self.controls.displacement(pairs(self.controls, values))
            yaw, pitch, roll = draw.uniform(-28, 28), draw.uniform(-12, 12), draw.uniform(-8, 8)
            smile = max(0.0, draw.uniform(-0.6, 0.3))
            row = frame_row(yaw=yaw, pitch=pitch, roll=roll, smile=smile, light_turn=draw.uniform(-50, 50))[None]
            picture = render_frames(person, row, None, SIZE, bend=bend)[0]
            maps = render_maps(person, row, SIZE, bend=bend)
            seen = np.column_stack([maps.points[0] * (1, -1), maps.vertex_depth[0] * maps.scale[0]]).astype(np.float64)
            vertices = person.vertices().astype(np.float64) + bend
            yield from found(picture, vertices, values, seen, self.middle)


def found(picture, vertices, values, seen, middle) -> Iterator[Seen]:
    """The head with its points, or nothing where the mesh sees no face."""
    from ..shape.edit.faceframe import five_places

    five = five_places(vertices)
    nearest = [int(((vertices - place) ** 2).sum(axis=1).argmin()) for place in five]
    at = seen[nearest][:, :2] * (1, -1)
    eyes, across = at[:2].mean(axis=0), at[1] - at[0]
    down = at[3:].mean(axis=0) - eyes
    square = Squares((eyes + 0.5 * down)[None], np.array([3.4 * max(np.linalg.norm(across), np.linalg.norm(down))]),
                     np.array([np.arctan2(across[1], across[0])]))  # fmt: skip
    points, _ = mesh_pass(picture, square, "cpu")
    points, presence = mesh_pass(picture, squares_of_points(points), "cpu")
    if presence[0] < 0.5:
        return
    upright = (vertices - middle) * 1000
    true = pose_of(seen, upright, np.ones(len(seen)))
    yield Seen(vertices, values, points[0, :POINTS] * (1, -1, -1), true)


def middle_of(template: np.ndarray) -> np.ndarray:
    places = face_places(template)
    return (places["eye_left"] + places["eye_right"]) / 2


def random_values(draw: np.random.Generator, count: int, spread: float = SPREAD) -> np.ndarray:
    return np.clip(spread * draw.standard_normal(count), -1, 1)


def pairs(controls, values: np.ndarray) -> dict:
    return {name: (value, value) for name, value in zip(controls.controls, values, strict=True)}


def face_region(template: np.ndarray) -> np.ndarray:
    """Vertices of the face, by face coordinates: from chin to forehead and as far back as the cheeks' sides."""
    x, y, z = face_frame(template).coordinates.T
    return (abs(x) < 70) & (y > -112) & (y < 75) & (z > -25)


def distance(head: np.ndarray, true: np.ndarray) -> float:  # [N,3], [N,3], metres
    """Mean distance in millimetres after the best similarity."""
    pose = pose_of(1000 * true, 1000 * head, np.ones(len(head)))
    return float(np.linalg.norm(pose.seen(1000 * head) - 1000 * true, axis=1).mean())

"""A drawn person in the form that the rest of the project takes: a face crop, and the 3D face."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..face.align import FaceCrop
from ..running.progress import patiently
from ..shape.faceshape import FaceShape
from ..shape.ownhead.mesh import head_mesh
from .backdrop import sample_backdrop
from .motion import sample_portrait
from .person import Draw, sample_person
from .render import render_frames, render_maps


class Portrait(NamedTuple):
    face: FaceCrop
    shape: FaceShape


def make_portrait(seed: int, number: int = 0, size: int = 512) -> Portrait:
    """The picture `number` of the person `seed`, drawn in pose, expression, light and background, with its 3D face.

    The picture is a crop already: the camera shows head and shoulders. The shape is the neutral face of 2236
    vertices, in metres, with its place in the picture. Raises ValueError for seeds, numbers and sizes out of range,
    RuntimeError without the package numba.
    """
    if number < 0:
        raise ValueError(f"Expected the number of a picture from 0 on, got {number}.")
    return patiently(lambda: _portrait(seed, number, size))  # the first one is compiled for a minute


def _portrait(seed: int, number: int, size: int) -> Portrait:
    import torch

    person, draw = sample_person(seed), Draw(seed, "reference", number)
    row = sample_portrait(draw)[None]
    picture = render_frames(person, row, sample_backdrop(draw), size)[0]
    maps = render_maps(person, row, size)
    seen = np.column_stack([maps.points[0], maps.vertex_depth[0] * maps.scale[0]]).astype(np.float64)
    vertices = torch.from_numpy(person.vertices())
    shape = FaceShape(vertices, head_mesh().faces.astype(np.int64), f"procedural person {seed}", seen=seen)
    return Portrait(FaceCrop(picture, np.eye(2, 3), None, picture), shape)

"""Heads for tests: those of the official samples, those of the project's own people, and how they are turned."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from licensedfiles import find_licensed_files

SAMPLES = ("anne", "imp", "taylor")
OWN = ("person 7", "person 12")

Files = Callable[[str], Path]  # the fixture `licensed`


class Head(NamedTuple):
    """A head and its mesh. template: the mean head of that mesh."""

    name: str
    vertices: np.ndarray  # float32 [V,3], metres
    faces: np.ndarray  # int64 [F,3]
    template: np.ndarray  # float32 [V,3]


def official_names() -> tuple[str, ...]:
    """Parameters of tests on official heads and photos: one that is skipped where they are not to be had."""
    return SAMPLES if find_licensed_files() else ("official samples",)


def head_names() -> list:
    """Parameters of tests on heads: the project's own people, and the official samples."""
    return [*OWN, *(pytest.param(name, marks=pytest.mark.licensed) for name in official_names())]


@cache
def own_head(name: str) -> Head:
    """One of `OWN`."""
    from fantasyid_core.people.person import sample_person
    from fantasyid_core.shape.ownhead.mesh import head_mesh

    mesh = head_mesh()
    vertices = sample_person(int(name.split()[1])).vertices().astype(np.float32)
    return Head(name, vertices, mesh.faces, mesh.template.astype(np.float32))


def official_head(licensed: Files, name: str) -> Head:
    return Head(name, sample(licensed, name), faces_of(licensed), sample(licensed, "template"))


@cache
def sample(licensed: Files, name: str) -> np.ndarray:
    """Vertices float32 [5023,3] of a sample head, posed as its photo; "template" is FLAME's mean head."""
    from fantasyid_core.shape import load_shape

    if name == "template":
        return topology(licensed).template.numpy()
    return load_shape(licensed(f"{name}.ply")).numpy()


@cache
def topology(licensed: Files):
    from fantasyid_core.shape import load_topology

    return load_topology(licensed("transform.pkl"))


def faces_of(licensed: Files) -> np.ndarray:
    return topology(licensed).faces.numpy()


def landmarks_of(licensed: Files, vertices: np.ndarray) -> np.ndarray:
    """The 68 landmarks [68,3] by the official embedding."""
    import torch

    from fantasyid_core.shape import load_landmarks

    embedding = load_landmarks(licensed("landmark_embedding.npy"))
    return embedding(torch.as_tensor(vertices)[None], faces_of(licensed))[0].numpy()


def turn(*degrees: float) -> np.ndarray:
    """A rotation [3,3] about x, then y, then z."""
    whole = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        others = [other for other in range(3) if other != axis]
        one[np.ix_(others, others)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        whole = one @ whole
    return whole

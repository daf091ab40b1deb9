"""Triangles and mean head for shapes without faces; the number of vertices identifies the mesh."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..faceshape import VERTEX_COUNT, FaceShape
from .topology import find_topology, load_topology

if TYPE_CHECKING:
    import numpy as np


def mesh_faces(count: int, folders: Iterable[str | os.PathLike] = ()) -> np.ndarray | None:  # [F,3]
    """The triangles of a head with `count` vertices, for shapes that are points only; None when they are not known."""
    path = find_topology(tuple(folders)) if count == VERTEX_COUNT else None
    return None if path is None else load_topology(path).faces.numpy()


def with_faces(shape: FaceShape, folders: Iterable[str | os.PathLike] = ()) -> FaceShape:
    """The shape with its triangles, those of the topology file when it has none of its own and they fit."""
    return shape if shape.faces is not None else replace(shape, faces=mesh_faces(len(shape.vertices), folders))


def mean_head(count: int, folders: Iterable[str | os.PathLike] = ()) -> np.ndarray | None:  # [V,3]
    """FLAME's mean head from the topology file, for heads with `count` vertices; None when it is not there."""
    path = find_topology(tuple(folders)) if count == VERTEX_COUNT else None
    return None if path is None else load_topology(path).template.numpy()

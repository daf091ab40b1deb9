"""The three files that turn a photo into a 3D face, found and loaded together, and kept for the next photo."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...modelfiles import find_model_file, missing_file
from ..faceshape import FaceShape
from ..files.pointcloud import read_shape
from ..topology.topology import load_topology

if TYPE_CHECKING:
    from ..topology.topology import Topology
    from .deca import Deca
    from .flame import FlameModel
    from .landmarks import LandmarkEmbedding


class FaceModels(NamedTuple):
    """deca: photo -> numbers. flame: numbers -> head. embedding: the 68 landmarks on the head, or None."""

    deca: Deca
    flame: FlameModel
    embedding: LandmarkEmbedding | None


def load_face_models(
    deca: str | os.PathLike | None = None,
    flame: str | os.PathLike | None = None,
    landmarks: str | os.PathLike | None = None,
    folders: Iterable[str | os.PathLike] = (),
) -> FaceModels:
    """DECA, FLAME and the landmarks from the given files, or from where `modelfiles.find_model_file` sees them.

    All are on the CPU in float32, where one face takes a fraction of a second and no video memory. The last
    three files are kept until one of them changes. Without landmarks the embedding is None.

    Raises FileNotFoundError saying where DECA or FLAME come from, and what `load_deca`, `load_flame` and
    `load_landmarks` raise.
    """
    folders = tuple(folders)
    files = _found(deca, "deca", folders), _found(flame, "flame", folders)
    points = Path(landmarks) if landmarks else find_model_file("landmarks", folders)
    return _load(*(_stamp(path) for path in (*files, points)))


def load_flame_model(
    flame: str | os.PathLike | None = None, folders: Iterable[str | os.PathLike] = ()
) -> FlameModel | None:
    """FLAME alone, from the given file or from where `modelfiles.find_model_file` sees it; None when there is none.

    On the CPU in float32; kept until the file changes. Raises what `load_flame` raises for a file that is not FLAME.
    """
    path = Path(flame).expanduser() if flame else find_model_file("flame", tuple(folders))
    return None if path is None else _load_flame(_stamp(path))


def read_checked_shape(path: str | os.PathLike, folders: Iterable[str | os.PathLike] = ()) -> FaceShape:
    """`read_shape`, checked against the mesh topology when one of `folders` holds it.

    With it the order of the vertices is checked, .stl files can be read, and a cloud of points gets faces.
    Raises what `read_shape` and, for a damaged topology, `load_topology` raise.
    """
    try:
        topology = load_topology(search_folders=tuple(folders))
    except FileNotFoundError:  # the models need it, reading a head does not
        return read_shape(path)
    return read_shape_of(topology, path)


def read_shape_of(topology: Topology, path: str | os.PathLike) -> FaceShape:
    """`read_shape` of a head with this topology: number and order of the vertices are checked."""
    return read_shape(path, len(topology.template), topology.faces.numpy(), topology.template.numpy())


def _found(given: str | os.PathLike | None, key: str, folders: tuple) -> Path:
    path = Path(given).expanduser() if given else find_model_file(key, folders)
    if path is None:
        raise FileNotFoundError(missing_file(key))
    return path


def _stamp(path: Path | None) -> tuple[Path, int, int] | None:
    if path is None or not path.exists():  # the loader says what is missing
        return None if path is None else (path, 0, 0)
    return path, path.stat().st_size, path.stat().st_mtime_ns


@lru_cache(maxsize=1)
def _load(deca: tuple, flame: tuple, landmarks: tuple | None) -> FaceModels:
    from .deca import load_deca
    from .landmarks import load_landmarks

    embedding = load_landmarks(landmarks[0]) if landmarks else None
    return FaceModels(load_deca(deca[0]), _load_flame(flame), embedding)


@lru_cache(maxsize=1)
def _load_flame(flame: tuple) -> FlameModel:
    from .flame import load_flame

    return load_flame(flame[0])

"""The mesh topology the networks are built on: spirals of two levels and the pooling between three.

Source: `assets/transform.pkl` of the official repository (five levels of the FLAME mesh, of which the
released network uses the first three). It is read without SciPy by the restricted unpickler, converted
once, and kept as safetensors in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...files.checkpoint import open_file
from ...files.tensorfile import write_tensors
from ...files.unpickle import SparseMatrix, restricted_load
from ...files.writing import write_aside
from ...modelfiles import model_file
from .spiral import spiral_indices

PREFIX = "topology."  # of the keys in a safetensors file
POOLINGS = 2  # of the four in the file
SPIRAL_LENGTH = 9  # the width of the released spiral convolutions
_CACHE_FORMAT = b"fantasyid topology 1"  # part of the cache's name: a new format never meets an old file
_ROW = model_file("topology")
_ORIGIN = f"assets/transform.pkl of the official repository, {_ROW.sources[0]} ({_ROW.licence})"


@dataclass(frozen=True, eq=False)
class Transform:
    """A sparse matrix that pools vertices: `indices` int64 [2, nnz] (row, column), `values` float32 [nnz]."""

    indices: Tensor
    values: Tensor
    shape: tuple[int, int]  # V', V

    def __post_init__(self):
        _expect(self.values, torch.float32, (None,), "the values of a pooling matrix")
        _expect(self.indices, torch.int64, (2, len(self.values)), "the indices of a pooling matrix")
        if len(self.shape) != 2 or not 1 <= self.shape[0] <= len(self.values):
            raise ValueError(
                "expected a pooling matrix with two sizes and an entry in every row, "
                f"got the shape {self.shape} and {len(self.values)} entries"
            )
        for indices, size in zip(self.indices, self.shape, strict=True):
            _expect_range(indices, size, "the indices of a pooling matrix")

    @cached_property
    def padded(self) -> tuple[Tensor, Tensor]:
        """Columns int64 [V', K] and weights float32 [V', K] of every row; short rows end in zero weights."""
        order = np.argsort(self.indices[0].cpu().numpy(), kind="stable")
        rows, columns = self.indices.cpu().numpy()[:, order]
        counts = np.bincount(rows, minlength=self.shape[0])
        slots = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        neighbours = np.zeros((self.shape[0], counts.max()), dtype=np.int64)
        weights = np.zeros(neighbours.shape, dtype=np.float32)
        neighbours[rows, slots] = columns
        weights[rows, slots] = self.values.cpu().numpy()[order]
        with torch.inference_mode(False):  # kept for later calls, which may need gradients
            return torch.from_numpy(neighbours), torch.from_numpy(weights)


@dataclass(frozen=True, eq=False)
class Topology:
    """Everything fixed that the vertex networks need; level 0 is the full mesh (5023 vertices for FLAME).

    `spirals` int64 [V_l, length] per level but the coarsest · `down[l]` pools level l to l+1, `up[l]` back ·
    `faces` int64 [F, 3] and `template` float32 [V, 3] (metres) of level 0.
    Raises ValueError when the parts do not fit together.
    """

    spirals: tuple[Tensor, ...]
    down: tuple[Transform, ...]
    up: tuple[Transform, ...]
    faces: Tensor
    template: Tensor

    def __post_init__(self):
        _expect(self.template, torch.float32, (None, 3), "the template vertices")
        _expect(self.faces, torch.int64, (None, 3), "the faces")
        _expect_range(self.faces, len(self.template), "the faces")
        if not len(self.spirals) == len(self.down) == len(self.up) > 0:
            raise ValueError(
                "expected spirals, down- and up-transforms for the same number of levels, "
                f"got {len(self.spirals)}, {len(self.down)} and {len(self.up)}"
            )
        counts = self.vertex_counts
        for level, (spirals, down, up) in enumerate(zip(self.spirals, self.down, self.up, strict=True)):
            _expect(spirals, torch.int64, (counts[level], None), f"the spirals of level {level}")
            _expect_range(spirals, counts[level], f"the spirals of level {level}")
            expected = counts[level + 1], counts[level]
            if down.shape != expected or up.shape != expected[::-1]:
                raise ValueError(
                    f"expected pooling matrices {expected} down and {expected[::-1]} up at level {level}, "
                    f"got {down.shape} and {up.shape}"
                )

    @property
    def vertex_counts(self) -> tuple[int, ...]:
        """Vertices per level, finest first: (5023, 1256, 314) for the release."""
        return len(self.template), *(down.shape[0] for down in self.down)

    @cached_property
    def fingerprint(self) -> str:
        """Tells topologies apart, those of one mesh with other coarse levels too: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, value in sorted(self.tensors().items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def tensors(self) -> dict[str, Tensor]:
        """Every part as a tensor under a key such as "topology.down.0.indices", ready for safetensors."""
        tensors = {"faces": self.faces, "template": self.template}
        for level, spirals in enumerate(self.spirals):
            tensors[f"spirals.{level}"] = spirals
        for direction, transforms in (("down", self.down), ("up", self.up)):
            for level, transform in enumerate(transforms):
                tensors[f"{direction}.{level}.indices"] = transform.indices
                tensors[f"{direction}.{level}.values"] = transform.values
                tensors[f"{direction}.{level}.shape"] = torch.tensor(transform.shape)
        return {PREFIX + key: tensor.contiguous() for key, tensor in tensors.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Topology:
        """The inverse of `tensors()`; keys without the prefix "topology." are not looked at.

        Raises ValueError naming the first five keys that are missing or unknown.
        """
        parts = {key[len(PREFIX) :]: tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}
        levels = range(max(1, sum(key.startswith("spirals.") for key in parts)))
        expected = {"faces", "template", *(f"spirals.{level}" for level in levels)}
        for direction in ("down", "up"):
            for part in ("indices", "values", "shape"):
                expected.update(f"{direction}.{level}.{part}" for level in levels)
        wrong = sorted(expected ^ parts.keys())
        if wrong:
            raise ValueError(
                "expected the tensors of a mesh topology, missing or unknown are: "
                + ", ".join(PREFIX + key for key in wrong[:5])
            )

        def transform(key: str) -> Transform:
            shape = tuple(int(size) for size in parts[f"{key}.shape"].flatten())
            return Transform(parts[f"{key}.indices"], parts[f"{key}.values"], shape)

        return cls(
            spirals=tuple(parts[f"spirals.{level}"] for level in levels),
            down=tuple(transform(f"down.{level}") for level in levels),
            up=tuple(transform(f"up.{level}") for level in levels),
            faces=parts["faces"],
            template=parts["template"],
        )


def pool(
    features: Tensor,  # [B, V, C]
    transform: Transform,
) -> Tensor:  # [B, V', C]
    """Pools vertices: the sparse matrix product, accumulated in float32 (or wider) on the features' device.

    A padded gather and a sum rather than `index_add`, whose order of additions on a GPU changes from run
    to run: equal inputs must give equal videos.

    Raises ValueError when the number of vertices is not the transform's.
    """
    if features.ndim != 3 or features.shape[1] != transform.shape[1]:
        raise ValueError(
            f"Expected vertex features [B, {transform.shape[1]}, C], got {list(features.shape)}. "
            "Use a shape of the mesh that the adapter's topology describes."
        )
    neighbours, weights = transform.padded
    dtype = torch.promote_types(features.dtype, torch.float32)
    gathered = features.index_select(1, neighbours.flatten().to(features.device))
    gathered = gathered.unflatten(1, neighbours.shape).to(dtype)  # [B, V', K, C]
    return (gathered * weights.to(features.device, dtype).unsqueeze(-1)).sum(dim=2).to(features.dtype)


def save_topology(topology: Topology, path: str | os.PathLike) -> None:
    """Writes a safetensors file that `load_topology` reads. Raises OSError when it cannot be written."""
    with write_aside(path) as aside:
        write_tensors(aside, topology.tensors())


@torch.inference_mode(False)  # hosts load inside inference mode; training must be able to use the result
def load_topology(
    source: Topology | str | os.PathLike | None = None, search_folders: Iterable[str | os.PathLike] = ()
) -> Topology:
    """The mesh topology from a Topology, a transform.pkl, a .safetensors, or a folder that holds one.

    Without a source: the path in the environment variable FANTASYID_TOPOLOGY, else the first of
    `search_folders` that holds one. A pickle's conversion is cached in ~/.cache/fantasyid (environment
    variable FANTASYID_CACHE overrides the folder); a cache that cannot be read or written is done without.

    Raises FileNotFoundError saying where it was looked for and where the file comes from, ValueError for
    a file that is no mesh topology or asks for more than a topology needs.
    """
    if isinstance(source, Topology):
        return source
    path = _find(source, search_folders)
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def find_topology(search_folders: Iterable[str | os.PathLike] = ()) -> Path | None:
    """The file that `load_topology` would read without a source, or None when there is none."""
    try:
        return _find(None, search_folders)
    except FileNotFoundError:
        return None


def _find(source: str | os.PathLike | None, search_folders: Iterable[str | os.PathLike]) -> Path:
    named = source or os.environ.get("FANTASYID_TOPOLOGY")
    places = [Path(place).expanduser() for place in ([named] if named else search_folders)]
    for place in places:
        if place.is_file():
            return place
        found = _in_folder(place)
        if found:
            return found
    looked = ", ".join(str(place) for place in places) or "no folder was given to look in"
    hint = "" if source or not named else " (the value of FANTASYID_TOPOLOGY)"
    raise FileNotFoundError(
        f"The mesh topology transform.pkl is missing. Looked for it here: {looked}{hint}. It is {_ORIGIN}: "
        "put it there, or set the environment variable FANTASYID_TOPOLOGY to its path."
    )


def _in_folder(folder: Path) -> Path | None:
    for name in ("transform.pkl", "assets/transform.pkl", "topology.safetensors"):
        if (folder / name).is_file():
            return folder / name
    converted = sorted(folder.glob("topology-*.safetensors"))
    if len(converted) > 1:
        raise ValueError(
            f"Expected one mesh topology in {folder}, got {len(converted)}: "
            f"{', '.join(path.name for path in converted[:5])}. Give the path of one of them."
        )
    return converted[0] if converted else None


def _read_safetensors(path: Path) -> Topology:
    try:
        checkpoint = open_file(path)
    except ValueError as error:
        raise ValueError(f"{error} Or delete it and load {_ORIGIN} instead.") from error
    try:
        return Topology.from_tensors({key: checkpoint.read(key) for key in checkpoint if key.startswith(PREFIX)})
    except ValueError as error:
        raise _unusable(path, error) from error


def _read_pickle(path: Path) -> Topology:
    try:
        return _read_safetensors(_cache_path(path))
    except (OSError, ValueError, RuntimeError):  # absent, unreadable, damaged or no home: it is made anew
        topology = _convert(restricted_load(path), path)
    try:
        save_topology(topology, _cache_path(path))
    except (OSError, RuntimeError):  # without a cache the next start takes half a second longer, no more
        pass
    return topology


def _cache_path(path: Path) -> Path:
    digest = hashlib.sha256(_CACHE_FORMAT)
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    folder = os.environ.get("FANTASYID_CACHE")
    folder = Path(folder).expanduser() if folder else Path.home() / ".cache" / "fantasyid"
    return folder / f"topology-{digest.hexdigest()[:16]}.safetensors"


def _convert(content: Any, path: Path) -> Topology:
    try:
        meshes = _levels(content, "vertices", POOLINGS), _levels(content, "face", POOLINGS)
        transforms = [_levels(content, key, POOLINGS) for key in ("down_transform", "up_transform")]
        template, faces = np.asarray(meshes[0][0]), np.asarray(meshes[1][0])
        spirals = [spiral_indices(faces, vertices, SPIRAL_LENGTH) for vertices, faces in zip(*meshes, strict=True)]
        down, up = (tuple(_transform(matrix) for matrix in matrices) for matrices in transforms)
        return Topology(
            spirals=tuple(torch.from_numpy(indices) for indices in spirals),
            down=down,
            up=up,
            faces=torch.from_numpy(faces.astype(np.int64)),
            template=torch.from_numpy(template.astype(np.float32)),
        )
    except (ValueError, TypeError) as error:
        raise _unusable(path, error) from error


def _levels(content: Any, key: str, count: int) -> list:
    if not isinstance(content, dict) or key not in content:
        held = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"expected an entry '{key}', got {held or 'nothing'}")
    levels = content[key]
    if not isinstance(levels, (list, tuple)) or len(levels) < count:
        held = len(levels) if isinstance(levels, (list, tuple)) else type(levels).__name__
        raise ValueError(f"expected at least {count} levels in '{key}', got {held}")
    return list(levels[:count])


def _transform(matrix: Any) -> Transform:
    if not isinstance(matrix, SparseMatrix):
        raise ValueError(f"expected SciPy sparse matrices as transforms, got {type(matrix).__name__}")
    found = matrix.coordinates()
    indices = np.stack([found.row, found.col]).astype(np.int64)
    return Transform(torch.from_numpy(indices), torch.from_numpy(found.data.astype(np.float32)), found.shape)


def _unusable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not a usable mesh topology: {str(error).rstrip('.')}. Use {_ORIGIN}.")


def _expect(tensor: Tensor, dtype: torch.dtype, shape: tuple[int | None, ...], what: str) -> None:
    fits = tensor.ndim == len(shape) and all(size in (None, got) for size, got in zip(shape, tensor.shape, strict=True))
    if tensor.dtype != dtype or not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"expected {what} as {dtype} [{sizes}], got {tensor.dtype} {list(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"expected finite numbers in {what}, got NaN or infinite ones")


def _expect_range(indices: Tensor, size: int, what: str) -> None:
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise ValueError(f"expected {what} in 0..{size - 1}, got {int(indices.min())}..{int(indices.max())}")

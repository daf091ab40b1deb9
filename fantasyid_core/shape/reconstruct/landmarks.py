"""The 68 landmarks of a face (iBUG's scheme) as places on FLAME's mesh, from the user's `landmark_embedding.npy`.

Every landmark lies in a triangle of the mesh, at weights for its three corners. 0-16 are the contour from ear
to ear, 17-67 brows, nose, eyes and mouth, each from left to right in the picture (x to the right, y up, z
towards the camera).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...files.unpickle import DAMAGE, restricted_load
from ...files.unpickle_torch import ALLOWED_WITH_TENSORS
from ...files.wrongfile import what_instead
from ...modelfiles import missing_file, origin
from .skinning import rotation_matrices

COUNT, CONTOUR = 68, 17
TURNS = 39  # degrees to either side for which the file knows the contour
EYES, NOSE_TIP, MOUTH_CORNERS = (slice(36, 42), slice(42, 48)), 30, [48, 54]
MAX_BYTES = 64 * 2**20  # the official file has 31 kB
TOLERANCE = 1e-3  # of the weights' sum
_ENTRIES = {
    "full_lmk_faces_idx": (COUNT,),
    "full_lmk_bary_coords": (COUNT, 3),
    "dynamic_lmk_faces_idx": (2 * TURNS + 1, CONTOUR),
    "dynamic_lmk_bary_coords": (2 * TURNS + 1, CONTOUR, 3),
}


@dataclass(frozen=True, eq=False)
class LandmarkEmbedding:
    """`embedding(vertices, faces)` -> landmarks; `load_landmarks` makes it.

    triangles: int64 [68] and weights: float64 [68,3], the contour of a head seen from the front.
    turned_triangles: int64 [79,17] and turned_weights: float64 [79,17,3], what of a turned head is its
    contour: rows 0 to 39 are degrees of yaw to positive x, 40 to 78 are 1 to 39 degrees to negative x.
    """

    triangles: Tensor
    weights: Tensor
    turned_triangles: Tensor
    turned_weights: Tensor

    def __call__(
        self,
        vertices: Tensor,  # [B, V, 3]
        faces: Tensor | np.ndarray,  # [F, 3], whole numbers
        yaw: Tensor | None = None,  # [B] radians, of `head_yaw`
    ) -> Tensor:  # [B, 68, 3], in the dtype and on the device of the vertices
        """The landmarks on heads; differentiable in the vertices.

        Without `yaw` the contour is fixed to the mesh, as 3D landmarks are. With it the contour is the edge of
        the head as it is seen, which is what people and detectors mark in pictures; it stays at 39 degrees
        for heads turned further.

        Raises ValueError for other shapes, and for a mesh that lacks the landmarks' triangles.
        """
        if vertices.ndim != 3 or vertices.shape[2] != 3:
            raise ValueError(f"Expected vertices [B, V, 3], got {list(vertices.shape)}. Add the batch dimension.")
        faces = torch.as_tensor(faces, device=vertices.device)
        last = max(int(self.triangles.max()), int(self.turned_triangles.max()))
        if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) <= last:
            raise ValueError(
                f"Expected the faces of FLAME [F, 3] with F above {last}, got {list(faces.shape)}. The landmarks "
                "belong to FLAME's mesh: use the faces of the FLAME file."
            )
        triangles, weights = (value.to(vertices.device) for value in self._places(len(vertices), yaw))
        corners = faces.long()[triangles]  # [B, 68, 3]
        batch = torch.arange(len(vertices), device=vertices.device)[:, None, None]
        return (vertices[batch, corners] * weights.to(vertices)[..., None]).sum(dim=2)

    def _places(self, batch: int, yaw: Tensor | None) -> tuple[Tensor, Tensor]:
        triangles, weights = self.triangles.expand(batch, -1), self.weights.expand(batch, -1, -1)
        if yaw is None:
            return triangles, weights
        if tuple(yaw.shape) != (batch,) or not torch.isfinite(yaw).all():
            raise ValueError(f"Expected one finite yaw for each of {batch} heads, got {list(yaw.shape)}.")
        degrees = yaw.detach().cpu().double().rad2deg().round().clamp(-TURNS, TURNS).long()
        rows = torch.where(degrees < 0, TURNS - degrees, degrees)
        return (
            torch.cat([self.turned_triangles[rows], triangles[:, CONTOUR:]], dim=1),
            torch.cat([self.turned_weights[rows], weights[:, CONTOUR:]], dim=1),
        )


def head_yaw(
    rotation: Tensor,  # [B, 3] axis-angle in radians: the first three of DECA's pose
) -> Tensor:  # [B] radians
    """How far a head is turned about its vertical axis; positive: towards positive x, the picture's right."""
    matrices = rotation_matrices(rotation)
    return torch.asin(-matrices[:, 2, 0].clamp(-1, 1))


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Of 68 landmarks [68,2] in a picture the five points [5,2] in the order of `face.align.TEMPLATE`."""
    eyes = [landmarks[part].mean(axis=0) for part in EYES]
    return np.stack([*eyes, landmarks[NOSE_TIP], *landmarks[MOUTH_CORNERS]])


@torch.inference_mode(False)  # hosts load inside inference mode; training must be able to use the result
def load_landmarks(path: str | os.PathLike) -> LandmarkEmbedding:
    """Reads `landmark_embedding.npy` as DECA and FantasyID have it: a pickled dict of arrays and tensors.

    It is read by the restricted unpickler, so no code in it runs. Used: full_lmk_faces_idx [1,68],
    full_lmk_bary_coords [1,68,3], dynamic_lmk_faces_idx [79,17], dynamic_lmk_bary_coords [79,17,3].

    Raises FileNotFoundError saying where it comes from; ValueError for another or a damaged file.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}. {missing_file('landmarks')}")
    if path.is_dir() or path.stat().st_size > MAX_BYTES:
        found = "a folder" if path.is_dir() else f"{path.stat().st_size / 2**20:.0f} MB"
        raise _unusable(path, f"expected one file of about 31 kB, got {found}")
    content = _read(path)
    try:
        arrays = [_entry(content, key, shape) for key, shape in _ENTRIES.items()]
    except DAMAGE as error:
        raise _unusable(path, str(error) or type(error).__name__) from error
    kinds = (np.int64, np.float64) * 2
    return LandmarkEmbedding(*(torch.from_numpy(a.astype(kind)) for a, kind in zip(arrays, kinds, strict=True)))


def _read(path: Path) -> Any:
    instead = what_instead(path, b"full_lmk_faces_idx")
    if instead:
        raise _unusable(path, f"it is {instead}")
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = header[version](stream)
            if not dtype.hasobject or shape not in ((), (1,)):
                raise ValueError(f"it holds plain numbers {dtype} {list(shape)}")
            found = restricted_load(stream, ALLOWED_WITH_TENSORS)
    except (*DAMAGE, OSError) as error:
        raise _unusable(path, f"it cannot be read ({error or type(error).__name__})") from error
    return found.item() if isinstance(found, np.ndarray) and found.size == 1 else found


def _entry(content: Any, key: str, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(content, Mapping) or key not in content:
        held = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"expected the entry {key}, got {held or 'nothing'}")
    value = content[key]
    whole = key.endswith("idx")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in ("iu" if whole else "f"):
        found = getattr(value, "dtype", type(value).__name__)
        raise ValueError(f"expected {'whole' if whole else 'real'} numbers in {key}, got {found}")
    found = np.asarray(value)[0] if value.shape == (1, *shape) else np.asarray(value)
    if found.shape != shape:
        raise ValueError(f"expected {list(shape)} numbers in {key}, got {list(value.shape)}")
    if not np.isfinite(found).all() or (whole and found.min() < 0):
        raise ValueError(f"expected finite numbers from 0 on in {key}, got others")
    if not whole and abs(found.sum(axis=-1) - 1).max() > TOLERANCE:
        raise ValueError(f"expected weights in {key} that add up to 1")
    return found


def _unusable(path: Path, reason: str) -> ValueError:
    reason = reason.rstrip(".")
    return ValueError(f"{path} is not a usable file of landmarks: {reason}. To replace it, {origin('landmarks')}.")

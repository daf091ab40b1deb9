"""FLAME: shape, expression and pose numbers become the vertices of a head (Li et al. 2017, section 3).

Written from the paper's mathematics. The model itself is the user's own file: FLAME 2020's
`generic_model.pkl`, a Python 2 pickle of chumpy arrays, or FLAME 2023, the same entries as chumpy or plain
arrays. It is read without chumpy and SciPy, and nothing in it is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...files.unpickle import ALLOWED, SparseMatrix, restricted_load
from ...files.wrongfile import what_instead
from ...modelfiles import missing_file, origin
from ..faceshape import VERTEX_COUNT
from .skinning import rotation_matrices, skin

SHAPE_COUNT, EXPRESSION_COUNT = 300, 100  # coefficients, in this order, of the file's `shapedirs`
JOINTS = ("global", "neck", "jaw", "left eye", "right eye")
PARENTS = (-1, 0, 1, 1, 1)
MAX_BYTES = 2**30  # the official files have about 50 MB
_WRONG = (ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError)


class FlameModel(nn.Module):
    """The head model: `flame(shape, expression, pose)` -> vertices. `load_flame` makes it.

    `faces` is np.int64 [F,3] for a mesh export. Vertices come in the dtype and on the device of the model,
    which `.to()` changes; coefficients are brought there. Everything is differentiable in the coefficients.
    """

    faces: np.ndarray

    def __init__(
        self,
        template: Tensor,  # [V, 3] metres
        shape_directions: Tensor,  # [V, 3, 400] shape, then expression
        pose_directions: Tensor,  # [V, 3, 36] one for each entry of the four rotations below the root
        joint_regressor: Tensor,  # [5, V]
        weights: Tensor,  # [V, 5]
        faces: np.ndarray,  # [F, 3]
    ):
        super().__init__()
        # Not persistent: licensed numbers must not slip into a checkpoint of whatever holds this model.
        self.register_buffer("template", template, persistent=False)
        self.register_buffer("shape_directions", shape_directions, persistent=False)
        self.register_buffer("pose_directions", pose_directions, persistent=False)
        self.register_buffer("joint_regressor", joint_regressor, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self.faces = faces

    def forward(
        self,
        shape: Tensor,  # [B, <=300]
        expression: Tensor | None = None,  # [B, <=100]
        pose: Tensor | None = None,  # [B, 6] axis-angle in radians: global, jaw
        neck: Tensor | None = None,  # [B, 3] axis-angle
        eyes: Tensor | None = None,  # [B, 6] axis-angle: left, right
    ) -> Tensor:  # [B, V, 3] metres
        """LBS(T + B_S(shape) + B_E(expression) + B_P(pose)); what is left out is zero, fewer coefficients
        than the model has are the first ones.

        The joints are regressed from the shape with its expression, as the FLAME software and so DECA and the
        FantasyID release do; the paper's formula writes the shape alone.

        Raises ValueError for another number of dimensions or coefficients, different batch sizes, and NaN or
        infinite coefficients.
        """
        shape = self._coefficients(shape, "shape", SHAPE_COUNT)
        expression = self._coefficients(expression, "expression", EXPRESSION_COUNT, shape)
        pose = self._angles(pose, "pose", 6, "global, jaw", shape)
        neck = self._angles(neck, "neck", 3, "x, y, z", shape)
        eyes = self._angles(eyes, "eyes", 6, "left, right", shape)
        # Half precision, which autocast would choose, is off by millimetres.
        with torch.autocast(self.template.device.type, enabled=False):
            angles = torch.cat([pose[:, :3], neck, pose[:, 3:], eyes], dim=1)
            rotations = rotation_matrices(angles.unflatten(1, (len(JOINTS), 3)))  # [B, 5, 3, 3]
            shaped = self._shaped(shape, expression)
            joints = self.joint_regressor @ shaped  # [B, 5, 3]
            bends = rotations[:, 1:] - torch.eye(3, dtype=shaped.dtype, device=shaped.device)
            posed = shaped + torch.einsum("bn,vcn->bvc", bends.flatten(1), self.pose_directions)
            return skin(posed, joints, rotations, PARENTS, self.weights)

    def neutral(self, shape: Tensor) -> Tensor:  # [B, <=300] -> [B, V, 3] metres
        """The head with pose and expression zero, as the FantasyID paper uses it. Raises as `forward`."""
        return self(shape)

    def _shaped(self, shape: Tensor, expression: Tensor) -> Tensor:
        of_shape, of_expression = self.shape_directions.split((SHAPE_COUNT, EXPRESSION_COUNT), dim=2)
        by_shape = torch.einsum("bn,vcn->bvc", shape, of_shape[..., : shape.shape[1]])
        by_expression = torch.einsum("bn,vcn->bvc", expression, of_expression[..., : expression.shape[1]])
        return self.template + by_shape + by_expression

    def _coefficients(self, values: Any, name: str, limit: int, like: Tensor | None = None) -> Tensor:
        if values is None and like is not None:
            return like.new_zeros(len(like), 0)
        values = torch.as_tensor(values)
        if values.ndim != 2 or values.shape[1] > limit:
            raise ValueError(
                f"Expected {name} coefficients [B, at most {limit}], got {list(values.shape)}. "
                + ("Add the batch dimension." if values.ndim < 2 else f"Give one row of at most {limit} a head.")
            )
        return self._checked(values, name, like)

    def _angles(self, values: Any, name: str, width: int, order: str, like: Tensor) -> Tensor:
        if values is None:
            return like.new_zeros(len(like), width)
        values = torch.as_tensor(values)
        if values.ndim != 2 or values.shape[1] != width:
            raise ValueError(
                f"Expected {name} as axis-angle [B, {width}] ({order}), got {list(values.shape)}. "
                f"Give {width} numbers in radians a head."
            )
        return self._checked(values, name, like)

    def _checked(self, values: Tensor, name: str, like: Tensor | None) -> Tensor:
        if like is not None and len(values) != len(like):
            raise ValueError(
                f"Expected {name} for {len(like)} heads, as many as shape has, got {len(values)}. "
                "Repeat the row to use one for all."
            )
        if not torch.isfinite(values).all():
            raise ValueError(
                f"Expected finite {name} numbers, got NaN or infinite ones. "
                "Reconstruct the face again or set them to zero."
            )
        return values.to(self.template)


@torch.inference_mode(False)  # hosts load inside inference mode; training must be able to use the result
def load_flame(
    path: str | os.PathLike, vertex_count: int = VERTEX_COUNT, dtype: torch.dtype = torch.float32
) -> FlameModel:
    """Reads FLAME 2020 or 2023 from its official .pkl, or the same entries from an .npz of plain arrays.

    Used: v_template, shapedirs [V,3,400], posedirs [V,3,36], J_regressor [5,V] (SciPy sparse or dense),
    kintree_table [2,5], weights [V,5], f [F,3]. `dtype` is torch.float32 or torch.float64.

    Raises FileNotFoundError saying where to register; ValueError for a file that is damaged, tries to import
    anything but arrays, or holds something else than FLAME: the message names the entry.
    """
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"Expected torch.float32 or torch.float64 for FLAME, got {dtype}. Use torch.float32.")
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}. {missing_file('flame')}")
    if path.is_dir() or path.stat().st_size > MAX_BYTES:
        found = "a folder" if path.is_dir() else f"{path.stat().st_size / 2**20:.0f} MB"
        raise ValueError(
            f"{path}: expected the head model FLAME in one file of about 50 MB, got {found}. To replace it, "
            f"{origin('flame')}."
        )
    content = _read(path)
    try:
        return _model(content, vertex_count, dtype)
    except _WRONG as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise _unusable(path, reason) from error


def _read(path: Path) -> Any:
    instead = what_instead(path, b"shapedirs")
    if instead:
        raise _unusable(path, f"it is {instead}")
    if path.suffix.lower() != ".npz":
        try:
            return restricted_load(path, _ALLOWED)
        except ValueError as error:  # it names the file and the fault
            raise ValueError(f"{error} To replace it, {origin('flame')}.") from error
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key in _ENTRIES}
    except Exception as error:  # damaged files make the parsers trip in too many ways to name
        raise _unusable(path, f"it cannot be read ({error})") from error


def _unusable(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path} is not a usable FLAME model: {reason}. To replace it, {origin('flame')}.")


# chumpy wraps arrays, and what was computed of them, as objects. These are read:


class _Computed:
    """An expression of chumpy, `state` being its operands. What the model needs is never one of these."""

    state: Mapping[str, Any] = {}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.state = dict(state)

    def value(self) -> np.ndarray:
        raise ValueError("it is an expression of chumpy instead of an array")


class _Stored(_Computed):
    def value(self) -> np.ndarray:
        return _plain(self.state["x"])


class _Selected(_Computed):
    def value(self) -> np.ndarray:
        chosen = _plain(self.state["a"]).ravel()[_plain(self.state["idxs"])]
        return chosen.reshape(self.state.get("preferred_shape", chosen.shape))


class _Reshaped(_Computed):
    def value(self) -> np.ndarray:
        return _plain(self.state["a"]).reshape(self.state["newshape"])


class _Transposed(_Computed):
    def value(self) -> np.ndarray:
        return _plain(self.state["a"]).transpose(self.state.get("axes"))


def _set(items: list | tuple = ()) -> set:
    return set(items)


_ALLOWED = {
    **ALLOWED,
    # Every chumpy object keeps a set of the names that changed.
    ("__builtin__", "set"): _set,
    ("builtins", "set"): _set,
    ("chumpy.ch", "Ch"): _Stored,
    ("chumpy.reordering", "Select"): _Selected,
    ("chumpy.reordering", "Reshape"): _Reshaped,
    ("chumpy.reordering", "transpose"): _Transposed,
    # Entries of the file that are not needed, such as the joints of the template, are made of these.
    ("chumpy.reordering", "Concatenate"): _Computed,
    ("chumpy.reordering", "AtleastNd"): _Computed,
    ("chumpy.ch", "MatVecMult"): _Computed,
    ("chumpy.ch_ops", "add"): _Computed,
    ("chumpy.ch_ops", "subtract"): _Computed,
    ("chumpy.ch_ops", "multiply"): _Computed,
    ("chumpy.linalg", "dot"): _Computed,
    ("chumpy.ch_ops", "dot"): _Computed,
}


def _plain(value: Any) -> np.ndarray:
    if isinstance(value, _Computed):
        return value.value()
    if isinstance(value, SparseMatrix):
        return _dense(value)
    if not isinstance(value, np.ndarray):
        raise ValueError(f"it holds {type(value).__name__} instead of an array")
    return np.asarray(value)


def _dense(matrix: SparseMatrix) -> np.ndarray:
    found = matrix.coordinates()
    if matrix.shape[0] != len(JOINTS) or matrix.shape[1] > 10**6:
        raise ValueError(f"it holds a sparse matrix {matrix.shape}, expected {len(JOINTS)} rows")
    return found.toarray()


_ENTRIES: dict[str, tuple[int | str, ...]] = {
    "v_template": ("V", 3),
    "shapedirs": ("V", 3, SHAPE_COUNT + EXPRESSION_COUNT),
    "posedirs": ("V", 3, 9 * (len(JOINTS) - 1)),
    "J_regressor": (len(JOINTS), "V"),
    "kintree_table": (2, len(JOINTS)),
    "weights": ("V", len(JOINTS)),
    "f": ("F", 3),
}


def _model(content: Any, vertex_count: int, dtype: torch.dtype) -> FlameModel:
    missing = [key for key in _ENTRIES if not isinstance(content, Mapping) or key not in content]
    if missing:
        held = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"expected the entries {', '.join(missing)}, got {held or 'nothing'}")
    arrays = {key: _entry(content[key], key) for key in _ENTRIES}
    count = len(arrays["v_template"]) if arrays["v_template"].ndim else 0
    if count != vertex_count:
        raise ValueError(
            f"expected {vertex_count} vertices, got {count}: it is another topology than FLAME's, "
            "which the identity networks are built on"
        )
    for key, sizes in _ENTRIES.items():
        _check_entry(arrays[key], key, sizes, vertex_count)
    _check_tree(arrays["kintree_table"])
    if abs(arrays["weights"].sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("expected skinning weights in 'weights' that add up to 1 at every vertex")
    names = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
    tensors = (torch.tensor(np.ascontiguousarray(arrays[name], dtype=np.float64), dtype=dtype) for name in names)
    return FlameModel(*tensors, faces=arrays["f"].astype(np.int64))


def _entry(value: Any, key: str) -> np.ndarray:
    try:
        return _plain(value)
    except _WRONG as error:
        raise ValueError(
            f"expected numbers in '{key}', but {str(error) or 'it cannot be read'} ({type(error).__name__})"
        ) from error


def _check_entry(array: np.ndarray, key: str, sizes: tuple[int | str, ...], vertex_count: int) -> None:
    expected = [vertex_count if size == "V" else size for size in sizes]
    fits = array.ndim == len(sizes) and all(size in ("F", got) for size, got in zip(expected, array.shape, strict=True))
    kinds = "iu" if key in ("f", "kintree_table") else "fiu"
    if not fits or array.dtype.kind not in kinds:
        what = "whole numbers" if kinds == "iu" else "real numbers"
        raise ValueError(
            f"expected {what} [{', '.join(map(str, expected))}] in '{key}', got {array.dtype} {list(array.shape)}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers in '{key}', got NaN or infinite ones")
    if key == "f" and array.size and not 0 <= array.min() <= array.max() < vertex_count:
        raise ValueError(f"expected faces of the vertices 0..{vertex_count - 1}, got {array.min()}..{array.max()}")


def _check_tree(table: np.ndarray) -> None:
    columns = {int(name): joint for joint, name in enumerate(table[1])}
    # The root's parent is written as -1, in a file of unsigned numbers as 4294967295.
    parents = (-1, *(columns.get(int(name)) for name in table[0, 1:]))
    if parents != PARENTS or int(table[0, 0]) in columns:
        raise ValueError(
            f"expected the joints {', '.join(JOINTS)} with the parents {PARENTS} in 'kintree_table', got "
            f"{table.tolist()}"
        )

"""Likeness of faces: ArcFace vectors (Deng et al., arXiv 1801.07698) with the user's own model.

The cosine of two vectors is near 0 for different people and 0.3 to 0.9 for one person.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..modelfiles import find_model_file, missing_file, model_file, origin
from ..running.packages import REINSTALL, MissingPackage, lacks, pip_command
from .align import check_image, check_sides, opencv
from .points import ORDER, check_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SIDE = 112
WIDTH = 512
GLINTR = "glintr100.onnx"
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five points lie in the crop of 112 x 112 pixels that ArcFace models were trained on."""

SAME = 0.28
"""Cosine from which on insightface's own examples say "the same person"."""

ANOTHER = 0.2
"""Cosine below which they say "not the same person"; what lies between may be one."""

PACKAGES = ("insightface", "onnxruntime", "onnx")


class Likeness:
    """Faces as vectors. `model` is insightface's ArcFaceONNX: get_feat([BGR np.uint8 [112,112,3]]) -> [1,512]."""

    def __init__(self, model):
        self.model = model

    def embed(self, image: np.ndarray, points: ArrayLike) -> np.ndarray:
        """The face with five points [5,2] in a picture (np.uint8 [H,W,3] RGB) as np.float32 [512] of length 1.

        The product of two of them is their cosine. Raises ValueError for another picture or other points, and
        RuntimeError when the model gives no finite vector.
        """
        vector = self.raw(arcface_crop(image, points)).astype(np.float64)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def raw(self, crop: np.ndarray) -> np.ndarray:
        """The model's vector of a crop (np.uint8 [S,S,3] RGB, scaled to 112 pixels): np.float32 [512].

        Raises RuntimeError when the model gives no finite vector.
        """
        vector = np.asarray(self.model.get_feat([np.ascontiguousarray(crop[..., ::-1])]), np.float64).reshape(-1)
        length = np.linalg.norm(vector)
        if len(vector) != WIDTH or not (np.isfinite(length) and length > 0):
            raise RuntimeError(
                f"The ArcFace model gave a vector of {len(vector)} numbers and length {length:g}: expected {WIDTH} "
                f"finite numbers. Its file is damaged or another one: {origin('arcface')}."
            )
        return vector.astype(np.float32)


def load_likeness(path: str | os.PathLike | None = None, folders: Iterable[str | os.PathLike] = ()) -> Likeness:
    """ArcFace from the user's glintr100.onnx or w600k_r50.onnx; a file that has not changed is read once.

    path: the file; without it, it is looked for in `folders` (ComfyUI's "models" folders) or the usual places.
    Raises FileNotFoundError when there is no file, ValueError for another or a damaged one, RuntimeError when a
    package is missing.
    """
    found = find_model_file("arcface", folders) if path is None else Path(path)
    if found is None or not found.is_file():
        told = "" if path is None else f"There is no file {path}. "
        raise FileNotFoundError(f"{told}{missing_file('arcface')}")
    _check_packages()
    found = found.resolve()
    return _load(found, found.stat().st_mtime_ns)


def load_glintr(path: str | os.PathLike | None = None, folders: Iterable[str | os.PathLike] = ()) -> Likeness:
    """ArcFace from the user's glintr100.onnx and no other: ConsisID was trained on its vectors.

    As `load_likeness`; ValueError for w600k_r50.onnx under whatever name, whose vectors mean something else.
    """
    found = find_model_file("arcface", folders) if path is None else Path(path)
    if found is None or not found.is_file():
        told = "" if path is None else f"There is no file {path}. "
        raise FileNotFoundError(f"{told}{missing_file('arcface')}")
    if problems := other_arcface(found):
        raise ValueError(f"{found}: {problems[0]}. Please {origin('arcface')}.")
    return load_likeness(found)


def other_arcface(path: Path) -> list[str]:
    """Why the ArcFace file at `path` is none for ConsisID, in a sentence; empty when nothing is seen. Reads nothing."""
    known = next((file for file in model_file("arcface").official if file.size == path.stat().st_size), None)
    name = path.name if known is None else known.name
    if name.lower() == GLINTR:
        return []
    return [
        f"it is {name}: expected {GLINTR}. Both give vectors of {WIDTH} numbers, but in different spaces, and ConsisID "
        "was trained on the latter's"
    ]


def has_likeness(folders: Iterable[str | os.PathLike] = ()) -> bool:
    """Whether an ArcFace file is found (as `load_likeness` looks for it) and its packages are installed."""
    return not _missing_packages() and find_model_file("arcface", folders) is not None


def arcface_crop(image: np.ndarray, points: ArrayLike) -> np.ndarray:
    """The face as ArcFace sees it, np.uint8 [112,112,3] RGB; black outside the picture.

    The similarity that fits the five points to `ARCFACE_TEMPLATE` by least squares. As a complex number, with
    z the points and w the template, both less their means, its turn and scale are sum(conj(z) w) / sum(|z|^2).
    """
    check_image(image)
    check_sides(image)
    source, target = (_complex(each) for each in (check_points(points).astype(np.float64), ARCFACE_TEMPLATE))
    z, w = source - source.mean(), target - target.mean()
    turn = np.vdot(z, w) / np.vdot(z, z).real
    if abs(turn) < 1e-6:
        raise ValueError(f"The five points {np.asarray(points).tolist()} do not fit a face. Expected: {ORDER}.")
    shift = target.mean() - turn * source.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return opencv().warpAffine(np.ascontiguousarray(image), matrix, (SIDE, SIDE), borderValue=0)


def _complex(points: np.ndarray) -> np.ndarray:
    return points[:, 0] + 1j * points[:, 1]


def _missing_packages() -> list[str]:
    missing = []
    for name in PACKAGES:
        try:
            if find_spec(name) is None:
                missing.append(name)
        except ValueError:  # a module that was blocked or replaced by hand has no spec
            missing.append(name)
    return missing


def _check_packages() -> None:
    missing = _missing_packages()
    if missing:
        raise MissingPackage(lacks("Comparing faces", missing))


@lru_cache(maxsize=2)
def _load(path: Path, changed: int) -> Likeness:
    """`changed`, the file's time stamp, makes the cache forget a file that was replaced."""
    try:
        runtime = import_module("onnxruntime")
        arcface = import_module("insightface.model_zoo.arcface_onnx")
    except (ImportError, OSError, ValueError, AttributeError) as error:  # compiled parts fail in all these ways
        raise RuntimeError(
            f"insightface is installed but cannot be imported ({error}). Run: "
            f"{pip_command(['insightface', 'onnxruntime'], REINSTALL)}"
        ) from error
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise ValueError(
            f"{path} cannot be read as an ONNX model ({_first_line(error)}): it is damaged or the download was "
            f"incomplete. Delete it and {origin('arcface')}."
        ) from error
    _check_interface(session, path)
    return Likeness(arcface.ArcFaceONNX(model_file=str(path), session=session))


def _check_interface(session, path: Path) -> None:
    inputs, outputs = ([list(each.shape) for each in some] for some in (session.get_inputs(), session.get_outputs()))
    if [shape[1:] for shape in inputs] == [[3, SIDE, SIDE]] and [shape[-1:] for shape in outputs] == [[WIDTH]]:
        return
    raise ValueError(
        f"{path} is an ONNX model of another kind: expected one input [1, 3, {SIDE}, {SIDE}] and one output "
        f"[1, {WIDTH}] as ArcFace has them, got inputs {inputs} and outputs {outputs}. Is it a detector? For ArcFace, "
        f"{origin('arcface')}."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__

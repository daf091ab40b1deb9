"""The 3D face of a clip's person: the user's own file, else DECA and FLAME, else a fit to landmarks, else none."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from ...face.align import FaceCrop
from .finding import Video
from .settings import PrepareSettings
from .tools import Tools


def read_sidecar(video: Video, settings: PrepareSettings) -> tuple[np.ndarray | None, str]:
    """The vertices float32 [V,3] of the file beside a video, and what is wrong with it ("" when nothing is)."""
    if video.shape is None or settings.shape == "none":
        return None, ""
    from ...shape.files.pointcloud import load_shape

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of units that were converted
            return load_shape(video.shape, settings.vertices).numpy(), ""
    except (ValueError, OSError) as error:
        return None, f"the 3D face {video.shape.name} is not used: {error}"


def make_shape(face: FaceCrop, tools: Tools) -> tuple[np.ndarray | None, str]:
    """The vertices of a face by DECA or landmarks, and why there are none ("" also when neither is asked for)."""
    if tools.reconstruct is None:
        return None, ""
    vertices, reason = tools.reconstruct(face)
    return vertices, f"no 3D face: {reason}" if reason else ""


def write_shape(vertices: np.ndarray, path: str | os.PathLike) -> Path:
    from ...shape.files.pointcloud import save_shape

    save_shape(vertices, path)
    return Path(path)

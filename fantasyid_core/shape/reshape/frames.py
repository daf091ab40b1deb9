"""The frames that come in: checked, counted, and as bytes for the networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ...files.pixels import as_uint8


class Frame(NamedTuple):
    """number: from 0 on. picture: [H,W,3] as it came. bytes: np.uint8, the same."""

    number: int
    picture: np.ndarray
    bytes: np.ndarray


def checked_frames(frames: np.ndarray | Iterable[np.ndarray]) -> Iterator[Frame]:
    """Raises ValueError for what is not frames, with the number of the first wrong frame: another shape or type, NaN
    and infinite values, and floats that are not in 0..1."""
    shape = getattr(frames, "shape", None)
    if isinstance(frames, (str, bytes, dict)) or not isinstance(frames, Iterable) or (shape and len(shape) != 4):
        found = type(frames).__name__ if shape is None else f"shape {list(shape)}"
        raise ValueError(f"Expected the frames of a video [T,H,W,3], or an iterable of frames [H,W,3], got {found}.")
    for number, frame in enumerate(frames):
        yield _checked(number, frame)


def _checked(number: int, frame) -> Frame:
    picture = frame.detach().cpu().numpy() if hasattr(frame, "detach") else frame
    shape = list(getattr(picture, "shape", ()))
    if not isinstance(picture, np.ndarray) or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        found = f"{picture.dtype} {shape}" if shape else type(frame).__name__
        raise ValueError(
            f"Frame {number}: expected a picture [H,W,3] RGB, got {found}. Connect a video's frames without alpha."
        )
    same = picture.dtype == np.uint8
    return Frame(number, picture, picture if same else as_uint8(picture, f"Frame {number}"))


def kept_in_memory(frames) -> bool:
    """Whether all frames are there at once, so that looking ahead costs no memory."""
    return isinstance(frames, (np.ndarray, list, tuple)) or hasattr(frames, "detach")

"""The frames of a video at the model's rate, one after the other: a long video does not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...face.picture import MIN_SIDE
from ...videofile import FULL_RANGE

SLACK = 0.95  # a video of 7.6 frames per second and more may be read at 8
HOLE = 1.5  # frames of the model that may be missing before it is a cut
WHOLE = 0.9  # share of its declared length that a video must have


class Unreadable(ValueError):
    """A video of which no clip can be made, and why."""


class Frame(NamedTuple):
    """number: from 0 on, at the model's rate. time: seconds from the video's first frame. picture: np.uint8 [H,W,3].
    fresh: what came directly before is not there (the first frame, and after a hole)."""

    number: int
    time: float
    picture: np.ndarray
    fresh: bool


def read_frames(path: Path, fps: float, max_side: int) -> Iterator[Frame]:
    """The frame that is shown at 0, 1/fps, 2/fps ... seconds, upright, with square pixels, at most max_side pixels
    along its longer side.

    Raises Unreadable for a file that is empty, damaged, cut off, no video, or has fewer frames per second.
    """
    import av

    try:
        if path.stat().st_size == 0:
            raise Unreadable("the file is empty (0 bytes)")
        # FFmpeg reads the part before a colon in a relative name as a protocol.
        with av.open(str(path.absolute())) as container:
            yield from _sampled(container, fps, max_side)
    except (av.FFmpegError, OSError, EOFError, IndexError) as error:
        raise Unreadable(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _sampled(container, fps: float, max_side: int) -> Iterator[Frame]:
    if not container.streams.video:
        raise Unreadable("there is no picture in it")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or fps)
    if rate < SLACK * fps:
        raise Unreadable(f"it has {rate:.3g} frames per second, fewer than the {fps:g} of a clip")
    aspect, number, due, time, start, fresh = stream.sample_aspect_ratio, 0, 0.0, 0.0, None, True
    for count, frame in enumerate(container.decode(stream)):
        shown = frame.time if frame.time is not None else count / rate
        start = shown if start is None else start
        time = shown - start
        if time > due + (HOLE + 1) / fps:
            due, fresh = time, True
        picture = None
        while due <= time + 0.5 / max(rate, fps):
            picture = _picture(frame, aspect, max_side) if picture is None else picture
            yield Frame(number, time, picture, fresh)
            number, due, fresh = number + 1, due + 1 / fps, False
    _check_whole(stream, time + 1 / rate, start)


def _check_whole(stream, seconds: float, start: float | None) -> None:
    if start is None:
        raise Unreadable("there are no frames in it")
    declared = float(stream.duration * stream.time_base) if stream.duration else 0.0
    if seconds < WHOLE * declared:
        raise Unreadable(f"it is cut off after {seconds:.3g} of {declared:.3g} seconds")


def _picture(frame, aspect: Fraction | None, max_side: int) -> np.ndarray:
    width = round(frame.width * (aspect or 1))
    scale = min(1.0, max_side / max(width, frame.height))
    if scale * min(width, frame.height) < MIN_SIDE:
        raise Unreadable(f"it has {width} x {frame.height} pixels, too few for a face")
    # PyAV 14 decodes BT.709 as BT.601 unless all three are given.
    picture = frame.reformat(
        width=round(width * scale),
        height=round(frame.height * scale),
        format="rgb24",
        src_colorspace=frame.colorspace,
        src_color_range=frame.color_range,
        dst_color_range=FULL_RANGE,
        interpolation="AREA",
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))

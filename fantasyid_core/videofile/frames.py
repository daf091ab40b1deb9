"""Frames to an .mp4 file and back, through PyAV."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.pixels import as_uint8
from ..files.writing import write_aside
from ..running.packages import REINSTALL, pip_command

if TYPE_CHECKING:
    import av
    import torch

FPS = 8  # what CogVideoX was trained with
CRF = 17  # indistinguishable from the frames for the eye
MAX_SIDE = 16384  # of H.264
BT709 = 1  # the number of this colour standard in H.264 and in FFmpeg
LIMITED_RANGE, FULL_RANGE = 1, 2
MP4 = {"format": "mp4", "options": {"movflags": "+faststart"}}
# Without x264's macroblock tree, equal frames give equal files; with it, one of 100 files differed.
_REPEATABLE = {"x264-params": "mbtree=0"}


def save_video(
    frames: torch.Tensor | np.ndarray,  # [T,H,W,3]
    path: str | os.PathLike,
    fps: float = FPS,
    crf: int = CRF,
    progress: Callable[[int, int], None] | None = None,
    comment: str = "",
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Writes frames ([T,H,W,3] RGB, floats in 0..1 or uint8) as an H.264 .mp4 that browsers play (yuv420p).

    4:2:0 needs even sides: an odd one gets its last row or column once more. Colours are stored and marked as
    BT.709, so that every player shows the same. `crf` is x264's quality, 0 (lossless luma) to 51 (worst).
    `progress(done, total)` is called after every frame; what it raises stops the writing.
    comment: text in the file's metadata, which `read_comment` returns. finish(file) is called with the whole file
    before it takes its place, to mark or sign it.
    The file appears at `path` only when it is complete; until then an older one stays as it was.

    Raises ValueError for another shape, range, type, fps, crf or suffix and for NaN; RuntimeError without an
    H.264 encoder; OSError when the file cannot be written.
    """
    _check_video(frames, path, fps, crf)
    total = len(frames)
    with write_aside(path) as aside:
        with _h264(aside, frames.shape[1:3], fps, crf, comment) as encode:
            for done, frame in enumerate(frames, start=1):
                encode(as_uint8(frame, f"Frame {done} of {total}"))
                if progress is not None:
                    progress(done, total)
        if finish is not None:
            finish(aside)


def read_comment(path: str | os.PathLike) -> str:
    """The comment in a video's metadata, "" without one. Raises as `read_video`."""
    with opened(Path(path)) as container:
        return container.metadata.get("comment", "")


def read_video(path: str | os.PathLike) -> np.ndarray:
    """All frames of a video file as np.uint8 [T,H,W,3] RGB (all in memory: 1 MB per frame of 480 x 720).

    Raises FileNotFoundError for a missing file and ValueError for one that is damaged, cut off or no video.
    """
    with opened(Path(path)) as container:
        if not container.streams.video:
            raise ValueError("there is no picture in it")
        frames = [rgb_of(frame) for frame in container.decode(video=0)]
        if not frames:
            raise ValueError("there are no frames in it")
    return np.stack(frames)


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """The open video; what goes wrong with it in the body is told as `read_video` promises."""
    with reading(path.name, ValueError), open_video(path) as container:
        yield container


def open_video(path: Path) -> av.container.InputContainer:
    """Raises as `read_video`."""
    import av

    if not path.exists():
        raise FileNotFoundError(f"There is no video at {path}. Check the path and the spelling of the name.")
    with reading(path.name):
        return av.open(ffmpeg_name(path))


@contextmanager
def reading(name: str, *others: type[Exception]) -> Iterator[None]:
    """What FFmpeg raises in the body, and `others`, becomes a sentence."""
    import av

    try:
        yield
    except (av.FFmpegError, IndexError, *others) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(
            f"{name} cannot be read as a video ({getattr(error, 'strerror', None) or error}): "
            "expected a complete file such as .mp4. Play it in a video player to see whether it is "
            "damaged, or write it again."
        ) from error


class Unreadable(ValueError):
    """A file of which no video can be read; the text is a sentence for the user."""


def rgb_of(frame: av.VideoFrame) -> np.ndarray:
    # PyAV 14 decodes BT.709 as BT.601 unless all three are given.
    return frame.reformat(
        format="rgb24",
        src_colorspace=frame.colorspace,
        src_color_range=frame.color_range,
        dst_color_range=FULL_RANGE,
    ).to_ndarray()


@contextmanager
def _h264(
    path: Path, size: tuple[int, int], fps: float, crf: int, comment: str
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields encode(frame), frame np.uint8 [H,W,3] of `size` (H, W); the file is finished on leaving."""
    import av

    with encoding(size), av.open(ffmpeg_name(path), "w", **MP4) as container:
        if comment:
            container.metadata["comment"] = comment
        stream = h264_stream(container, size, Fraction(fps).limit_denominator(1001), crf)

        def encode(frame: np.ndarray) -> None:
            container.mux(stream.encode(picture_of(frame)))

        yield encode
        container.mux(stream.encode())  # what the encoder still holds back


def h264_stream(
    container: av.container.OutputContainer, size: tuple[int, int], rate: Fraction, crf: int
) -> av.video.stream.VideoStream:
    """A stream for frames of `size` (H, W), whose odd sides get one more row or column. RuntimeError without H.264."""
    stream = container.add_stream(_encoder(), rate=rate, options={"crf": str(crf), **_REPEATABLE})
    stream.height, stream.width = (side + side % 2 for side in size)
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.colorspace = codec.color_primaries = codec.color_trc = BT709
    codec.color_range = LIMITED_RANGE
    return stream


def picture_of(frame: np.ndarray) -> av.VideoFrame:
    """A frame np.uint8 [H,W,3] RGB as `h264_stream` takes it."""
    import av

    height, width = frame.shape[:2]
    frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)


@contextmanager
def encoding(size: tuple[int, int]) -> Iterator[None]:
    """What the encoder of frames of `size` (H, W) raises in the body is told in a sentence."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # a full disk and the like: `write_aside` explains these
            raise
        raise RuntimeError(
            f"Encoding {size[1]} x {size[0]} pixels as H.264 failed ({error}). "
            f"Update PyAV ({pip_command(['av'], '--upgrade')}) and try again."
        ) from error


def ffmpeg_name(path: Path) -> str:
    # FFmpeg reads the part before a colon in a relative name as a protocol.
    return str(path.absolute())


def _encoder() -> str:
    import av

    try:
        return av.Codec("libx264", "w").name
    except ValueError as error:
        raise RuntimeError(
            "This build of PyAV has no H.264 encoder (libx264). Install the official one: "
            f"{pip_command(['av'], REINSTALL)}"
        ) from error


def _check_video(frames, path: str | os.PathLike, fps: float, crf: int) -> None:
    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"Expected the name of an .mp4 file, got {Path(path).name!r}. Change its ending to .mp4.")
    shape = list(getattr(frames, "shape", ()))
    if len(shape) != 4 or shape[-1] != 3 or 0 in shape or max(shape[1:3]) > MAX_SIDE:
        raise ValueError(
            f"Expected frames [T,H,W,3] with T > 0 and sides of 1 to {MAX_SIDE} pixels, got {shape}. "
            "Connect the decoded video."
        )
    if not (math.isfinite(fps) and 0.1 <= fps <= 1000):
        raise ValueError(f"Expected a frame rate of 0.1 to 1000, got {fps}. CogVideoX was trained at {FPS}.")
    if not 0 <= crf <= 51:
        raise ValueError(f"Expected a crf of 0 (best) to 51 (worst), got {crf}. {CRF} shows no loss to the eye.")

"""A video rewritten frame by frame: its times, its sound and its frame rate stay, and its length does not matter."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.writing import write_aside
from .frames import CRF, FPS, MP4, encoding, ffmpeg_name, h264_stream, open_video, picture_of, reading, rgb_of
from .sound import Sound

if TYPE_CHECKING:
    import av

Change = Callable[[Iterator[np.ndarray], int], Iterable[np.ndarray]]
"""(frames np.uint8 [H,W,3], upright; their number) -> as many frames of the same size, which may come later."""

HDR = 16, 18  # the transfer functions PQ and HLG
PICTURES = "image2", "_pipe"  # the end of what FFmpeg calls formats of pictures
FAULT = "{name} cannot be changed: {why}. Expected a video such as .mp4, .mov, .mkv or .webm."


def rewrite_video(
    source: str | os.PathLike,
    target: str | os.PathLike,
    change: Change,
    crf: int = CRF,
    progress: Callable[[int, int], None] | None = None,
    finish: Callable[[Path], None] | None = None,
) -> list[str]:
    """Writes `source` anew with its frames changed, as an H.264 .mp4; returns what is worth knowing, as sentences.

    Every frame keeps its time, also where the rate varies; all sound is copied, or encoded as AAC where an .mp4 cannot
    hold it; title and comment stay. Only the frames that `change` has taken and not yet given back are in memory.
    progress(done, total) is called after every frame. finish(file): as in `save_video`. `target` appears when it is
    complete, and may be `source`.

    Raises FileNotFoundError for a missing file; ValueError for one that is damaged, no video, or a picture, and for
    frames of different sizes; RuntimeError without an H.264 encoder; OSError when the file cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() != ".mp4":
        raise ValueError(f"Expected the name of an .mp4 file, got {target.name!r}. Change its ending to .mp4.")
    count = count_frames(source)
    with write_aside(target) as aside:
        with open_video(source) as pictures, open_video(source) as sounds:
            notes = _Clip(source.name, pictures).written(aside, sounds, change, count, crf, progress)
        if finish is not None:
            finish(aside)
    return notes


def count_frames(path: str | os.PathLike) -> int:
    """The number of frames, from the table of an .mp4, else counted without decoding. Raises as `rewrite_video`."""
    path = Path(path)
    with open_video(path) as container, reading(path.name):
        stream = _stream(path.name, container)
        told = stream.frames if "mp4" in container.format.name else 0  # other formats may tell a wrong number
        count = told or sum(packet.size > 0 for packet in container.demux(stream))
    if not count:
        raise ValueError(FAULT.format(name=path.name, why="there are no frames in it"))
    return count


class _Clip:
    """The pictures of an open video, and their times."""

    def __init__(self, name: str, container: av.container.InputContainer):
        self._name, self._container, self._stream = name, container, _stream(name, container)
        self._stream.thread_type = "AUTO"
        self._times: deque[int] = deque()

    def written(self, path: Path, sounds, change: Change, count: int, crf: int, progress) -> list[str]:
        import av

        frames = self._frames()
        first = next(frames, None)
        if first is None:
            raise ValueError(FAULT.format(name=self._name, why="there are no frames in it"))
        made = iter(change(_again(first, frames), count))
        with encoding(first.shape[:2]), av.open(ffmpeg_name(path), "w", **MP4) as out:
            out.metadata.update(self._container.metadata)
            stream = self._added(out, first.shape[:2], crf)
            sound = Sound(sounds, out, self._name)
            for done, frame in enumerate(made, start=1):
                picture = picture_of(frame)
                picture.pts, picture.time_base = self._times.popleft(), self._stream.time_base
                sound.until(float(picture.pts * picture.time_base))
                out.mux(stream.encode(picture))
                if progress is not None:
                    progress(done, max(count, done))
            out.mux(stream.encode())
            sound.until(math.inf)
        return self._notes(sound)

    def _frames(self) -> Iterator[np.ndarray]:
        last, size, decoded = None, None, self._container.decode(self._stream)
        step = max(1, round(1 / (self._rate() * self._stream.time_base)))
        while True:
            with reading(self._name):
                frame = next(decoded, None)
            if frame is None:
                return
            # Some files repeat a time, or leave one out.
            time = frame.pts if frame.pts is not None else (0 if last is None else last + step)
            last = time if last is None else max(time, last + 1)
            picture = np.ascontiguousarray(np.rot90(rgb_of(frame), round(frame.rotation / 90)))
            size = size or picture.shape[:2]
            if picture.shape[:2] != size:
                sizes = " to ".join(f"{width} x {height}" for height, width in (size, picture.shape[:2]))
                raise ValueError(FAULT.format(name=self._name, why=f"its frames change from {sizes} pixels"))
            self._times.append(last)
            yield picture

    def _added(self, out: av.container.OutputContainer, size: tuple[int, int], crf: int):
        stream = h264_stream(out, size, self._rate(), crf)
        stream.time_base = stream.codec_context.time_base = self._stream.time_base
        aspect = self._stream.sample_aspect_ratio
        if aspect and aspect != 1 and size == (self._stream.height, self._stream.width):
            stream.codec_context.sample_aspect_ratio = aspect
        return stream

    def _rate(self) -> Fraction:
        return self._stream.average_rate or self._stream.guessed_rate or Fraction(FPS)

    def _notes(self, sound: Sound) -> list[str]:
        notes = []
        if sound.as_aac:
            notes.append("The sound was encoded as AAC, because an .mp4 cannot hold it as it is.")
        if self._container.streams.subtitles:
            notes.append("The subtitles were left out.")
        if self._stream.codec_context.color_trc in HDR:
            notes.append("The video is HDR; it was written with 8 bits and will look flatter.")
        return notes


def _stream(name: str, container: av.container.InputContainer) -> av.video.stream.VideoStream:
    from av.stream import Disposition

    if container.format.name.endswith(PICTURES):
        raise ValueError(FAULT.format(name=name, why="it is a picture"))
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not moving:
        raise ValueError(FAULT.format(name=name, why="there is no picture in it"))
    return moving[0]


def _again(first: np.ndarray, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from frames

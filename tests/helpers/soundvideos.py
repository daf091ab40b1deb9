"""Small videos with sound and uneven times, and what a written video holds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 24000  # of the sound
UNEVEN = (0, 40, 90, 100, 300, 310, 333, 400)  # milliseconds


def tone(seconds: float) -> np.ndarray:
    """int16 [1,N], a tone of 440 Hz."""
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)[None]


def write(path: Path, frames, times=UNEVEN, sound: str | None = None, title: str = "", codec: str = "libx264") -> Path:
    """Frames np.uint8 [H,W,3] shown at `times` in milliseconds, with a second of a tone in the codec `sound`."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        heard = container.add_stream(sound, rate=RATE, layout="mono") if sound else None
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if heard:
            samples = av.AudioFrame.from_ndarray(tone(1.0), format="s16", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = RATE, 0, Fraction(1, RATE)
            resampler = av.AudioResampler(heard.codec_context.format.name, "mono", RATE, heard.frame_size or None)
            for part in (*resampler.resample(samples), *resampler.resample(None)):
                container.mux(heard.encode(part))
            container.mux(heard.encode())
    return path


def times_of(path: Path) -> list[float]:
    """Seconds of every frame."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def sound_of(path: Path) -> tuple[str, np.ndarray]:
    """The codec, and the samples of the first channel as floats."""
    with av.open(str(path)) as container:
        codec = container.streams.audio[0].codec_context.codec.canonical_name
        resampler = av.AudioResampler("fltp", "mono", RATE)
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return codec, np.concatenate([part.to_ndarray()[0] for part in parts])

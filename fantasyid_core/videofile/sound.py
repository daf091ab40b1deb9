"""The sound of a video, carried over into an .mp4: as it is, or as AAC where an .mp4 cannot hold it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .frames import reading

if TYPE_CHECKING:
    import av

COPIED = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")
"""Codecs that every common player finds in an .mp4."""


class Sound:
    """All sound of a video, for `target`. source: the video's container, which nobody else reads. as_aac: how many
    tracks are encoded anew.

    `until` is called as the pictures advance, so that sound and picture lie near each other in the file.
    """

    def __init__(self, source: av.container.InputContainer, target: av.container.OutputContainer, name: str):
        self._name, self._target, self.as_aac = name, target, 0
        self._streams = {stream.index: self._added(stream) for stream in source.streams.audio}
        self._packets = source.demux(*source.streams.audio) if self._streams else iter(())
        self._next = self._following()

    def until(self, seconds: float) -> None:
        """Writes the sound up to this time; math.inf for the rest."""
        while self._next is not None and _time(self._next) <= seconds:
            for packet in self._written(self._next):
                self._target.mux(packet)
            self._next = self._following()

    def _following(self) -> av.Packet | None:
        with reading(self._name):
            return next(self._packets, None)

    def _added(self, stream: av.audio.stream.AudioStream):
        if _copied(stream):
            return self._target.add_stream_from_template(stream)
        self.as_aac += 1
        return self._target.add_stream("aac", rate=stream.codec_context.sample_rate)

    def _written(self, packet: av.Packet) -> Iterator[av.Packet]:
        out, last = self._streams[packet.stream.index], packet.dts is None
        if _copied(packet.stream):
            if not last:
                packet.stream = out
                yield packet
            return
        with reading(self._name):
            frames = packet.decode()
        for frame in frames:
            yield from out.encode(frame)
        if last:
            yield from out.encode(None)


def _copied(stream: av.audio.stream.AudioStream) -> bool:
    return stream.codec_context.codec.canonical_name in COPIED


def _time(packet: av.Packet) -> float:
    """Seconds; the last, empty packet of a stream is due at once."""
    return -math.inf if packet.dts is None else float(packet.dts * packet.time_base)

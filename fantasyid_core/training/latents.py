"""Latents of clips, encoded once and kept on disk, so that training steps need no codec."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..files.pixels import to_video
from .clipcache import ClipCache, Progress

if TYPE_CHECKING:
    from .batches import ClipSource
    from .models import VideoCodec

_TOGETHER = 16  # clips per call of the codec, where they are small
_PIXELS_TOGETHER = 2**24


class LatentRows:
    """The latents of all clips of a source, float16 [N,T,C,h,w] on disk: the means of the codec's posterior."""

    def __init__(self, source: ClipSource, codec: VideoCodec, folder: str | Path):
        name = hashlib.sha256(f"{source.fingerprint} {codec.fingerprint}".encode()).hexdigest()[:16]
        self._source, self._codec = source, codec
        # The parts are small, so that an interrupt loses little work.
        self._cache = ClipCache(Path(folder) / f"latents-{name}", len(source), chunk=64)

    def build(self, device: torch.device, progress: Progress | None = None) -> None:
        """Encodes what is missing. Raises RuntimeError for latents that are not finite, with the clip's number."""
        self._codec.to(device)
        self._cache.build(lambda part: {"latents": self._encode(part, device)}, progress)

    def rows(self, indices: Sequence[int]) -> np.ndarray:
        return self._cache.rows("latents", indices)

    def _encode(self, part: range, device: torch.device) -> np.ndarray:
        done = []
        rest = list(part)
        while rest:
            first = self._source.pictures(rest[0])
            count = max(1, min(_TOGETHER, _PIXELS_TOGETHER // first.size))
            clips = [first, *(self._source.pictures(i) for i in rest[1:count])]
            latents = self._codec.encode(to_video(np.stack(clips)).to(device)).to("cpu", torch.float16)
            if not latents.isfinite().all():
                raise RuntimeError(
                    f"Encoding the clips {rest[0]} to {rest[len(clips) - 1]} made NaN or infinite latents. Half "
                    "precision is the usual cause: set precision to fp32 or data.latents to each step."
                )
            done.append(latents.numpy())
            rest = rest[len(clips) :]
        return np.concatenate(done)

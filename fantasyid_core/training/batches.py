"""Batches of clips: the interface of a source of clips, the order of the clips, and the share of each process.

The order is a permutation of all clips per epoch, which depends on the seed and the epoch alone. Therefore a checkpoint
only has to keep a position in it. Each process takes its own share of every micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_AHEAD = 2  # micro-batches that are read while the device computes


@dataclass(frozen=True, eq=False)
class Batch:
    """B clips as a source gives them; pictures RGB. Either `pictures` or `latents` is there."""

    names: list[str]
    texts: list[str]
    vertices: np.ndarray  # [B,V,3] float32, metres
    references: np.ndarray  # [B,S,S,3] uint8: the face crop that says who it is
    first: np.ndarray  # [B,H,W,3] uint8: the clip's first picture
    pictures: np.ndarray | None = None  # [B,F,H,W,3] uint8
    latents: np.ndarray | None = None  # [B,T,C,h,w] float16 or float32

    def __len__(self) -> int:
        return len(self.names)


class ClipSource(Protocol):
    """Clips by number. The same index and random numbers give the same clip, in every process.

    A source whose clips come in groups has an attribute `together`, how many that are (see `order`). One that grows
    while it is used has a method `chosen(micro_batch, size, seed)`, which gives the clips instead of `order`.
    """

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        """The clips `indices`; `rng` chooses among the views of each."""

    def vertices(self, indices: Sequence[int]) -> np.ndarray:
        """The shapes alone of these clips, as in a batch."""

    def pictures(self, index: int) -> np.ndarray:
        """All pictures of a clip, uint8 [F,H,W,3]; what `encode_clips` encodes."""

    @property
    def fingerprint(self) -> str:
        """Changes with what the clips show, for the caches."""


def order(position: int, count: int, clips: int, seed: int, together: int = 1) -> list[int]:
    """The clips at places `position` to `position + count - 1` of the endless shuffled order.

    together: so many clips that follow each other stay beside each other.
    """
    indices = []
    for place in range(position, position + count):
        group, member = divmod(place, together)
        epoch, row = divmod(group, clips // together)
        indices.append(int(_permutation(epoch, clips // together, seed)[row]) * together + member)
    return indices


_permutations: dict[tuple[int, int, int], np.ndarray] = {}


def _permutation(epoch: int, clips: int, seed: int) -> np.ndarray:
    key = epoch, clips, seed
    if key not in _permutations:
        if len(_permutations) > 4:
            _permutations.clear()
        _permutations[key] = generator(seed, "order", epoch).permutation(clips)
    return _permutations[key]


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A random generator for each purpose and position, independent of what was drawn before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *numbers, *purpose.encode()])))


def batches(
    source: ClipSource, seed: int, size: int, position: int, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[int, Batch]]:
    """Endless (micro-batch number, this process' batch of `size` clips) from micro-batch `position` on.

    share: number of this process, count of processes. Batches are read ahead in one thread, in order.
    """
    rank, processes = share

    def read(number: int) -> Batch:
        place = number * processes + rank
        if hasattr(source, "chosen"):
            indices = source.chosen(place, size, seed)
        else:
            indices = order(place * size, size, len(source), seed, getattr(source, "together", 1))
        return source.batch(indices, generator(seed, "views", number, rank))

    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future] = [pool.submit(read, position + i) for i in range(_AHEAD)]
        try:
            while True:
                yield position, waiting.pop(0).result()
                waiting.append(pool.submit(read, position + _AHEAD))
                position += 1
        finally:
            for future in waiting:
                future.cancel()

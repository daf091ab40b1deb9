"""Places a network on the device while it computes, and explains what to do when the memory does not suffice."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..host.diffusers import others as diffusers_models
from ..options import OFFLOADS

_, _MODEL, _SEQUENTIAL = OFFLOADS


class OutOfMemory(RuntimeError):
    """The GPU's memory did not suffice; the text names plans that need less."""


ROW_ERRORS = ValueError, OSError, RuntimeError
"""What one video's inputs may raise; the sentence says what to do."""


def is_of_the_machine(error: Exception) -> bool:
    """Whether an error would stop every video, because the memory or the disk is full."""
    causes = (error, error.__cause__)
    full = any(isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT) for each in causes)
    return full or isinstance(error, (torch.OutOfMemoryError, OutOfMemory))


@contextmanager
def on_device(network, device: torch.device, offload: str, streams: bool = True) -> Iterator[None]:
    """`network` on `device` while the body runs. streams: whether blocks may be fetched before their turn, which needs
    that every block has one."""
    if offload == _SEQUENTIAL:
        diffusers_models.stream_blocks(network, device, streams)
        yield
        return
    network.to(device)
    try:
        yield
    finally:
        if offload == _MODEL:
            network.to("cpu")


@contextmanager
def explained(advice: Callable[[], str]) -> Iterator[None]:
    """Raises `OutOfMemory`, which says what would fit, when the GPU's memory does not suffice in the body."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(advice()) from error

"""The threads that work on a video."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def pool_of(workers: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads. What has not begun when the block is left is dropped."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_eye() -> Iterator[ThreadPoolExecutor]:
    """One thread in which torch uses one core: the networks are small, and the other cores change frames meanwhile."""
    threads = torch.get_num_threads()
    with pool_of(1) as eye:
        eye.submit(torch.set_num_threads, 1).result()
        try:
            yield eye
        finally:
            eye.submit(torch.set_num_threads, threads).result()

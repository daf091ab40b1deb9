"""Progress and cancelling of long work, for a listener such as a host with a progress bar and a cancel button.

Work that takes longer than a second calls `ask`, or iterates over its parts with `counted`. A listener is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class _Listener(NamedTuple):
    ask: Callable[[], None]
    report: Callable[[int, int], None]


_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard(ask: Callable[[], None], report: Callable[[int, int], None]) -> Iterator[None]:
    """While it lasts, `ask()` is called about once a second or oftener, and may raise to end the work; report(done,
    total) tells how many parts are done."""
    token = _listener.set(_Listener(ask, report))
    try:
        yield
    finally:
        _listener.reset(token)


def ask() -> None:
    """Ends the work, with whatever the listener raises, when somebody has asked for it."""
    listener = _listener.get()
    if listener is not None:
        listener.ask()


def counted(parts: Iterable[T], total: int | None = None) -> Iterator[T]:
    """The parts, one after the other; the listener is asked before each, and told after it. total: their number,
    that of a sized collection unless given."""
    listener = _listener.get()
    if listener is None:
        yield from parts
        return
    total = len(parts) if total is None and isinstance(parts, Sized) else total
    for done, part in enumerate(parts):
        listener.ask()
        yield part
        if total is not None:
            listener.report(done + 1, total)

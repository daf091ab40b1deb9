"""Progress and cancelling of long work, for a listener such as a host with a progress bar and a cancel button.

Work that takes longer than a second calls `ask`, or iterates over its parts with `counted`; what has no parts goes
through `patiently`. A listener is optional.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class _Listener(NamedTuple):
    ask: Callable[[], None]
    report: Callable[[int, int], None]


_PATIENCE = 0.2  # seconds between two questions

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


def patiently(work: Callable[[], T]) -> T:
    """What `work()` gives or raises, for work that nobody can end, such as compiling: it runs in a thread of its own
    while the listener is asked. When the listener ends it, the thread finishes unheeded, and the next call finds what
    it compiled. Without a listener it simply runs."""
    if _listener.get() is None:
        return work()
    outcome: list[tuple[bool, T | BaseException]] = []

    def run() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as error:  # whatever it is, it belongs to the one who waits
            outcome.append((False, error))

    thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    while thread.is_alive():
        ask()
        thread.join(_PATIENCE)
    ((worked, found),) = outcome
    if worked:
        return found
    raise found

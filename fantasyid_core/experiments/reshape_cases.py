"""Drawn videos that are hard to reshape: something before the face, a profile, a cut, a lost face, two people."""

from __future__ import annotations

import numpy as np

from ..people import columns as col
from ..people.backdrop import Backdrop
from ..people.instruments.reshaping import Lines, lively_rows
from ..people.person import HELD_OUT_FROM, sample_person
from ..people.render import render_frames

ONE, OTHER = HELD_OUT_FROM + 3, HELD_OUT_FROM + 7
COUNT = 36
CASES = "bar", "profile", "cut", "lost", "two"
BAR = (96, 62, 44)  # its colour
GREY = Backdrop("grey")


def draw_case(name: str, size: int = 256, count: int = COUNT) -> np.ndarray:
    """One of `CASES`: uint8 [count,size,size,3], of two people [count,size,2*size,3].

    bar: it goes through the face. profile: the head turns to the side and back. cut: another person, elsewhere, from
    the middle on. lost: nobody is there in the middle third. two: side by side. Raises ValueError for another name,
    RuntimeError without numba.
    """
    made = {"bar": _bar, "profile": _profile, "cut": _cut, "lost": _lost, "two": _two}
    if name not in made:
        raise ValueError(f"Expected a case out of {', '.join(CASES)}, got {name!r}.")
    return made[name](size, count)


def bar_of(size: int, count: int) -> np.ndarray:
    """Where the bar is: bool [count,size,size]. It leans, and goes from the left to the right."""
    row, column = np.indices((size, size)) / size
    middle = np.linspace(-0.1, 1.1, count)[:, None, None]
    return np.abs(column + 0.25 * (row - 0.5) - middle) < 0.05


def _drawn(seed: int, rows: np.ndarray, size: int, backdrop=None) -> np.ndarray:
    return render_frames(sample_person(seed), rows, backdrop or Lines(), size)


def _bar(size: int, count: int) -> np.ndarray:
    frames = _drawn(ONE, lively_rows(count, ONE), size)
    frames[bar_of(size, count)] = BAR
    return frames


def _profile(size: int, count: int) -> np.ndarray:
    rows = lively_rows(count, ONE)
    rows[:, col.YAW] = 85 * np.sin(np.linspace(0, np.pi, count))
    return _drawn(ONE, rows, size)


def _cut(size: int, count: int) -> np.ndarray:
    first, second = lively_rows(count, ONE)[: count // 2], lively_rows(count, OTHER)[count // 2 :]
    second[:, col.ZOOM], second[:, col.SHIFT_X] = 0.7, second[:, col.SHIFT_X] + 0.12
    return np.concatenate([_drawn(ONE, first, size), _drawn(OTHER, second, size, GREY)])


def _lost(size: int, count: int) -> np.ndarray:
    frames, third = _drawn(ONE, lively_rows(count, ONE), size), count // 3
    frames[third : 2 * third] = np.rint(255 * Lines().picture(size))
    return frames


def _two(size: int, count: int) -> np.ndarray:
    return np.concatenate([_drawn(seed, lively_rows(count, seed), size, GREY) for seed in (ONE, OTHER)], axis=2)

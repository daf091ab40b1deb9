"""Lists the files below a folder: every file once. Files and folders that cannot be read are skipped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

MOST_ENTRIES = 200_000  # that are looked at below one folder; a link may lead to a whole disk


def files_below(
    folder: str | os.PathLike,
    is_one: Callable[[Path], bool] = lambda folder: False,
    deepest: int | None = None,
) -> Iterator[Path]:
    """The files below `folder`, and the folders for which `is_one` holds: each as one, without what lies in it.

    Links to folders are followed, but no folder is entered twice, and by a link only where no other way leads; files
    behind broken links, in folders that may not be read and under names that begin with a dot are left out. The order
    is that of the names, linked folders last. deepest: how many folders below `folder` files are looked at.
    At most `MOST_ENTRIES` entries are looked at.
    """
    left, seen = MOST_ENTRIES, set()
    waiting = deque([(Path(folder), 0)])
    linked: deque[tuple[Path, int]] = deque()
    while waiting or linked:
        current, depth = (waiting or linked).popleft()
        if not _is_new(current, seen):
            continue
        below = []
        for path in entries(current):
            left -= 1
            if left < 0:
                return
            if not os.path.isdir(path):
                if os.path.isfile(path):
                    yield path
            elif is_one(path):
                if _is_new(path, seen):
                    yield path
            elif deepest is None or depth < deepest:
                (linked if os.path.islink(path) else below).append((path, depth + 1))
        waiting.extendleft(reversed(below))


def entries(folder: str | os.PathLike) -> list[Path]:
    """What lies in `folder`, by name, without names that begin with a dot; nothing where it may not be read."""
    try:
        return sorted(path for path in Path(folder).iterdir() if not path.name.startswith("."))
    except (OSError, ValueError):  # no folder, one that may not be read, or a name that is none
        return []


def _is_new(folder: Path, seen: set) -> bool:
    try:
        about = os.stat(folder)
    except (OSError, ValueError):
        return False
    key = (about.st_dev, about.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True

"""The files of the official repository that some tests need and this project may not hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find_licensed_files() -> Callable[[str], Path] | None:
    """A function: file name -> path; None when the files are not on this machine.

    They lie in the folders `assets` and `samples` of FANTASYID_SHARED or of ../shared, or where
    `python -m fantasyid_core download samples` puts them.
    """
    shared = Path(os.environ.get("FANTASYID_SHARED", ROOT.parent / "shared"))
    for folders in ((shared / "assets", shared / "samples"), (ROOT / "output" / "samples",)):
        if any((folder / "transform.pkl").is_file() for folder in folders):
            return lambda name: next(
                (folder / name for folder in folders if (folder / name).is_file()), folders[-1] / name
            )
    return None

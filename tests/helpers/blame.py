"""Whose error it is: a sentence that this project raises, or one that it let through from below."""

from __future__ import annotations

import traceback
from pathlib import Path

CORE = Path(__file__).resolve().parents[2]
EXPECTED = (ValueError, OSError, RuntimeError)


def is_own_sentence(error: BaseException) -> bool:
    """Whether `error` is of a kind that is explained to users, and raised by a line of this project."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    own = path.is_relative_to(CORE / "fantasyid_core") or path.is_relative_to(CORE / "nodes")
    return isinstance(error, EXPECTED) and own and frame.line is not None and len(str(error)) > 20

"""Accepts words of lists that have changed, so that old workflows keep working."""

from __future__ import annotations

from collections.abc import Iterable

from ..fantasyid_core.options import FORMER_DETECTORS


def detector_problem(detector: str | None, known: Iterable[str]) -> bool | str:
    """True for a detector of the list, one that used to be in it, or a linked input (None); else what to tell the user.

    The host refuses words that are not in a list, unless validate_inputs asks for that input by its name.
    """
    known = tuple(known)
    if detector is None or detector in known or detector in FORMER_DETECTORS:
        return True
    return f"Expected a detector out of {', '.join(known)}, got {detector!r}. Choose one of them."


def detector_notes(detector: str) -> list[str]:
    """Notes for the user about a detector that used to be in the list."""
    from ..fantasyid_core.face.detectors.detect import replaced_note

    return [replaced_note(detector)] if detector in FORMER_DETECTORS else []

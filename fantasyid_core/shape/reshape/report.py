"""What comes out: frames, and a report of the whole clip."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .paste import Movement

NO_FACE = "no face was found"
TURNED = "the face was turned too far to the side"
HIDDEN = "the face was covered or leaving the picture"
OTHER_PERSON = "another person was seen"
FAINT = "the strength was 0"
ODD = "its points are at no face's places"


class ReshapedFrame(NamedTuple):
    """picture: [H,W,3], of the type that came in. mask: np.float32 [H,W], 0..1, where it was changed. note: why the
    frame was passed on as it came, as a sentence, or "". movement: where its pixels come from, or None for such a
    frame; masks and other pictures of the same frame can be moved along with it (`paste.moved_picture`)."""

    picture: np.ndarray
    mask: np.ndarray
    note: str = ""
    movement: Movement | None = None


class Quantity(NamedTuple):
    """One slider over the clip, in slider values, mean over the measured frames.

    asked: what the edit says, times the strength. applied: what was added to the frames, after the fades. seen: by how
    much landmarks that are found anew in the frames moved; the network leans to the average face, so it sees less than
    there is. spread: the standard deviation of `seen` from frame to frame. already: how far the clip was already from
    the head `ReshapeSettings.already`, in the same values, or None.
    """

    name: str
    asked: float
    applied: float
    seen: float
    spread: float
    already: float | None = None


@dataclass
class PersonReport:
    """treated: the frames that were changed. passed: reason -> frames that were passed on as they came, for it."""

    treated: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    quantities: list[Quantity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class ReshapeReport:
    """It is filled while the frames are taken. frames: all so far. treated: those in which anything was changed. cuts:
    numbers of the frames with which new scenes begin, without the first. people: in the order of the edits."""

    frames: int = 0
    treated: int = 0
    cuts: list[int] = field(default_factory=list)
    people: list[PersonReport] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """For the user."""
        told = [f"{self.treated} of {self.frames} frames were changed."]
        for number, person in enumerate(self.people):
            who = "" if len(self.people) == 1 else f"Person {number + 1}: "
            told += [f"{who}{count} frames were passed on: {reason}." for reason, count in person.passed.items()]
            told += [f"{who}{quantity_sentence(quantity)}" for quantity in person.quantities]
            told += [f"{who}{note}" for note in person.notes]
        if self.cuts:
            told.append(f"New scenes begin with the frames {', '.join(map(str, self.cuts))}.")
        return told


def quantity_sentence(quantity: Quantity) -> str:
    already = "" if quantity.already is None else f", {quantity.already:+.2f} of it was there already"
    return (
        f"{quantity.name}: asked {quantity.asked:+.2f}, added {quantity.applied:+.2f}{already}; landmarks see "
        f"{quantity.seen:+.2f} (spread {quantity.spread:.2f})."
    )

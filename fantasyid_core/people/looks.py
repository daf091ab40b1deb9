"""People who differ in one part of their looks alone, as `person.sample_twin` makes those who differ in shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .appearance import Appearance
from .hair import HAIR_STYLES
from .person import Draw, Person, sample_person
from .scene import BEARDS
from .wearing import GLASSES

PARTS = (  # part of the looks, how often; what is thin or hangs together with much of the picture is drawn most
    ("glasses", 6.0), ("beard", 2.5), ("hair_style", 3.0), ("hair_volume", 2.5), ("hair_length", 1.0),
    ("hair_colour", 1.5), ("skin", 0.7), ("iris", 1.0),
)  # fmt: skip
_WITH = {"glasses": ("glasses_colour",), "beard": ("beard_density",)}
_OF_A_SHELL = ("hair_volume", "hair_length")  # nothing of them shows where there is no hair that has a volume
_NUMBERS_APART, _COLOURS_APART = 0.35, 0.15
_TAKEN_OFF = 0.75  # of those who wear glasses or a beard: how many twins go without, the others have another kind
_OTHERS = 1_000_000  # people whose looks are lent, by their seeds

KINDS = {"hair_style": tuple(HAIR_STYLES), "beard": BEARDS, "glasses": GLASSES}
"""What is one of several: part of the looks -> what it can be."""
_NUMBERS = (
    "hair_volume", "hair_length", "hair_colour", "skin", "iris", "lips", "brow_colour", "beard_density", "freckles",
    "lines", "blush", "brow_thickness", "brow_arch", "eye_openness", "lashes", "glasses_colour", "hair_shine",
    "clothes",
)  # fmt: skip
NUMBER_NAMES = tuple(
    f"{name}{channel}"
    for name in _NUMBERS
    for channel in ((" r", " g", " b") if isinstance(getattr(Appearance(), name), tuple) else ("",))
)
"""What is a number from 0 to 1, in the order of `look_numbers`."""


def sample_looks_twin(person: Person, number: int = 0) -> tuple[Person, str]:
    """`person` with one of `PARTS` changed so that it shows, and which: the same on every machine.

    The new value is that of somebody else among the people of training, so that twins are people as there are.
    """
    draw = Draw(person.seed, "looks twin", number)
    look = person.appearance
    has_shell = HAIR_STYLES[look.hair_style].shell
    part = draw.weighted([(name, often) for name, often in PARTS if has_shell or name not in _OF_A_SHELL])
    if part in _WITH and getattr(look, part) != "none" and draw.chance(_TAKEN_OFF):
        return replace(person, appearance=replace(look, **{part: "none"})), part
    while True:
        other = sample_person(int(draw(0, _OTHERS))).appearance
        if _differs(look, other, part):
            changed = {name: getattr(other, name) for name in (part, *_WITH.get(part, ()))}
            return replace(person, appearance=replace(look, **changed)), part


def _differs(look: Appearance, other: Appearance, part: str) -> bool:
    ours, theirs = getattr(look, part), getattr(other, part)
    if isinstance(ours, str):
        return theirs not in (ours, "none")
    apart = np.abs(np.subtract(ours, theirs)).max()
    return bool(apart >= (_COLOURS_APART if isinstance(ours, tuple) else _NUMBERS_APART))


def look_kinds(look: Appearance) -> np.ndarray:
    """Which of `KINDS` a look has: int64 [3]."""
    return np.array([kinds.index(getattr(look, name)) for name, kinds in KINDS.items()])


def look_numbers(look: Appearance) -> np.ndarray:
    """The numbers of a look: float32 [N]."""
    return np.concatenate([np.ravel(getattr(look, name)) for name in _NUMBERS]).astype(np.float32)


def shown_numbers(look: Appearance) -> np.ndarray:
    """Which of them can be seen: float32 [N], 0 for the colour of glasses that nobody wears and the like."""
    hidden = set() if look.glasses != "none" else {"glasses_colour"}
    hidden |= set() if look.beard != "none" else {"beard_density"}
    hidden |= set() if HAIR_STYLES[look.hair_style].shell else set(_OF_A_SHELL)
    return np.array([float(name.partition(" ")[0] not in hidden) for name in NUMBER_NAMES], np.float32)

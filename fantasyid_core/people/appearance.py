"""A person's looks apart from the head's shape: colours, hair, brows, eyes, beard, glasses and clothes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from . import columns as col
from .hair import HAIR_STYLES
from .scene import BEARDS
from .wearing import GLASSES as GLASSES_SHAPES

Colour = tuple[float, float, float]

COLLARS = ("round", "pointed", "high", "striped")


@dataclass(frozen=True)
class Appearance:
    """Colours are sRGB, 0..1; the other numbers 0..1 unless noted. Raises ValueError for anything else."""

    skin: Colour = (0.88, 0.69, 0.56)
    blush: float = 0.5
    freckles: float = 0.0
    lines: float = 0.1  # of age
    lips: Colour = (0.75, 0.42, 0.40)
    iris: Colour = (0.35, 0.24, 0.15)
    eye_openness: float = 0.5
    lashes: float = 0.4
    brow_colour: Colour = (0.20, 0.14, 0.10)
    brow_thickness: float = 0.5
    brow_arch: float = 0.5
    hair_style: str = "short"
    hair_colour: Colour = (0.24, 0.16, 0.11)
    hair_volume: float = 0.5
    hair_length: float = 0.5
    hair_shine: float = 0.5
    hair_strands: float = 0.0  # where the streaks lie
    beard: str = "none"
    beard_density: float = 0.8
    glasses: str = "none"
    glasses_colour: Colour = (0.08, 0.08, 0.09)
    clothes: Colour = (0.25, 0.35, 0.50)
    trim: Colour = (0.85, 0.85, 0.85)
    collar: str = "round"

    def __post_init__(self):
        for field in fields(self):
            _check(field.name, getattr(self, field.name))


_CHOICES = {"hair_style": tuple(HAIR_STYLES), "beard": BEARDS, "glasses": GLASSES_SHAPES, "collar": COLLARS}


def _check(name: str, value) -> None:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"Expected {name} as one of: {', '.join(_CHOICES[name])}. Got {value!r}.")
        return
    numbers = np.asarray(value, float)
    if isinstance(value, tuple) and numbers.shape != (3,):
        raise ValueError(f"Expected {name} as a colour of 3 numbers, got {value!r}.")
    if not ((numbers >= 0) & (numbers <= 1)).all():  # NaN included
        raise ValueError(f"Expected {name} in 0..1, got {value!r}.")


def linear(colour) -> np.ndarray:
    """Light of an sRGB colour as the renderer takes it: it shows the root of what it computes."""
    return np.asarray(colour, np.float64) ** 2


def paint_of(look: Appearance, light_colour: Colour = (1.0, 1.0, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """The colours [C,3] and traits [K] of the compiled loops (see `columns`)."""
    colours = np.zeros((col.COLOUR_COUNT, 3))
    skin = linear(look.skin)
    parts = {
        col.SKIN: skin,
        col.FLUSH: skin * (1.02, 0.62, 0.60) + (0.02, 0.0, 0.0),
        col.LIPS: linear(look.lips),
        col.IRIS: linear(look.iris),
        col.BROW: linear(look.brow_colour),
        col.HAIR: linear(look.hair_colour),
        col.GLASSES: linear(look.glasses_colour),
        col.CLOTHES: linear(look.clothes),
        col.TRIM: linear(look.trim),
        col.LIGHT: linear(light_colour),
    }
    for row, colour in parts.items():
        colours[row] = colour
    style = HAIR_STYLES[look.hair_style]
    numbers = {
        "blush": 0.75 * look.blush,
        "freckles": look.freckles,
        "lines": look.lines,
        "brow_thickness": look.brow_thickness,
        "brow_arch": 2 * look.brow_arch - 1,
        "eye_openness": 0.84 + 0.32 * look.eye_openness,
        "lashes": look.lashes,
        "beard": 0.0 if look.beard == "none" else 0.3 + 0.65 * look.beard_density,
        "scalp": style.cover,
        "curl": min(style.curl / 4, 1.0),
        "collar": float(COLLARS.index(look.collar)),
        "strands": 2 * np.pi * look.hair_strands,
        "shine": look.hair_shine,
    }
    return colours, np.array([numbers[name] for name in col.TRAITS])

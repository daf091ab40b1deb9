"""A random person for every seed, and a fixed split into people for training and held-out people."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import numpy as np

from .appearance import COLLARS, Appearance, Colour
from .hair import HAIR_STYLES
from .headshape import SHAPE_NAMES, check_shape, shape_vertices

HELD_OUT_FROM = 1_000_000_000
"""Seeds from here on are people for evaluation only: `training_seeds` never gives them."""
_SEEDS = 2 * HELD_OUT_FROM
TWINS_APART = 0.5  # of the parameter's range of 2
_OUTLINE = ("face_width", "jaw_width", "jaw_sharpness", "chin_length", "forehead_height")
_HIDDEN = ("chin_projection", "nose_bridge", "nose_projection", "brow_ridge", "head_depth")  # from the front
_TWINS = [(name, 2.0 if name in _OUTLINE else 0.25 if name in _HIDDEN else 1.0) for name in SHAPE_NAMES]

_SKINS = np.array(
    [(250, 222, 202), (243, 208, 182), (233, 190, 158), (219, 168, 132), (199, 145, 106), (168, 114, 80), (136, 90, 64),
     (108, 72, 53), (88, 60, 46)], float,
) / 255  # fmt: skip
_HAIRS = [  # colour, weight
    ((30, 25, 24), 5), ((48, 34, 26), 5), ((78, 52, 36), 5), ((112, 74, 46), 3), ((146, 84, 44), 2), ((176, 92, 46), 2),
    ((188, 146, 88), 3), ((222, 190, 128), 3), ((150, 146, 142), 2), ((226, 224, 220), 2), ((60, 84, 150), 0.6),
    ((196, 92, 134), 0.6), ((64, 128, 110), 0.5),
]  # fmt: skip
_DARK_HAIRS = [*_HAIRS[:3], _HAIRS[8], _HAIRS[9]]
_IRISES = [
    ((72, 46, 28), 4), ((104, 70, 38), 3), ((128, 108, 52), 2), ((84, 122, 84), 2), ((80, 124, 168), 3),
    ((120, 136, 146), 2),
]  # fmt: skip
_CLOTHES = [
    (205, 60, 60), (222, 128, 52), (232, 196, 74), (86, 150, 84), (52, 122, 128), (58, 98, 172), (110, 80, 158),
    (206, 120, 160), (236, 232, 224), (128, 130, 134), (52, 54, 62), (150, 110, 80),
]  # fmt: skip
_FRAMES = [
    ((24, 24, 28), 4), ((92, 58, 34), 2), ((178, 150, 84), 1), ((190, 194, 200), 1), ((168, 48, 50), 1),
    ((46, 72, 130), 1),
]  # fmt: skip
_BEARDS = [("none", 6), ("full", 1.5), ("goatee", 0.8), ("moustache", 0.8)]
_GLASSES = [("none", 7), ("round", 1.2), ("square", 1.2), ("wide", 1.0)]


@dataclass(frozen=True)
class Person:
    seed: int
    shape: tuple[float, ...]  # in the order of `SHAPE_NAMES`, each -1..1
    appearance: Appearance

    def vertices(self) -> np.ndarray:
        """The neutral face, looking ahead: float32 [V,3], metres."""
        return shape_vertices(self.shape)

    def edited(self, **changes: float) -> Person:
        """The same person with these shape parameters. Raises ValueError for unknown names and values outside -1..1."""
        shape = dict(zip(SHAPE_NAMES, self.shape, strict=True)) | changes
        return replace(self, shape=tuple(check_shape(shape).tolist()))


def training_seeds(count: int, start: int = 0) -> range:
    """Seeds of people for training. Raises ValueError where they would reach the held-out ones."""
    return _seeds(count, start, 0, "training")


def held_out_seeds(count: int, start: int = 0) -> range:
    """Seeds of people for evaluation, none of which `training_seeds` can give."""
    return _seeds(count, start, HELD_OUT_FROM, "evaluation")


def sample_person(seed: int) -> Person:
    """The person of a seed: the same on every machine. Shape parameters are uniform in -1..1 and independent.

    Raises ValueError unless 0 <= seed < 2e9.
    """
    draw = Draw(_checked_seed(seed), "person")
    shape = tuple(round(2 * draw() - 1, 4) for _ in SHAPE_NAMES)
    return Person(operator.index(seed), shape, _sample_appearance(draw))


class Draw:
    """Random numbers that depend on the seed and the purpose only, on nothing of NumPy's distributions."""

    def __init__(self, seed: int, purpose: str, number: int = 0):
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number, *purpose.encode()])))

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(self._random.random())

    def chance(self, probability: float) -> bool:
        return self() < probability

    def choice(self, options):
        return options[min(int(self() * len(options)), len(options) - 1)]

    def weighted(self, options):
        """One of pairs (value, weight)."""
        left = self() * sum(weight for _, weight in options)
        for value, weight in options:
            left -= weight
            if left < 0:
                return value
        return options[-1][0]

    def near(self, value: float, spread: float) -> float:
        """About `value`, at most 2 spreads away; a bell of three uniform numbers."""
        return value + spread * (self() + self() + self() - 1.5) * 4 / 3


def sample_twin(person: Person, number: int = 0) -> Person:
    """`person` with one shape parameter drawn anew, at least `TWINS_APART` away: the same on every machine.

    Parameters of the face's outline are drawn most often, and those that hardly show from the front least often.
    """
    draw = Draw(person.seed, "twin", number)
    name = draw.weighted(_TWINS)
    old = dict(zip(SHAPE_NAMES, person.shape, strict=True))[name]
    below, above = max(old - TWINS_APART + 1, 0), max(1 - TWINS_APART - old, 0)  # how much room there is
    place = draw(0, below + above)
    return person.edited(**{name: round(place - 1 if place < below else old + TWINS_APART + place - below, 4)})


def _sample_appearance(draw: Draw) -> Appearance:
    skin, depth = _skin(draw)
    natural = depth > 0.45 and draw.chance(0.65)
    hair = _shade(draw, draw.weighted(_DARK_HAIRS if natural else _HAIRS), 0.03)
    style = draw.choice(tuple(HAIR_STYLES))
    beard = draw.weighted(_BEARDS)
    grey = np.mean(hair) > 0.55 and hair[0] - hair[2] < 0.1
    clothes, trim = _clothes(draw)
    return Appearance(
        skin=skin,
        blush=draw(0.2, 1.0),
        freckles=draw(0.4, 1.0) if depth < 0.45 and draw.chance(0.2) else 0.0,
        lines=draw(0.5, 1.0) if grey else draw(0.0, 0.5),
        lips=_lips(draw, skin, beard == "none"),
        iris=_shade(draw, draw.weighted(_IRISES), 0.03),
        eye_openness=draw(),
        lashes=draw(0.1, 1.0) if beard == "none" else draw(0.0, 0.4),
        brow_colour=tuple(float(c) for c in np.clip(np.array(hair) * draw(0.5, 0.8), 0, 0.62)),
        brow_thickness=draw(),
        brow_arch=draw(),
        hair_style=style,
        hair_colour=hair,
        hair_volume=draw(),
        hair_length=draw(),
        hair_shine=draw(0.2, 1.0),
        hair_strands=draw(),
        beard=beard,
        beard_density=draw(0.3, 1.0),
        glasses=draw.weighted(_GLASSES),
        glasses_colour=_shade(draw, draw.weighted(_FRAMES), 0.02),
        clothes=clothes,
        trim=trim,
        collar=draw.choice(COLLARS),
    )


def _skin(draw: Draw) -> tuple[Colour, float]:
    """A tone from light to dark, a little rosier or more golden; and how dark it is, 0..1."""
    depth = draw() ** 1.2
    place = depth * (len(_SKINS) - 1)
    row = min(int(place), len(_SKINS) - 2)
    tone = _SKINS[row] + (place - row) * (_SKINS[row + 1] - _SKINS[row])
    warm = draw.near(0, 0.02)
    return _colour(tone + (0.2 * warm, 0.1 * warm, -warm)), depth


def _lips(draw: Draw, skin: Colour, may_paint: bool) -> Colour:
    natural = np.array(skin) * (0.90, 0.66, 0.66) + (0.04, 0.0, 0.01)
    painted = np.array(draw.choice([(0.72, 0.16, 0.20), (0.78, 0.32, 0.40), (0.56, 0.20, 0.26), (0.80, 0.40, 0.34)]))
    share = draw(0.4, 0.9) if may_paint and draw.chance(0.4) else draw(0.0, 0.15)
    return _colour(natural + share * (painted - natural))


def _clothes(draw: Draw) -> tuple[Colour, Colour]:
    first = int(draw(0, len(_CLOTHES) - 1e-9))
    second = (first + 1 + int(draw(0, len(_CLOTHES) - 1 - 1e-9))) % len(_CLOTHES)
    return _shade(draw, _CLOTHES[first], 0.03), _shade(draw, _CLOTHES[second], 0.03)


def _shade(draw: Draw, colour, spread: float) -> Colour:
    """A colour of 0..255, a little lighter or darker and a little off in every channel, as 0..1."""
    return _colour(np.array(colour) / 255 * draw(0.88, 1.12) + [draw.near(0, spread) for _ in range(3)])


def _colour(values: np.ndarray) -> Colour:
    return tuple(round(float(value), 4) for value in values.clip(0.02, 0.98))


def _checked_seed(seed: int) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        raise ValueError(f"Expected a whole number as seed, got {seed!r}.") from None
    if not 0 <= number < _SEEDS:
        raise ValueError(f"Expected a seed in 0..{_SEEDS - 1}, got {number}.")
    return number


def _seeds(count: int, start: int, base: int, purpose: str) -> range:
    if count < 0 or start < 0 or start + count > HELD_OUT_FROM:
        raise ValueError(
            f"Expected {purpose} seeds within {HELD_OUT_FROM} people, got {count} from number {start} on. "
            "Ask for fewer people or an earlier start."
        )
    return range(base + start, base + start + count)

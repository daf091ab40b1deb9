"""The background behind a person: a named colour, flat or with a gradient, with soft discs in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BACKGROUNDS = {
    "red": (0.74, 0.24, 0.24),
    "orange": (0.90, 0.56, 0.24),
    "yellow": (0.93, 0.83, 0.38),
    "green": (0.34, 0.62, 0.36),
    "teal": (0.22, 0.56, 0.58),
    "blue": (0.28, 0.44, 0.78),
    "purple": (0.52, 0.36, 0.70),
    "pink": (0.93, 0.62, 0.74),
    "brown": (0.50, 0.37, 0.27),
    "grey": (0.56, 0.57, 0.59),
    "white": (0.94, 0.94, 0.93),
    "black": (0.10, 0.10, 0.12),
}
"""The colours that prompts name, as sRGB."""


@dataclass(frozen=True)
class Backdrop:
    """colour: one of `BACKGROUNDS`. tint: added to it. fade: how much lighter (positive) or darker it gets, 0..1 of the
    way along `angle` (degrees, 0 to the right, 90 up). discs: x, y, radius, softness in sides of the picture, and how
    much lighter. Raises ValueError for unknown colours."""

    colour: str = "grey"
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fade: float = 0.0
    angle: float = 90.0
    discs: tuple[tuple[float, float, float, float, float], ...] = ()

    def __post_init__(self):
        if self.colour not in BACKGROUNDS:
            raise ValueError(f"Unknown background {self.colour!r}. There are: {', '.join(BACKGROUNDS)}.")

    def picture(self, size: int) -> np.ndarray:
        """float32 [size,size,3] in 0..1, antialiased."""
        middle = (np.arange(size, dtype=np.float32) + 0.5) / size
        x, y = middle[None, :], middle[:, None]
        angle = np.deg2rad(self.angle)
        light = np.float32(self.fade * np.cos(angle)) * (x - 0.5) - np.float32(self.fade * np.sin(angle)) * (y - 0.5)
        for across, down, radius, softness, change in np.array(self.discs, np.float32).reshape(-1, 5):
            reach = np.sqrt((x - across) ** 2 + (y - down) ** 2)
            light += change * (np.float32(0.5) + (radius - reach) / max(softness, np.float32(1.5 / size))).clip(0, 1)
        base = (np.array(BACKGROUNDS[self.colour]) + self.tint).astype(np.float32)
        light = light.clip(-1, 1)[..., None]
        return (base + light * np.where(light > 0, 1 - base, base)).clip(0, 1)


def sample_backdrop(draw) -> Backdrop:
    """A backdrop, every colour as likely; `draw` as in `people`."""
    discs = tuple(
        (draw(), draw(), draw(0.06, 0.32), draw(0.03, 0.25), draw(-0.28, 0.28))
        for _ in range(int(draw(0, 5)) if draw.chance(0.5) else 0)
    )
    return Backdrop(
        colour=draw.choice(tuple(BACKGROUNDS)),
        tint=tuple(draw(-0.03, 0.03) for _ in range(3)),
        fade=draw(-0.7, 0.7),
        angle=draw(0, 360),
        discs=discs,
    )


def sample_plain_backdrop(draw) -> Backdrop:
    """A backdrop of one named colour, as in clips: prompts have no words for discs."""
    return Backdrop(draw.choice(tuple(BACKGROUNDS)))

"""Everything that an artist sets for one person, as one value from the node to the block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from ...options import EVERYWHERE, PLACES, SIDE_BY_SIDE
from .curves import draw_curve, draw_schedule
from .layer_weights import check_layer_weights, check_strength, parse_layer_weights
from .schedule import parse_schedule
from .timing import Schedule, Timing

_POINTS = 65  # of the drawn schedule


@dataclass(frozen=True, eq=False)
class Control:
    """How much, when, where and in which layers one person shows. The fields are the inputs of Apply Identity.

    strength: 1 as trained, 0 exactly the plain model. start_percent, end_percent: part of the sampling in 0..1;
    fade_in, fade_out: ramps inside it, as parts of the whole sampling. schedule: what multiplies over the sampling,
    as `parse_schedule` reads it, or points (percent, weight), or a function of the percent; "" and None for none.
    layers: one factor per injected layer, or as `parse_layer_weights` reads them; "" and None for ones.
    face_weight, shape_weight: how much the tokens of the face and of the 3D shape count, 0 takes them out.
    region: one of `options.PLACES`; side by side, all people so attached share the picture from left to right in the
    order of attaching. mask: [H, W] or [frames, H, W] in 0..1, where the person shows, without a region only.
    feather: pixels over which the edges of mask or region are softened.
    identity_guidance: 1 or None is none; other values take 1.5 times the model's work.
    memory_budget: bytes for the injection's activations; None takes half of what is free.

    Raises ValueError for values out of range, text that cannot be read (with the place of the mistake), and a mask
    together with a region.
    """

    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    fade_in: float = 0.0
    fade_out: float = 0.0
    layers: str | Sequence[float] | None = None
    schedule: str | Schedule | None = None
    face_weight: float = 1.0
    shape_weight: float = 1.0
    region: str = EVERYWHERE
    mask: Tensor | None = None
    feather: float = 0.0
    identity_guidance: float | None = 1.0
    memory_budget: int | None = None

    def __post_init__(self):
        check_strength(self.strength)
        self.timing  # noqa: B018  (reads and checks)
        if self.region not in PLACES:
            raise ValueError(f"Expected a region among {', '.join(PLACES)}, got {self.region!r}.")
        if self.mask is not None and self.is_side_by_side:
            raise ValueError(
                f"Expected a mask or the region {SIDE_BY_SIDE}, got both. Choose {EVERYWHERE}, or disconnect the mask."
            )
        if not math.isfinite(self.guidance):
            raise ValueError(
                f"Identity guidance must be a finite number (1 is without it), got {self.identity_guidance}."
            )
        if self.memory_budget is not None and not self.memory_budget > 0:
            raise ValueError(f"Expected a memory budget in bytes, above 0, or none, got {self.memory_budget}.")

    @cached_property
    def timing(self) -> Timing:
        """The weight over the sampling."""
        schedule = self.schedule
        if isinstance(schedule, str):
            schedule = parse_schedule(schedule) if schedule.strip() else None
        return Timing(self.start_percent, self.end_percent, self.fade_in, self.fade_out, schedule)

    @property
    def guidance(self) -> float:
        """The scale of identity guidance, which pushes the video towards the person; 1 is off."""
        return 1.0 if self.identity_guidance is None else float(self.identity_guidance)

    @property
    def is_side_by_side(self) -> bool:
        return self.region == SIDE_BY_SIDE

    def layer_weights(self, count: int) -> list[float]:
        """The factor of each of `count` injected layers; ValueError for another number, and for unreadable text."""
        if isinstance(self.layers, str):
            return parse_layer_weights(self.layers.strip() or "all", count)
        return check_layer_weights(self.layers, count)

    def draw(self, count: int) -> np.ndarray:
        """The weights of `count` layers beside those over the sampling: np.uint8 [96,512,3] RGB."""
        places = np.linspace(0, 1, _POINTS).tolist()
        over_steps = [(place, self.strength * self.timing.weight(place)) for place in places]
        return np.concatenate([draw_curve(self.layer_weights(count)), draw_schedule(over_steps)], axis=1)

    def notes(self) -> tuple[str, ...]:
        """Sentences about the cost of these settings, and a warning when they leave nothing of the person."""
        notes = []
        if self.mask is not None and not (self.mask > 0).any():
            notes.append(
                "The mask is empty (0 everywhere), so this person shows nowhere. Load Image gives such a mask for a "
                "picture without transparency: connect another mask, or none."
            )
        if self.guidance != 1:
            notes.append(
                "Identity guidance looks at the video without the person, too: every step takes 1.5 times as long."
            )
        return tuple(notes)

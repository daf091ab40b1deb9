"""What is known of one person in a whole clip: the head, what the edit is on it, the skin's colours, and the meter."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..reconstruct.landmark_fit import MeanHead
from .cliphead import ClipHead, Lying, clip_head
from .covering import Colours, colours_of, places_on, sample
from .edits import Asked, already_moved, only_the_rest
from .meter import Meter, parts_of
from .settings import ReshapeSettings

COLOURED = 24  # frames, of those that the head is made from, that tell the skin's colours


@dataclass
class PersonClip:
    """head is None until the person was seen. displacement: [V,3] metres, of the head. already: see `already_moved`."""

    asked: Asked
    head: ClipHead | None = None
    displacement: np.ndarray | None = None
    already: dict[str, float] | None = None
    colours: Colours | None = None
    meter: Meter = field(default_factory=lambda: Meter({}))

    def learn(self, seen: list[tuple[np.ndarray, np.ndarray]], mean: MeanHead, settings: ReshapeSettings) -> None:
        """From frames np.uint8 [H,W,3] with their points [478,3]; they are spread over those that are given."""
        chosen = _spread(seen, settings.head_frames)
        if not chosen:
            return
        self.head = clip_head([points for _, points in chosen], mean)
        values, sliders = None, self.asked.sliders
        if settings.already is not None and sliders is not None:
            self.already = already_moved(sliders, self.head.vertices, settings.already)
            values = only_the_rest(sliders, self.already)
        self.displacement = self.asked.displacement(self.head.vertices, values)
        self.meter = Meter(parts_of(self.asked, self.head))
        if settings.in_front:
            self._learn_colours(_spread(chosen, COLOURED), mean)

    def _learn_colours(self, seen: list[tuple[np.ndarray, np.ndarray]], mean: MeanHead) -> None:
        places = places_on(mean.template)
        samples = [sample(picture, lying, mean.faces, places) for picture, lying in self._lying(seen)]
        self.colours = colours_of([each for each in samples if each is not None], places)

    def _lying(self, seen: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, Lying]]:
        return [(picture, self.head.placed(points)) for picture, points in seen]


def _spread(values: list, most: int) -> list:
    return [values[nth] for nth in np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int)]

"""Small pictures of layer weights and schedules, for the node and for reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .layer_weights import check_layer_weights
from .schedule import check_schedule, schedule_weight
from .typed_text import number_text

BACKGROUND, GRID, INK, TEXT = (30, 30, 34), (78, 78, 86), (96, 170, 255), (200, 200, 206)
_MARGIN = (30, 8, 8, 16)  # left, top, right, bottom, in pixels
_FINE = 4  # drawn this much larger, then reduced: smooth lines


def draw_curve(weights: Sequence[float], width: int = 256, height: int = 96) -> np.ndarray:
    """One bar per injected layer from weight 0 up or down: np.uint8 [height, width, 3] RGB.

    Lines mark the weights 0 and 1; the layers' numbers stand below. Raises ValueError for no weights, NaN or
    infinite ones, and pictures below 64 x 48.
    """
    weights = check_layer_weights(weights, len(weights))

    def draw(pen, to_x, to_y):
        for layer, weight in enumerate(weights):
            top, bottom = sorted((to_y(0), to_y(weight)))
            left, right = to_x((layer + 0.1) / len(weights)), to_x((layer + 0.9) / len(weights))
            pen.rectangle((left, top, right, max(bottom, top + _FINE)), fill=INK)

    labels = {(layer + 0.5) / len(weights): str(layer) for layer in (0, len(weights) - 1) if weights}
    return _picture(weights, labels, draw, width, height)


def draw_schedule(points: Sequence[tuple[float, float]], width: int = 256, height: int = 96) -> np.ndarray:
    """The weight over the sampling, from the first step on the left: np.uint8 [height, width, 3] RGB.

    points: of `parse_schedule`. Raises ValueError as `check_schedule`, and for pictures below 64 x 48.
    """
    points = check_schedule(points)
    ends = [(0.0, schedule_weight(points, 0)), *points, (1.0, schedule_weight(points, 1))]

    def draw(pen, to_x, to_y):
        line = [(to_x(percent), to_y(weight)) for percent, weight in ends]
        pen.line(line, fill=INK, width=2 * _FINE, joint="curve")

    return _picture([weight for _, weight in points], {0.0: "0 %", 1.0: "100 %"}, draw, width, height)


def _picture(weights: Sequence[float], labels: dict[float, str], draw: Callable, width: int, height: int) -> np.ndarray:
    """The axes with what `draw(pen, to_x, to_y)` adds; to_x takes 0..1, to_y a weight."""
    from PIL import Image, ImageDraw, ImageFont

    if not weights or width < 64 or height < 48:
        raise ValueError(f"Expected at least one weight and 64 x 48 pixels, got {len(weights)} and {width} x {height}.")
    low, high = min(0.0, *weights), max(1.0, *weights)
    left, top, right, bottom = _MARGIN
    picture = Image.new("RGB", (width * _FINE, height * _FINE), BACKGROUND)
    pen = ImageDraw.Draw(picture)

    def to_x(part: float) -> float:
        return _FINE * (left + part * (width - left - right))

    def to_y(weight: float) -> float:
        return _FINE * (top + (high - weight) / (high - low) * (height - top - bottom))

    for level in (0.0, 1.0):
        pen.line((to_x(0), to_y(level), to_x(1), to_y(level)), fill=GRID, width=_FINE)
    draw(pen, to_x, to_y)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(10)
    # Labels that would overlap zero's are left out.
    for level in [0.0, *(each for each in (low, high) if abs(to_y(each) - to_y(0)) > 10 * _FINE)]:
        pen.text((left - 4, to_y(level) / _FINE), _short(level), TEXT, font, anchor="rm")
    for part, label in labels.items():
        anchor = "mt" if 0 < part < 1 else ("lt" if part == 0 else "rt")
        pen.text((to_x(part) / _FINE, height - bottom + 4), label, TEXT, font, anchor=anchor)
    return np.asarray(picture).copy()


def _short(value: float) -> str:
    return number_text(round(value, 2)) if abs(value) < 1000 else f"{value:.0e}"

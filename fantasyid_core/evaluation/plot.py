"""Likeness and motion of a video over its frames, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

PAPER, GRID, TEXT = (252, 252, 250), (222, 222, 218), (56, 58, 64)
LIKENESS, NEIGHBOURS, MOTION = (0, 92, 175), (236, 128, 0), (0, 128, 84)  # told apart also without colour vision
_FINE = 3  # drawn this much larger, then reduced: smooth lines
_LEFT, _RIGHT, _TOP, _GAP, _BOTTOM = 56, 14, 50, 42, 36  # margins in pixels; _GAP between the panels


class Line(NamedTuple):
    """One curve: its name, colour, and values from frame `start` on; NaN leaves a gap."""

    name: str
    colour: tuple[int, int, int]
    values: np.ndarray
    start: float = 0.0


def score_plot(
    similarities: ArrayLike,  # [T]
    motions: ArrayLike = (),  # [T-1]
    neighbours: ArrayLike = (),  # [T-1]
    title: str = "",
    width: int = 720,
    height: int = 420,
) -> np.ndarray:
    """Reference and inter-frame similarity above, face motion below, over the frames: np.uint8 [height, width, 3].

    similarities: per frame; neighbours and motions: from each frame to the next, drawn between the two, either
    may be empty. NaN is a frame without a face: a gap. Dashed lines are the means, also told by the names.
    Raises ValueError for no frames, series of other lengths, infinite values, and pictures below 560 x 280.
    """
    similarities, motions, neighbours = (_series(each) for each in (similarities, motions, neighbours))
    count = len(similarities)
    if not count or any(len(each) not in (0, count - 1) for each in (motions, neighbours)):
        raise ValueError(
            f"Expected a similarity for each of at least 1 frame and one value fewer of the others, got {count}, "
            f"{len(neighbours)} and {len(motions)}."
        )
    if width < 560 or height < 280:
        raise ValueError(f"Expected a plot of at least 560 x 280 pixels, got {width} x {height}.")
    upper = [Line("to the reference", LIKENESS, similarities), Line("frame to frame", NEIGHBOURS, neighbours, 0.5)]
    lower = [Line("face motion, pixels per frame", MOTION, motions, 0.5)]
    middle = _TOP + round((height - _TOP - _GAP - _BOTTOM) * 0.58)
    panels = [
        Panel("likeness", [line for line in upper if len(line.values)], (_TOP, middle), count, 1.0),
        Panel("motion", [line for line in lower if len(line.values)], (middle + _GAP, height - _BOTTOM), count, 0.1),
    ]
    return _draw(panels, title, width, height)


class Panel:
    """A rectangle with axes: frames to the right, values up from at most 0 to at least `least_top`."""

    def __init__(self, name: str, lines: list[Line], rows: tuple[int, int], count: int, least_top: float):
        self.name, self.lines, self.rows, self.count = name, lines, rows, count
        known = np.concatenate([line.values[~np.isnan(line.values)] for line in lines] or [np.zeros(0)])
        self.ticks = _ticks(min(0.0, *known, 0.0), max(least_top, *known, 0.0))

    def x(self, frame: float, width: int) -> float:
        return _LEFT + (width - _LEFT - _RIGHT) * (frame / (self.count - 1) if self.count > 1 else 0.5)

    def y(self, value: float) -> float:
        top, bottom = self.rows
        low, high = self.ticks[0], self.ticks[-1]
        return bottom - (value - low) / (high - low) * (bottom - top)


def _draw(panels: list[Panel], title: str, width: int, height: int) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (width * _FINE, height * _FINE), PAPER)
    pen = ImageDraw.Draw(picture)
    for panel in panels:
        _draw_lines(pen, panel, width)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    fonts = [ImageFont.load_default(size) for size in (11, 14)]
    pen.text((_LEFT, 8), title or "Likeness and motion over the frames", TEXT, fonts[1], anchor="lt")
    for panel in panels:
        _draw_labels(pen, panel, width, fonts[0])
    pen.text((width - _RIGHT, height - 6), "frame", TEXT, fonts[0], anchor="rb")
    return np.asarray(picture).copy()


def _draw_lines(pen, panel: Panel, width: int) -> None:
    right = (width - _RIGHT) * _FINE
    for tick in panel.ticks:
        y = panel.y(tick) * _FINE
        pen.line((_LEFT * _FINE, y, right, y), fill=TEXT if tick == 0 else GRID, width=_FINE)
    for line in panel.lines:
        for run in _runs(line):
            points = [(panel.x(frame, width) * _FINE, panel.y(value) * _FINE) for frame, value in run]
            if len(points) > 1:
                pen.line(points, fill=line.colour, width=2 * _FINE, joint="curve")
            if len(points) == 1 or panel.count <= 60:
                for x, y in points:
                    pen.ellipse((x - 2 * _FINE, y - 2 * _FINE, x + 2 * _FINE, y + 2 * _FINE), fill=line.colour)
        if not np.isnan(line.values).all():
            y = panel.y(np.nanmean(line.values)) * _FINE
            for x in range(_LEFT * _FINE, right, 9 * _FINE):
                pen.line((x, y, min(x + 4 * _FINE, right), y), fill=line.colour, width=_FINE)


def _draw_labels(pen, panel: Panel, width: int, font) -> None:
    for tick in panel.ticks:
        pen.text((_LEFT - 6, panel.y(tick)), f"{tick:g}", TEXT, font, anchor="rm")
    x = _LEFT
    for line in panel.lines:
        label = f"{line.name} ({_summary(line.values)})"
        pen.rectangle((x, panel.rows[0] - 12, x + 8, panel.rows[0] - 4), fill=line.colour)
        pen.text((x + 13, panel.rows[0] - 8), label, TEXT, font, anchor="lm")
        x += 30 + round(pen.textlength(label, font))
    if not panel.lines:
        pen.text((_LEFT, panel.rows[0] - 8), f"{panel.name}: not measured", TEXT, font, anchor="lm")
    for frame in _frame_ticks(panel.count):
        pen.text((panel.x(frame, width), panel.rows[1] + 5), str(frame), TEXT, font, anchor="mt")


def _summary(values: np.ndarray) -> str:
    gaps = int(np.isnan(values).sum())
    if gaps == len(values):
        return "no face"
    return f"mean {np.nanmean(values):.2f}" + (f", {gaps} of {len(values)} missing" if gaps else "")


def _runs(line: Line) -> list[list[tuple[float, float]]]:
    """The stretches of a curve between its gaps, as (frame, value)."""
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(line.values):
        if math.isnan(value):
            runs.append([])
        else:
            runs[-1].append((line.start + index, float(value)))
    return [run for run in runs if run]


def _ticks(low: float, high: float) -> list[float]:
    """About four round numbers that enclose low..high and hold 0."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _frame_ticks(count: int) -> Sequence[int]:
    step = next(step for step in (1, 2, 4, 8, 12, 24, 48, 96, 240, 10**9) if (count - 1) / step <= 12)
    return range(0, count, step)


def _series(values: ArrayLike) -> np.ndarray:
    series = np.asarray(values, np.float64)
    if series.ndim != 1 or np.isinf(series).any():
        raise ValueError(f"Expected a series of finite numbers (NaN for gaps), got {list(series.shape)}.")
    return series

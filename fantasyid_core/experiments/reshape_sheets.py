"""Sheets of several videos above each other: a few frames of each in a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.writing import write_aside

SHOWN, CELL, GAP, LABEL = 6, 256, 4, 16
PAPER, INK = (250, 249, 246), (40, 40, 44)


def save_rows(videos: Sequence[np.ndarray], titles: Sequence[str], path: Path, shown: int = SHOWN) -> None:
    """A PNG with a row per video uint8 [T,H,W,3]: `shown` frames, evenly spread, 256 pixels high."""
    from PIL import Image, ImageDraw, ImageFont

    rows = [[_cell(video[at]) for at in np.linspace(0, len(video) - 1, min(shown, len(video))).astype(int)]
            for video in videos]  # fmt: skip
    width = max(sum(cell.width + GAP for cell in row) for row in rows) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (CELL + LABEL + GAP)), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        top, left = number * (CELL + LABEL + GAP), GAP
        pen.text((left, top), title, fill=INK, font=font)
        for cell in row:
            sheet.paste(cell, (left, top + LABEL))
            left += cell.width + GAP
    with write_aside(path) as aside:
        sheet.save(aside, "PNG")


def _cell(picture: np.ndarray):
    from PIL import Image

    height, width = picture.shape[:2]
    return Image.fromarray(picture).resize((round(width * CELL / height), CELL), Image.Resampling.LANCZOS)

"""Contact sheets: clips that were taken, and those that were not with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...face.align import opencv
from ...files.writing import write_aside

TALL = 90  # pixels of a strip
MOMENTS = 4  # frames in it
VIEWS = 6
ROWS, COLUMNS = 12, 2
LABEL, GAP = 16, 6
PAPER, INK, BOX = (252, 252, 250), (56, 58, 64), (60, 220, 90)


class Entry(NamedTuple):
    """strip: path of a picture. label: what stands above it."""

    strip: Path
    label: str


def draw_strip(pictures: Sequence[np.ndarray], boxes: np.ndarray | None = None, views: Sequence = ()) -> np.ndarray:
    """Some frames of a clip beside each other, np.uint8 [90,W,3]; with boxes [T,2,2] the face in them, with views
    (`views.View`) those too."""
    cv2, tiles = opencv(), []
    for place in np.linspace(0, len(pictures) - 1, MOMENTS).round().astype(int):
        scale = TALL / pictures[place].shape[0]
        width = max(1, round(pictures[place].shape[1] * scale))
        tile = cv2.resize(pictures[place], (width, TALL), interpolation=cv2.INTER_AREA)
        if boxes is not None:
            corners = (boxes[place] * scale).round().astype(int).tolist()
            cv2.rectangle(tile, *corners, BOX, 1)
        tiles.append(tile)
    for view in list(views)[:VIEWS]:
        tiles.append(cv2.resize(view.face.crop, (TALL, TALL), interpolation=cv2.INTER_AREA))
    return np.concatenate(tiles, axis=1)


def write_sheets(entries: Sequence[Entry], folder: Path, name: str, most: int) -> list[Path]:
    """PNG sheets `name`-00.png ... of at most `most` entries, taken evenly; sheets of an earlier run are removed."""
    if len(entries) > most:
        entries = [entries[place] for place in np.linspace(0, len(entries) - 1, most).round().astype(int)]
    pages = [entries[at : at + ROWS * COLUMNS] for at in range(0, len(entries), ROWS * COLUMNS)]
    paths = [folder / f"{name}-{number:02d}.png" for number in range(len(pages))]
    for path, page in zip(paths, pages, strict=True):
        with write_aside(path) as aside:
            _sheet(page).save(aside, "PNG")
    for path in folder.glob(f"{name}-*.png"):
        if path not in paths:
            path.unlink()
    return paths


def _sheet(entries: Sequence[Entry]):
    from PIL import Image, ImageDraw, ImageFont

    strips = []
    for entry in entries:
        with Image.open(entry.strip) as strip:
            strips.append(strip.convert("RGB"))
    wide = max(240, *(strip.width for strip in strips)) + GAP
    rows = -(-len(entries) // COLUMNS)
    sheet = Image.new("RGB", (wide * min(COLUMNS, len(entries)) + GAP, rows * (TALL + LABEL + GAP) + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (entry, strip) in enumerate(zip(entries, strips, strict=True)):
        x, y = GAP + place % COLUMNS * wide, GAP + place // COLUMNS * (TALL + LABEL + GAP)
        pen.text((x, y), _fitting(entry.label, pen, font, wide - GAP), INK, font)
        sheet.paste(strip, (x, y + LABEL))
    return sheet


def _fitting(text: str, pen, font, width: int) -> str:
    text = text.encode("latin-1", "replace").decode("latin-1")  # what the built-in font can draw
    while len(text) > 8 and pen.textlength(text, font) > width:
        text = text[: len(text) // 2 - 3] + "…" + text[len(text) // 2 + 3 :] if "…" not in text else _shorter(text)
    return text


def _shorter(text: str) -> str:
    head, _, tail = text.partition("…")
    return f"{head[:-1]}…{tail}" if len(head) > len(tail) else f"{head}…{tail[1:]}"

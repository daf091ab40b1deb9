"""The demo's pictures: a contact sheet, and one video in which all clips play side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .demo import VARIANTS, Member, Take

CELL = 192  # pixels of a side
_SMALL = CELL // 3
_GAP, _LABEL = 6, 22
_PAPER, _INK = (250, 249, 246), (40, 40, 44)
REFERENCE = "reference"
_SHOWN = (0, 4, 8)


def contact_sheet(cast: Sequence[Member], takes: Sequence[Take]) -> np.ndarray:
    """uint8 [H,W,3]: a row per person, the reference and a column per variant; the middle frame large, below it the
    first, the middle and the last one."""
    from PIL import Image

    sheet, pen, font = _paper(len(cast), CELL + _SMALL)
    for column, title in enumerate((REFERENCE, *VARIANTS)):
        pen.text((_left(column), 4), title, fill=_INK, font=font)
    for row, member in enumerate(cast):
        top = _top(row, CELL + _SMALL)
        pen.text((_left(0), top - 16), f"person {member.seed}: {member.prompt}", fill=_INK, font=font)
        sheet.paste(_scaled(member.picture, CELL), (_left(0), top))
        for take in (each for each in takes if each.member == row):
            left = _left(1 + VARIANTS.index(take.variant))
            sheet.paste(_scaled(take.frames[_SHOWN[1]], CELL), (left, top))
            for place, number in enumerate(_SHOWN):
                small = _scaled(take.frames[number], _SMALL, Image.Resampling.NEAREST)
                sheet.paste(small, (left + place * _SMALL, top + CELL))
    return np.asarray(sheet)


def side_by_side(cast: Sequence[Member], takes: Sequence[Take], rounds: int = 3) -> np.ndarray:
    """uint8 [T,H,W,3]: all clips at once, forwards and backwards, `rounds` times; even sides, as H.264 wants them."""
    count = len(takes[0].frames)
    frames = []
    for number in range(count):
        sheet, pen, font = _paper(len(cast), CELL)
        for column, title in enumerate((REFERENCE, *VARIANTS)):
            pen.text((_left(column), 4), title, fill=_INK, font=font)
        for row, member in enumerate(cast):
            top = _top(row, CELL)
            pen.text((_left(0), top - 16), member.prompt, fill=_INK, font=font)
            sheet.paste(_scaled(member.picture, CELL), (_left(0), top))
        for take in takes:
            place = _left(1 + VARIANTS.index(take.variant)), _top(take.member, CELL)
            sheet.paste(_scaled(take.frames[number], CELL), place)
        frames.append(np.asarray(sheet))
    there_and_back = [*frames, *frames[-2:0:-1]] if count > 1 else frames
    return np.stack(there_and_back * rounds + frames[:1])


def _paper(rows: int, height: int):
    """An empty sheet, a pen and a font."""
    from PIL import Image, ImageDraw, ImageFont

    size = _left(1 + len(VARIANTS)), _top(rows, height) - _LABEL + _GAP
    sheet = Image.new("RGB", tuple(side + side % 2 for side in size), _PAPER)
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(12)


def _left(column: int) -> int:
    return _GAP + column * (CELL + _GAP)


def _top(row: int, height: int) -> int:
    return _LABEL + _LABEL + row * (height + _LABEL)


def _scaled(picture: np.ndarray, side: int, how=None):
    from PIL import Image

    return Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC if how is None else how)

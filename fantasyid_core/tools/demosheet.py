"""The demo's pictures: a sheet that shows what was edited, and one video with all clips side by side.

The sheet has a row for each person: the reference, the plain video, and for every edit the video beside the true render
of the edited head. The outline of the plain video is drawn over the edits. A bar below them shows how far the edit has
moved the video, and a mark shows how far it should have moved. Below every row is a film strip of the plain video and
of each edit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..people.instruments.silhouette import coverage
from .demo import EDITS, MEASURED, PLAIN, Member, Take, facing

CELL = 224  # pixels of a side
STRIP = 5  # frames of a film strip
_COVERED = 200  # of 255: from there on a pixel is the person's
_GAP, _LABEL, _BAR = 8, 20, 30
_PAPER, _INK, _PALE = (250, 249, 246), (40, 40, 44), (214, 212, 206)
_MOVED, _WANTED, OUTLINE = (52, 122, 190), (214, 70, 60), (255, 70, 160)
COLUMNS = ("reference", PLAIN, *(title for name in EDITS for title in (name, "should be")))


def contact_sheet(cast: Sequence[Member], takes: Sequence[Take], rows: Sequence[dict]) -> np.ndarray:
    """uint8 [H,W,3]. rows: the scores of the takes (`score_takes`), in their order."""
    strip = (_width() - 2 * _GAP) // (STRIP * (1 + len(EDITS)))
    height = CELL + _BAR + strip + _GAP
    sheet, pen, font = _paper(len(cast), height)
    _titles(pen, font)
    for row, member in enumerate(cast):
        top, own = _top(row, height), [take for take in takes if take.member == row]
        scores = {take.variant: score for take, score in zip(takes, rows, strict=True) if take.member == row}
        pen.text((_left(0), top - 16), f"person {member.seed}: {member.prompt}", fill=_INK, font=font)
        for column, picture in enumerate(panels(member, own, facing(member, len(own[0].frames)))):
            sheet.paste(_image(picture), (_left(column), top))
        for place, name in enumerate(EDITS):
            moved, wanted = (scores[name][f"{who}{MEASURED[name]}"] for who in ("", "true_"))
            _bar(pen, font, (_left(2 + 2 * place), top + CELL + 4), MEASURED[name], moved, wanted)
        _strips(sheet, own, top + CELL + _BAR, strip)
    return np.asarray(sheet)


def side_by_side(cast: Sequence[Member], takes: Sequence[Take], rounds: int = 3) -> np.ndarray:
    """uint8 [T,H,W,3]: all clips at once, forwards and backwards, `rounds` times; even sides, as H.264 wants them."""
    count = len(takes[0].frames)
    frames = []
    for number in range(count):
        sheet, pen, font = _paper(len(cast), CELL)
        _titles(pen, font)
        for row, member in enumerate(cast):
            top = _top(row, CELL)
            pen.text((_left(0), top - 16), member.prompt, fill=_INK, font=font)
            own = [take for take in takes if take.member == row]
            for column, picture in enumerate(panels(member, own, number)):
                sheet.paste(_image(picture), (_left(column), top))
        frames.append(np.asarray(sheet))
    return there_and_back(np.stack(frames), rounds)


def there_and_back(frames: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Frames [T,...] forwards and backwards, `rounds` times."""
    both = np.concatenate([frames, frames[-2:0:-1]]) if len(frames) > 1 else frames
    return np.concatenate([both] * rounds + [frames[:1]])


def panels(member: Member, takes: Sequence[Take], number: int) -> list[np.ndarray]:
    """The pictures of `COLUMNS` in frame `number`, uint8 [CELL,CELL,3] each; takes: those of the member."""
    by_name = {take.variant: take for take in takes}
    plain = by_name[PLAIN]
    shown = [enlarged(member.picture), enlarged(plain.frames[number])]
    for name in EDITS:
        take = by_name[name]
        for frames, as_is in ((take.frames, plain.frames), (take.true, plain.true)):
            shown.append(outlined(enlarged(frames[number]), as_is[number]))
    return shown


def outlined(picture: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`picture` [CELL,CELL,3] with the outline of the person in `other` [64,64,3], two pixels wide."""
    inside = person_in(other)
    inner = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(inside, step, axis)
    line = inside & ~inner
    line = line | np.roll(line, 1, 0) | np.roll(line, 1, 1)
    line[[0, -1]] = line[:, [0, -1]] = False
    return np.where(line[..., None], np.array(OUTLINE, np.uint8), picture)


def person_in(picture: np.ndarray) -> np.ndarray:  # uint8 [64,64,3] -> bool [CELL,CELL]
    """The mask of a person in front of a plain background, without holes."""
    from PIL import Image, ImageDraw

    covered = enlarged((255 * coverage(picture[None])[0]).astype(np.uint8)) >= _COVERED
    mask = Image.fromarray(covered.astype(np.uint8) * 255).copy()
    for corner in ((0, 0), (CELL - 1, 0)):
        if mask.getpixel(corner) == 0:
            ImageDraw.floodfill(mask, corner, 128)
    return np.asarray(mask) != 128


def enlarged(picture: np.ndarray, side: int = CELL) -> np.ndarray:
    """uint8 [H,W,3] or [H,W] -> a square of `side` pixels."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def _bar(pen, font, place: tuple[int, int], what: str, moved: float, wanted: float) -> None:
    """A bar for how far the edit moved the video, and a mark for how far it should have."""
    left, top = place
    length = 2 * CELL + _GAP
    unit = 0.75 * length / max(abs(wanted), 1e-6)
    sign = 1 if wanted >= 0 else -1
    reach = float(np.clip(sign * moved * unit, 0, length))
    pen.rectangle((left, top, left + length, top + 8), fill=_PALE)
    pen.rectangle((left, top, left + reach, top + 8), fill=_MOVED)
    mark = left + abs(wanted) * unit
    pen.rectangle((mark - 1, top - 3, mark + 1, top + 11), fill=_WANTED)
    label = f"{what.replace('_', ' ')}: moved {moved:+.2f}, should have moved {wanted:+.2f}"
    pen.text((left, top + 11), label, fill=_INK, font=font)


def _strips(sheet, takes: Sequence[Take], top: int, side: int) -> None:
    """A film strip of every take, beside each other."""
    for place, take in enumerate(takes):
        chosen = np.linspace(0, len(take.frames) - 1, STRIP).round().astype(int)
        for column, number in enumerate(chosen):
            left = _GAP + (place * STRIP + column) * side + place * _GAP
            sheet.paste(_image(enlarged(take.frames[number], side - 1)), (left, top))


def _titles(pen, font) -> None:
    for column, title in enumerate(COLUMNS):
        pen.text((_left(column), 4), title, fill=_INK, font=font)


def _paper(rows: int, height: int):
    """An empty sheet, a pen and a font."""
    from PIL import Image, ImageDraw, ImageFont

    size = _width(), _top(rows, height) - _LABEL + _GAP
    sheet = Image.new("RGB", tuple(side + side % 2 for side in size), _PAPER)
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(13)


def _width() -> int:
    return _left(len(COLUMNS))


def _left(column: int) -> int:
    return _GAP + column * (CELL + _GAP)


def _top(row: int, height: int) -> int:
    return _LABEL + _LABEL + row * (height + _LABEL)


def _image(picture: np.ndarray):
    from PIL import Image

    return Image.fromarray(picture)

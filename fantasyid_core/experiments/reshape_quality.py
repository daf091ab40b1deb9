"""How true a reshaped video is: `python -m fantasyid_core.experiments.reshape_quality --out DIR`.

Drawn people turn, talk and blink. Their video is reshaped by each of the sliders that are used most, at 0.5 to either
side, and compared with the video that is drawn of the edited head (`people.instruments.reshaping`). The table says what
was reached and what is wanted. DIR receives it, and sheets of before, reshaped and true frames; `--json` writes the
numbers. Hard cases are drawn as well (`reshape_cases`): a bar before the face, a profile, a cut, a lost face, two
people. The command needs numba.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from ..people.instruments.comparing import psnr
from ..people.instruments.reshaping import Score, Truth, compare, draw_lively, truth_of
from ..people.person import HELD_OUT_FROM
from ..shape.reshape import ReshapedFrame, reshape_frames
from ..tools.processor import processor_name
from .clip_pairs import SLIDERS
from .reshape_cases import CASES, draw_case
from .reshape_sheets import save_rows

VALUES = -0.5, 0.5
FIRST_PERSON = HELD_OUT_FROM + 3
WANTED = {
    "psnr": (">=", 30.0), "slope": ("0.9..1.1", (0.9, 1.1)), "misplaced": ("<=", 1.5), "landmarks": ("<=", 1.5),
    "outside": ("<", 0.5), "flicker": ("<=", 1.03), "jitter": ("<=", 1.0), "back": (">=", 35.0),
}  # fmt: skip
Reshape = Callable[[np.ndarray, dict], Iterable[ReshapedFrame]]
"""(frames uint8 [T,H,W,3], {slider: value}) -> frames."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--people", type=int, default=1, help="how many (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=12, help="of each video (default: %(default)s)")
    parser.add_argument("--sliders", nargs="+", choices=SLIDERS, default=list(SLIDERS), metavar="NAME")
    parser.add_argument("--no-cases", action="store_true", help="without the hard cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the numbers")
    parser.add_argument("--out", type=Path, metavar="DIR", help="for the table and the sheets")
    given = parser.parse_args(arguments)
    rows = measure(reshape_frames, range(FIRST_PERSON, FIRST_PERSON + given.people), given.sliders, given)
    table = f"{as_table(rows)}\n{machine(given)}"
    print(table)
    if given.json:
        with write_aside(given.json) as aside:
            aside.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if given.out:
        with write_aside(given.out / "table.md") as aside:
            aside.write_text(table + "\n", encoding="utf-8")
        if not given.no_cases:
            save_cases(reshape_frames, given.size, given.out)
    return 0


def measure(reshape: Reshape, seeds: Sequence[int], sliders: Sequence[str], given) -> list[dict]:
    """A row for each person, slider and value."""
    rows = []
    for seed in seeds:
        before = draw_lively(seed, given.frames, given.size)
        for slider in sliders:
            made = [_measured(reshape, truth_of(before, slider, value)) for value in VALUES]
            rows += [{"person": seed, **row} for _, _, row in made]
            if given.out:
                save_sheet(made, given.out / f"{slider}_{seed}.png")
            print(_line(rows[-2:]), file=sys.stderr, flush=True)
    return rows


def _measured(reshape: Reshape, truth: Truth) -> tuple[Truth, np.ndarray, dict]:
    start, before = time.perf_counter(), truth.before.frames
    made = list(reshape(before, {truth.slider: truth.value}))
    taken = (time.perf_counter() - start) / len(before)
    ours = pictures_of(made)
    back = pictures_of(reshape(ours, {truth.slider: -truth.value}))
    row = compare(ours, [each.movement for each in made], truth)._asdict()
    row |= {"back": psnr(back, before, truth.around), "seconds": taken}
    return truth, ours, {"slider": truth.slider, "value": truth.value, **row}


def pictures_of(made: Iterable[ReshapedFrame]) -> np.ndarray:
    return np.stack([each.picture for each in made])


def _line(rows: list[dict]) -> str:
    told = [f"{row['value']:+.1f}: {row['psnr']:.1f} dB, slope {row['slope']:.2f}" for row in rows]
    return f"{rows[0]['person']} {rows[0]['slider']}: " + "; ".join(told)


def as_table(rows: list[dict]) -> str:
    """Markdown: a row per slider, means over people and both values and the worst of them; what is wanted below."""
    names = [*Score._fields, "back", "seconds"]
    lines = ["| slider | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    for slider in dict.fromkeys(row["slider"] for row in rows):
        lines.append(_row(slider, [row for row in rows if row["slider"] == slider], names))
    lines.append(_row("all", rows, names))
    lines.append("| wanted | " + " | ".join(_wish(name) for name in names) + " |")
    return "\n".join(lines)


def _row(title: str, rows: list[dict], names: list[str]) -> str:
    cells = []
    for name in names:
        values = np.array([row[name] for row in rows])
        worst = {">=": (values.min,), "<=": (values.max,), "<": (values.max,), "0.9..1.1": (values.min, values.max)}
        told = ", ".join(f"{each():.2f}" for each in worst.get(WANTED.get(name, ("",))[0], ()))
        cells.append(f"{values.mean():.2f}" + (f" ({told})" if told else ""))
    return f"| {title} | " + " | ".join(cells) + " |"


def _wish(name: str) -> str:
    sign, number = WANTED.get(name, ("", ""))
    return sign if ".." in sign else f"{sign} {number}".strip()


def machine(given) -> str:
    import cv2
    import torch

    versions = f"torch {torch.__version__}, OpenCV {cv2.__version__}, NumPy {np.__version__}"
    videos = f"{given.people} people, {given.frames} frames of {given.size} x {given.size} pixels"
    return f"{processor_name()}; {versions}; {videos}; sliders at {VALUES[0]} and {VALUES[1]}."


def save_sheet(made: list, path: Path) -> None:
    """A row of frames before, and for each value rows of reshaped and true ones."""
    pictures, titles = [made[0][0].before.frames], ["before"]
    for truth, ours, _ in made:
        pictures += [ours, truth.true.frames]
        titles += [f"{truth.slider} {truth.value:+.1f}, {word}" for word in ("reshaped", "true")]
    save_rows(pictures, titles, path)


def save_cases(reshape: Reshape, size: int, folder: Path) -> None:
    """Sheets of the hard cases, before and reshaped."""
    for name in CASES:
        frames = draw_case(name, size)
        edit = {"face_width": 0.6, "jaw_width": -0.4, "nose_length": 0.5}
        save_rows([frames, pictures_of(reshape(frames, edit))], ["before", "reshaped"], folder / f"case_{name}.png")


if __name__ == "__main__":
    sys.exit(main())

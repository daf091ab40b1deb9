"""Writes golden_edit.json, which the Python and the JavaScript tests read: `python tests/web/make_golden.py`.

The displacements are made up; what an edit's text means, and what vertices it gives, is computed here in the plainest
way, by neither of the two implementations.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("golden_edit.json")
STEP, LEFT_STEPS = 1e-6, 65535
CONTROLS = {"face_width": (-1, 1), "nose_width": (-1, 1), "age": (-1, 1), "flame_1": (-2, 2)}
EDITS = {  # text of the edit -> values (left, right) that it means
    "{}": {},
    "": {},
    '{"version":1,"values":{"face_width":0.5}}': {"face_width": (0.5, 0.5)},
    '{"version":1,"values":{"face_width":-0.123456,"age":1,"flame_1":-1.75}}': {
        "face_width": (-0.123456, -0.123456),
        "age": (1, 1),
        "flame_1": (-1.75, -1.75),
    },
    '{"version":1,"values":{"nose_width":{"left":0.3,"right":-0.7}},"sides":["left"],"pinned":["age"]}': {
        "nose_width": (0.3, -0.7)
    },
    '{"version":1,"values":{"nose_width":{"right":1},"age":[0.25,0]}}': {"nose_width": (0, 1), "age": (0.25, 0)},
    '{"version":1,"values":{"face_width":9,"flame_1":-9}}': {"face_width": (1, 1), "flame_1": (-2, -2)},
    '{"version":1,"values":{"face_width":"wide","nose_width":null,"age":true,"third_eye":1}}': {},
    '{"face_width":0.75,"nose_width":-0.25}': {"face_width": (0.75, 0.75), "nose_width": (-0.25, -0.25)},
    '{"values":{"age":0.5}}': {"age": (0.5, 0.5)},
}


PLACES = (0, 0), (0.2, 0.1), (-0.1, 0.3), (0.15, -0.35)  # inside every polygon


def golden() -> dict:
    draw = np.random.default_rng(5)
    vertices = draw.uniform(-0.1, 0.1, (12, 3)).astype(np.float32)
    left = np.concatenate([[0, LEFT_STEPS], draw.integers(0, LEFT_STEPS + 1, 10)])
    steps = draw.integers(-20000, 20001, (len(CONTROLS), 12, 3))
    steps[1, 4:] = 0  # few vertices: packed as a list of them
    return {
        "step": STEP,
        "left_steps": LEFT_STEPS,
        "vertices": [[float(value) for value in row] for row in vertices],
        "left": left.tolist(),
        "controls": {
            name: {"low": low, "high": high, "steps": rows.tolist()}
            for (name, (low, high)), rows in zip(CONTROLS.items(), steps, strict=True)
        },
        "edits": [
            {"text": text, "values": values, "vertices": _edited(vertices, left, steps, values)}
            for text, values in EDITS.items()
        ],
        "circle": [
            {"x": x, "y": y, "count": n, "weights": _shares(x, y, n)} for n in (1, 2, 3, 4, 5, 6) for x, y in PLACES
        ],
    }


def _shares(x: float, y: float, count: int) -> list:
    """Wachspress' coordinates by areas of triangles, as he gave them."""
    if count < 3:
        return [1.0] if count == 1 else [(1 + y) / 2, (1 - y) / 2]
    people = [np.array([np.sin(2 * np.pi * k / count), np.cos(2 * np.pi * k / count)]) for k in range(count)]
    here = np.array([x, y])

    def area(a, b, c):
        return (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]

    weights = []
    for k in range(count):
        before, mine, after = people[k - 1], people[k], people[(k + 1) % count]
        weights.append(area(before, mine, after) / (area(here, before, mine) * area(here, mine, after)))
    return np.round(np.array(weights) / np.sum(weights), 12).tolist()


def _edited(vertices: np.ndarray, left: np.ndarray, steps: np.ndarray, values: dict) -> list:
    moved = vertices.astype(np.float64)
    for row, name in zip(steps, CONTROLS, strict=True):
        on_left, on_right = values.get(name, (0, 0))
        share = (left / LEFT_STEPS)[:, None]
        moved = moved + (share * on_left + (1 - share) * on_right) * row * STEP
    return np.round(moved, 9).tolist()


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden()) + "\n", encoding="utf-8")

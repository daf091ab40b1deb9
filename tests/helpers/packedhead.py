"""Reads in Python what the browser gets: a head and its controls as one block of bytes."""

from __future__ import annotations

import json
import struct

import numpy as np

from fantasyid_core.shape.edit.controlpack import MAGIC, VERSION
from fantasyid_core.shape.edit.controls import FaceControls
from fantasyid_core.shape.edit.controltable import CONTROLS, Slider

SHOWN = ("label", "group", "help", "low", "high")


def unpack_controls(content: bytes) -> tuple[np.ndarray, np.ndarray | None, FaceControls]:
    """Vertices np.float32 [V,3], faces np.int64 [F,3] or None, and controls of a packed head."""
    version, length = struct.unpack("<II", content[4:12])
    assert content[:4] == MAGIC and version == VERSION
    header, body = json.loads(content[12 : 12 + length]), content[12 + length :]
    vertices = _array(body, header["vertices"])
    controls, steps = {}, np.zeros((len(header["controls"]), *vertices.shape), np.int16)
    for row, entry in zip(steps, header["controls"], strict=True):
        known = CONTROLS.get(entry["name"])
        shown = {key: entry[key] for key in SHOWN}
        controls[entry["name"]] = Slider(measure=known.measure if known else (), amount=None, **shown)
        row[slice(None) if entry["indices"] is None else _array(body, entry["indices"])] = _array(body, entry["steps"])
    faces = None if header["faces"] is None else _array(body, header["faces"]).astype(np.int64)
    return vertices, faces, FaceControls(controls, steps, _array(body, header["left"]))


def _array(body: bytes, place: dict) -> np.ndarray:
    kind = np.dtype(place["type"]).newbyteorder("<")
    count = int(np.prod(place["shape"]))
    return np.frombuffer(body, kind, count, place["offset"]).reshape(place["shape"])

"""Wavefront .obj: vertices and faces, in the order in which the file names them.

Format: Alias|Wavefront, "Object Files (.obj)", appendix B1 of the Advanced Visualizer's manual. Texture coordinates,
normals and materials are passed over: they never split a vertex.
"""

from __future__ import annotations

import re

import numpy as np

from .meshtext import Parts, fans, numbers, plain_text


def read_obj(content: bytes) -> tuple[np.ndarray, np.ndarray | None, Parts]:
    """Vertices np.float64 [V,3], triangles np.int64 [F,3] or None, and the objects between which they are divided.

    Negative indices count from the last vertex before the face. Raises ValueError for lines that are no numbers and
    for faces that name no vertex.
    """
    vertices: list[list[float]] = []
    polygons: list[list[int]] = []
    blocks = _Blocks()
    for line in re.sub(rb"\\[ \t]*\n", b" ", plain_text(content)).split(b"\n"):
        kind, *words = line.partition(b"#")[0].split() or [b""]
        if kind == b"v":
            vertices.append(_position(words))
            blocks.vertex()
        elif kind == b"f":
            polygons.append([_corner(word, len(vertices)) for word in words])
            blocks.face()
        elif kind in (b"o", b"g"):
            blocks.name = b" ".join(words).decode("utf-8", "replace")
    faces = fans(polygons) if polygons else None
    return np.array(vertices, np.float64).reshape(-1, 3), faces, blocks.parts()


class _Blocks:
    """Runs of vertices between faces: an object's vertices stand before its faces, whose name is the object's."""

    def __init__(self):
        self.name = ""
        self._open, self._names, self._counts = False, [], []

    def vertex(self) -> None:
        if not self._open:
            self._open = True
            self._names.append(self.name)
            self._counts.append(0)
        self._counts[-1] += 1

    def face(self) -> None:
        if self._open:
            self._open, self._names[-1] = False, self.name

    def parts(self) -> Parts:
        sizes: dict[str, int] = {}
        for name, count in zip(self._names, self._counts, strict=True):
            sizes[name] = sizes.get(name, 0) + count
        return Parts(sizes.items())


def _position(words: list[bytes]) -> list[float]:
    if len(words) < 3:
        raise ValueError(f"a vertex has {len(words)} numbers where x, y and z belong")
    return numbers(words[:3])  # a weight or a colour may follow


def _corner(word: bytes, count: int) -> int:
    """The vertex, from 0, that a corner such as 7, 7/1, 7//3 or -1 names when `count` vertices stand before it."""
    text = word.partition(b"/")[0]
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"a face names the vertex {text[:20].decode('utf-8', 'replace')!r}") from None
    index = number + count if number < 0 else number - 1
    if index < 0:
        raise ValueError(f"a face names the vertex {number}, of {count} before it; they are counted from 1")
    return index

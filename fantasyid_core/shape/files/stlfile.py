"""Stereolithography .stl, text or binary: the corners of its triangles, for it holds no vertices."""

from __future__ import annotations

import re

import numpy as np

from .meshtext import Parts, numbers, plain_text

_HEAD = 84  # bytes of a binary file before its first triangle; the last four are the number of triangles
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(content: bytes) -> tuple[np.ndarray, Parts]:
    """The corners np.float64 [3F,3] of the triangles, and the solids with their corners.

    Raises ValueError for a file that ends too early and for words that are no numbers.
    """
    text = plain_text(content)
    if re.match(rb"\s*solid\b", text) and re.search(rb"^\s*(facet|endsolid)\b", text, re.MULTILINE):
        return _read_text(text)
    if len(content) < _HEAD:
        raise ValueError(f"a binary .stl file has at least {_HEAD} bytes")
    count = int.from_bytes(content[_HEAD - 4 : _HEAD], "little")
    if len(content) < _HEAD + count * _TRIANGLE.itemsize:
        raise ValueError(f"the file ends within its {count} triangles")
    corners = np.frombuffer(content, _TRIANGLE, count, _HEAD)["corners"].reshape(-1, 3).astype(np.float64)
    return corners, Parts([("", len(corners))])


def _read_text(text: bytes) -> tuple[np.ndarray, Parts]:
    corners, parts = [], Parts()
    for kind, rest in re.findall(rb"^[ \t]*(solid|vertex)\b([^\n]*)", text, re.MULTILINE):
        if kind == b"vertex":
            words = rest.split()
            if len(words) != 3:
                raise ValueError(f"a corner has {len(words)} numbers where x, y and z belong")
            corners.append(numbers(words))
            parts[-1] = (parts[-1][0], parts[-1][1] + 1)
        else:
            parts.append((rest.strip().decode("utf-8", "replace")[:40], 0))
    if len(corners) % 3:
        raise ValueError("the file ends within a triangle")
    return np.array(corners, np.float64).reshape(-1, 3), Parts(part for part in parts if part[1])

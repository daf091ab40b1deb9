"""Shared parts of the text formats of 3D files: encoding, line ends, and numbers."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

import numpy as np

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Refused(ValueError):
    """A file that is understood and not taken; the text gives the reason and what to do, without the file's name."""


class Parts(list):
    """(name, number of vertices) of every object in a file, in the file's order."""

    def describe(self) -> str:
        """For error texts: that one object was expected, and which there are."""
        sizes = ", ".join(f"{count} ({name})" if name else str(count) for name, count in self)
        return f"it holds {len(self)} objects with {sizes} vertices; expected one, the head. Export the head alone."


def plain_text(content: bytes) -> bytes:
    """The text without a byte order mark, as one byte per letter, with lines that end in a line feed."""
    if content.startswith(_UTF16):
        content = content.decode("utf-16", "replace").encode()
    return content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def numbers(words: Iterable[bytes]) -> list[float]:
    """Numbers with a decimal point, or a decimal comma as some systems write it; ValueError naming another word."""
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            values.append(_with_comma(word))
    return values


def fans(polygons: Iterable) -> np.ndarray:
    """Polygons, lists of corners, cut into triangles np.int64 [F,3]: fans about their first corners."""
    triangles = [(corners[0], *pair) for corners in polygons for pair in zip(corners[1:-1], corners[2:], strict=True)]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _with_comma(word: bytes) -> float:
    try:
        return float(word.replace(b",", b"."))
    except ValueError:
        shown = word[:20].decode("utf-8", "replace")
        raise ValueError(f"it has {shown!r} where a number belongs, such as 0.25") from None

"""Stanford .ply, text or binary: the vertices, and the triangles of its faces.

Format: Greg Turk, "The PLY Polygon File Format", 1994. Every element and property is found by its name, whatever
stands before or behind it; bytes behind the last one that is needed mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .meshtext import fans, numbers, plain_text

_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_KINDS = {
    **{"char": "i1", "short": "i2", "int": "i4", "uchar": "u1", "ushort": "u2", "uint": "u4"},
    **{"int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_CORNERS = ("vertex_indices", "vertex_index")


class _Property(NamedTuple):
    name: str
    kind: np.dtype
    counts: np.dtype | None  # the type of a list's length; None for a single value


class _Element(NamedTuple):
    name: str
    count: int
    properties: list[_Property]

    @property
    def lists(self) -> list[str]:
        return [each.name for each in self.properties if each.counts is not None]


def read_ply(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices np.float64 [V,3] and triangles np.int64 [F,3], or None where the file has no faces.

    Polygons are cut into fans. Raises ValueError for a header that is none, for a file that ends too early, for words
    that are no numbers, and for vertices without x, y and z.
    """
    order, elements, body = _header(content)
    source = _Binary(body) if order else _Text(plain_text(body).split())
    vertices, faces = np.zeros((0, 3)), None
    wanted = [place for place, each in enumerate(elements) if each.name in ("vertex", "face")]
    for element in elements[: max(wanted, default=-1) + 1]:
        columns = source.read(element)
        if element.name == "vertex":
            vertices = _positions(element, columns)
        elif element.name == "face" and element.count and (corners := _corner_list(element)) is not None:
            faces = fans(columns[corners])
    return vertices, faces


def _header(content: bytes) -> tuple[str, list[_Element], bytes]:
    """The byte order ("" for text), the elements in the file's order, and what follows the header."""
    text = content if content.startswith(b"ply") else plain_text(content)
    first = re.match(rb"ply[ \t]*(\r\n|\n|\r)", text)
    # Behind a header whose lines end in a carriage return, a line feed is the body's first byte.
    end = re.search(rb"[\r\n]end_header[ \t]*(?:" + (first[1] if first else b"\n") + rb"|$)", text) or re.search(
        rb"[\r\n]end_header[ \t]*(?:\r\n|\n|\r|$)", text
    )
    if first is None or end is None:
        raise ValueError("its header is not that of a .ply file, from 'ply' to 'end_header'")
    order, elements = None, []
    for words in filter(None, map(str.split, plain_text(text[: end.start()]).decode("latin1").split("\n"))):
        if words[0] == "format" and len(words) > 1:
            order = _ORDERS.get(words[1])
        elif words[0] == "element":
            elements.append(_element(words))
        elif words[0] == "property" and elements:
            elements[-1].properties.append(_property(words, order or ""))
    if order is None:
        raise ValueError(f"its header names none of the formats {', '.join(_ORDERS)}")
    return order, elements, text[end.end() :]


def _element(words: list[str]) -> _Element:
    if len(words) < 3 or not words[2].isdecimal():
        raise ValueError(f"its header has the line {' '.join(words)[:60]!r}, without a name and a number")
    return _Element(words[1].lower(), int(words[2]), [])


def _property(words: list[str], order: str) -> _Property:
    kinds = words[2:4] if words[1:2] == ["list"] else words[1:2]
    if len(words) < len(kinds) + 2 or not kinds or not set(kinds) <= set(_KINDS):
        raise ValueError(f"its header has the line {' '.join(words)[:60]!r}, which names no type and property of .ply")
    *counts, kind = (np.dtype(order + _KINDS[each]) for each in kinds)
    if counts and counts[0].kind == "f":
        raise ValueError(f"its header has the line {' '.join(words)[:60]!r}: a list's length is a whole number")
    return _Property(words[-1].lower(), kind, counts[0] if counts else None)


def _positions(element: _Element, columns: dict) -> np.ndarray:
    missing = [axis for axis in "xyz" if axis not in columns or axis in element.lists]
    if missing:
        raise ValueError(f"its vertices have no {' and no '.join(missing)}")
    return np.column_stack([np.asarray(columns[axis], np.float64) for axis in "xyz"])


def _corner_list(element: _Element) -> str | None:
    """The list that holds a face's corners: the one with the usual name, else the only list of whole numbers."""
    whole = [each.name for each in element.properties if each.counts is not None and each.kind.kind != "f"]
    named = [name for name in _CORNERS if name in element.lists]
    return named[0] if named else whole[0] if len(whole) == 1 else None


class _Binary:
    """The body of a binary file, element after element."""

    def __init__(self, body: bytes):
        self.body, self.at = body, 0

    def read(self, element: _Element) -> dict:
        """Name -> values [count]; of a list: its values for each one."""
        if not element.count:
            return {each.name: np.zeros(0, each.kind) for each in element.properties}
        if element.lists:
            same = self._same_sizes(element)
            return self._records(element, same) if same else self._walk(element)
        return self._records(element, {})

    def _records(self, element: _Element, sizes: dict[str, int]) -> dict:
        record = np.dtype(list(_fields(element, sizes)))
        self._need(element, element.count * record.itemsize)
        rows = np.frombuffer(self.body, record, element.count, self.at) if record.itemsize else np.zeros(0, record)
        self.at += element.count * record.itemsize
        return {each.name: rows[each.name] for each in element.properties}

    def _same_sizes(self, element: _Element) -> dict[str, int] | None:
        """The lists' lengths when all `element.count` records have those of the first one, else None."""
        start = self.at
        first = self._walk(element._replace(count=1))
        self.at = start
        sizes = {name: len(first[name][0]) for name in element.lists}
        record = np.dtype(list(_fields(element, sizes)))
        if start + element.count * record.itemsize > len(self.body):
            return None
        rows = np.frombuffer(self.body, record, element.count, start)
        return sizes if all((rows[f"{name} count"] == size).all() for name, size in sizes.items()) else None

    def _walk(self, element: _Element) -> dict:
        columns = {each.name: [] for each in element.properties}
        for _ in range(element.count):
            for name, kind, counts in element.properties:
                size = 1 if counts is None else self._size(element, self._values(element, counts, 1)[0])
                values = self._values(element, kind, size)
                columns[name].append(values[0] if counts is None else values.tolist())
        return columns

    def _values(self, element: _Element, kind: np.dtype, size: int) -> np.ndarray:
        self._need(element, size * kind.itemsize)
        values = np.frombuffer(self.body, kind, size, self.at)
        self.at += size * kind.itemsize
        return values

    def _need(self, element: _Element, size: int) -> None:
        if self.at + size > len(self.body):
            raise ValueError(f"the file ends within its element {element.name!r}")

    @staticmethod
    def _size(element: _Element, size) -> int:
        if size < 0:
            raise ValueError(f"a list of its element {element.name!r} has {size} values")
        return int(size)


class _Text:
    """The words of a text file, element after element."""

    def __init__(self, words: list[bytes]):
        self.words, self.at = words, 0

    def read(self, element: _Element) -> dict:
        """Name -> values [count]; of a list: its values for each one."""
        columns = {each.name: [] for each in element.properties}
        for _ in range(element.count if element.properties else 0):
            for name, kind, counts in element.properties:
                size = 1 if counts is None else _Binary._size(element, int(self._take(element, 1)[0]))
                values = self._take(element, size)
                values = [int(value) for value in values] if kind.kind != "f" and counts is not None else values
                columns[name].append(values[0] if counts is None else values)
        return columns

    def _take(self, element: _Element, size: int) -> list[float]:
        words = self.words[self.at : self.at + size]
        if len(words) < size:
            raise ValueError(f"the file ends within its element {element.name!r}")
        self.at += size
        return numbers(words)


def _fields(element: _Element, sizes: dict[str, int]) -> Iterator[tuple]:
    for name, kind, counts in element.properties:
        if counts is None:
            yield name, kind
        else:
            yield f"{name} count", counts
            yield name, kind, (sizes[name],)

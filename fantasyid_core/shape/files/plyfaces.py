"""Binary .ply files whose polygons differ in size, as programs write them after turning triangles into quads.

trimesh takes the first polygon's size for all of them, so they are cut into triangles before it reads them.
Format: Greg Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_KINDS = {
    **{"char": "i1", "short": "i2", "int": "i4", "uchar": "u1", "ushort": "u2", "uint": "u4"},
    **{"int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}


class _Property(NamedTuple):
    kind: np.dtype
    counts: np.dtype | None  # the type of a list's length; None for a single value


def with_triangles(content: bytes) -> bytes:
    """A binary .ply file with its polygons cut into triangles, as fans; the vertices stay as they were.

    Whatever already holds nothing but triangles, or is no binary .ply with faces behind its vertices, comes
    back unchanged: its reader says what is wrong. Raises ValueError when the file ends within its faces.
    """
    head, _, body = content.partition(b"end_header")
    lines = head.splitlines()
    order, elements = _header(head.decode("latin1"))
    names = list(elements)
    if not order or "face" not in names or "vertex" not in names[: names.index("face")]:
        return content
    start = body.find(b"\n") + 1
    for name in names[: names.index("face")]:
        count, properties = elements[name]
        if any(each.counts for each in properties):
            return content
        start += count * sum(each.kind.itemsize for each in properties)
    count, properties = elements["face"]
    if _is_all_triangles(body[start:], count, properties):
        return content
    triangles = _triangles(body[start:], count, properties)
    packed = np.zeros(len(triangles), [("size", "u1"), ("corners", order + "i4", 3)])
    packed["size"], packed["corners"] = 3, triangles
    kept = [*lines[: next(i for i, line in enumerate(lines) if line.split()[:2] == [b"element", b"face"])]]
    kept += [b"element face %d" % len(packed), b"property list uchar int vertex_indices", b"end_header", b""]
    return b"\n".join(kept) + body[body.find(b"\n") + 1 : start] + packed.tobytes()


def _header(text: str) -> tuple[str, dict[str, tuple[int, list[_Property]]]]:
    """The byte order ("" for text) and, per element, its count and properties."""
    order, elements = "", {}
    for words in filter(None, map(str.split, text.splitlines())):
        if words[0] == "format":
            order = _ORDERS.get(words[1], "")
        elif words[0] == "element":
            properties: list[_Property] = []
            elements[words[1]] = int(words[2]), properties
        elif words[0] == "property" and words[1] == "list":
            properties.append(_Property(np.dtype(order + _KINDS[words[3]]), np.dtype(order + _KINDS[words[2]])))
        elif words[0] == "property":
            properties.append(_Property(np.dtype(order + _KINDS[words[1]]), None))
    return order, elements


def _is_all_triangles(body: bytes, count: int, properties: list[_Property]) -> bool:
    record = []
    for place, each in enumerate(properties):
        if each.counts is None:
            record.append((f"value{place}", each.kind))
        else:
            record += [(f"size{place}", each.counts), (f"list{place}", each.kind, 3)]
    sizes = [name for name, *_ in record if name.startswith("size")]
    if len(sizes) != 1 or len(body) < count * np.dtype(record).itemsize:
        return False
    return bool((np.frombuffer(body, record, count)[sizes[0]] == 3).all())


def _triangles(body: bytes, count: int, properties: list[_Property]) -> list[tuple[int, int, int]]:
    """All polygons' fans. The first list of a face holds its corners; other lists are skipped."""
    triangles, at = [], 0
    for _ in range(count):
        corners = None
        for kind, counts in properties:
            size = 1
            if counts is not None:
                size, at = int(np.frombuffer(body, counts, 1, at)[0]), at + counts.itemsize
                values = np.frombuffer(body, kind, size, at) if size > 0 else ()
                corners = values if corners is None else corners
            at += max(size, 0) * kind.itemsize
        corners = [] if corners is None else list(corners)
        triangles += [(corners[0], *pair) for pair in zip(corners[1:], corners[2:], strict=False)]
    if at > len(body):
        raise ValueError("the file ends within its faces")
    return triangles

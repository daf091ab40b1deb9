"""Binary glTF files as other programs write them, built by hand from arrays."""

import json
import struct

import numpy as np

KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Glb:
    """A document that is filled array by array; `content()` is the file."""

    def __init__(self, **document):
        self.document = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], **document}
        self.document.update(accessors=[], bufferViews=[])
        self.data = b""

    def view(self, content: bytes, **more) -> int:
        self.document["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **more}
        )
        self.data += content + b"\0" * (-len(content) % 4)
        return len(self.document["bufferViews"]) - 1

    def array(self, values: np.ndarray, stride: int = 0, **more) -> int:
        """The number of a new accessor; stride: bytes from one row to the next."""
        rows = values.reshape(len(values), -1)
        content = b"".join(row.tobytes().ljust(stride, b"\xff") for row in rows) if stride else rows.tobytes()
        view = self.view(content, **({"byteStride": stride} if stride else {}))
        return self.accessor(rows.dtype, len(rows), rows.shape[1], bufferView=view, **more)

    def accessor(self, kind, count: int, width: int, **more) -> int:
        self.document["accessors"].append(
            {"componentType": KINDS[np.dtype(kind).str[1:]], "count": count, "type": TYPES[width], **more}
        )
        return len(self.document["accessors"]) - 1

    def sparse(self, values: np.ndarray) -> int:
        """An accessor without data of its own: only the rows that are not zero."""
        rows = np.flatnonzero(values.any(axis=1))
        indices, changes = self.view(rows.astype("<u2").tobytes()), self.view(values[rows].tobytes())
        sparse = {
            "count": len(rows),
            "indices": {"bufferView": indices, "componentType": 5123},
            "values": {"bufferView": changes},
        }
        return self.accessor(values.dtype, len(values), values.shape[1], sparse=sparse)

    def content(self) -> bytes:
        self.document.setdefault("buffers", [{"byteLength": len(self.data)}])
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(self.data))
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        return head + chunks + struct.pack("<I4s", len(self.data), b"BIN\0") + self.data

"""Arrays of many clips on disk, made once: a folder of .npy files that are read where they lie.

Every part of `CHUNK` clips is its own file, written aside, with its checksum beside it. An interrupted run goes on
at the first part that is missing; a part that is damaged is made again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ..files.writing import write_aside

CHUNK = 256  # clips per file

Make = Callable[[range], dict[str, np.ndarray]]
Progress = Callable[[int, int], None]


class ClipCache:
    """Arrays by name, each with one row per clip, of the clips 0 .. count-1. `build` it before reading."""

    def __init__(self, folder: str | Path, count: int, chunk: int = CHUNK):
        self.folder, self.count, self.chunk = Path(folder), count, chunk
        self._open: dict[tuple[str, int], np.ndarray] = {}
        self._ensured: set[int] = set()

    def build(self, make: Make, progress: Progress | None = None) -> None:
        """Makes what is missing: make(range of clips) -> arrays with as many rows.

        Raises OSError when the folder cannot be written to; what is there already stays.
        """
        for part in self._parts():
            if not self._is_good(part):
                self._write(part, make(part))
            if progress is not None:
                progress(part.stop, self.count)

    def ensure(self, index: int, make: Make) -> None:
        """Makes the part that holds row `index`, unless it is there: for arrays that grow while they are read."""
        number = index // self.chunk
        if number not in self._ensured:
            start = number * self.chunk
            part = range(start, min(start + self.chunk, self.count))
            if not self._is_good(part):
                self._write(part, make(part))
            self._ensured.add(number)

    def rows(self, name: str, indices: Iterable[int]) -> np.ndarray:
        """The rows `indices` of the array `name`, in memory."""
        return np.stack([self.row(name, index) for index in indices])

    def row(self, name: str, index: int) -> np.ndarray:
        """Row `index` of the array `name`, in the file. IndexError outside of 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"There are clips 0 to {self.count - 1}, not {index}.")
        number = index // self.chunk
        if (name, number) not in self._open:
            self._open[name, number] = np.load(self._file(name, number), mmap_mode="r")
        return self._open[name, number][index % self.chunk]

    def _parts(self) -> Iterator[range]:
        return (range(start, min(start + self.chunk, self.count)) for start in range(0, self.count, self.chunk))

    def _file(self, name: str, number: int) -> Path:
        return self.folder / f"{name}-{number:05d}.npy"

    def _seal(self, part: range) -> Path:
        return self.folder / f"part-{part.start // self.chunk:05d}.json"

    def _write(self, part: range, arrays: dict[str, np.ndarray]) -> None:
        sums = {}
        for name, array in arrays.items():
            path = self._file(name, part.start // self.chunk)
            with write_aside(path) as aside, aside.open("wb") as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            sums[path.name] = _checksum(path)
        # Written last, because it marks the part as complete.
        with write_aside(self._seal(part)) as aside:
            aside.write_text(json.dumps({"rows": len(part), "crc32": sums}), encoding="utf-8")

    def _is_good(self, part: range) -> bool:
        try:
            seal = json.loads(self._seal(part).read_text(encoding="utf-8"))
            return seal["rows"] == len(part) and all(
                _checksum(self.folder / name) == value for name, value in seal["crc32"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            value = zlib.crc32(block, value)
    return value

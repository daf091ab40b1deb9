"""The index: index-00000.parquet ..., with the columns that `training.index_source` describes and some more."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ...files.writing import write_aside
from ...running.packages import MissingPackage, lacks

MEASURES = ("face", "score", "sharpness", "light", "motion")
"""Columns with what was measured, float; see `filters.measure`."""
WRITING = ".new-index"


def require_parquet():
    """The modules pyarrow and pyarrow.parquet; RuntimeError with the command where they are missing."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingPackage(lacks("Writing the index", ["pyarrow"])) from error


def write_index(rows: list[dict], folder: Path, shard: int) -> list[str]:
    """Writes all rows, `shard` in a file, and returns the files' names; an older index is replaced.

    The files are complete before the first takes its place. Raises OSError when they cannot be written; the older
    index is then as it was.
    """
    arrow, parquet = require_parquet()
    schema = _schema(arrow)
    names = [f"index-{number:05d}.parquet" for number in range(-(-len(rows) // shard))]
    aside = folder / WRITING
    try:
        for number, name in enumerate(names):
            part = [{key: row.get(key) for key in schema.names} for row in rows[number * shard : (number + 1) * shard]]
            with write_aside(aside / name) as path:
                parquet.write_table(arrow.Table.from_pylist(part, schema=schema), path)
        for old in sorted(folder.glob("index-*.parquet")):
            if old.name not in names:
                old.unlink()
        for name in names:
            (aside / name).replace(folder / name)
    finally:
        for left in aside.glob("*"):
            left.unlink()
        if aside.is_dir():
            aside.rmdir()
    return names


def _schema(arrow):
    text, whole, number = arrow.string(), arrow.int64(), arrow.float64()
    return arrow.schema(
        {
            "name": text,
            "video": text,
            "start": whole,
            "frames": whole,
            "step": whole,
            "caption": text,
            "references": arrow.list_(text),
            "own_crop": text,
            "vertices": text,
            "faces": text,  # .npz with boxes, points, scores, poses and seen, one row per frame
            "source": text,  # the video it was cut out of,
            "seconds": number,  # from this time on
            **dict.fromkeys(MEASURES, number),
        }
    )

"""The weighted mean of two model folders of one design, such as a part of a training and the part that went on from it.

    python -m fantasyid_core.experiments.mean_weights FIRST SECOND FOLDER --share 0.6

FOLDER receives 1 - share of FIRST and share of SECOND. A training that goes on gains one thing and loses a little of
another; the mean of both ends keeps most of both (Wortsman et al., "Model soups", arXiv 2203.05482).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..files.checkpoint import Checkpoint, open_checkpoint
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside

_CURE = "Give two snapshots of the same networks."


def mean_weights(first: Path, second: Path, folder: Path, share: float) -> int:
    """Writes `folder` and returns the bytes of its weights. Whole numbers and .json files are those of `second`.

    Raises ValueError for a share outside 0..1, and for folders of different networks; FileNotFoundError for a folder
    without weights; OSError when `folder` cannot be written.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Expected a share from 0 to 1, got {share}.")
    names = [sorted(path.relative_to(each) for path in each.rglob("*.safetensors")) for each in (first, second)]
    if not names[1]:
        raise FileNotFoundError(f"Expected a folder with .safetensors files, got {second}. Give what `snapshot` wrote.")
    if names[0] != names[1]:
        differing = ", ".join(map(str, sorted(set(names[0]) ^ set(names[1]))))
        raise ValueError(
            f"Expected the same files in {first} and {second}, got {differing} in one of them only. {_CURE}"
        )
    pairs = {name: tuple(open_checkpoint(each / name) for each in (first, second)) for name in names[1]}
    for name, pair in pairs.items():
        _check_alike(str(name), *pair)
    for path in second.rglob("*.json"):
        with write_aside(folder / path.relative_to(second)) as aside:
            aside.write_bytes(path.read_bytes())
    for name, (one, other) in pairs.items():
        with write_aside(folder / name) as aside:
            write_tensors(aside, {key: _mean(one, other, key, share) for key in other}, other.metadata)
    return sum((folder / name).stat().st_size for name in pairs)


def _mean(one: Checkpoint, other: Checkpoint, key: str, share: float):
    theirs = other.read(key)
    if not theirs.is_floating_point():
        return theirs
    return ((1 - share) * one.read(key).double() + share * theirs.double()).to(theirs.dtype)


def _check_alike(name: str, one: Checkpoint, other: Checkpoint) -> None:
    keys = set(one), set(other)
    for key in sorted(keys[0] ^ keys[1]):
        raise ValueError(f"Expected the same tensors in both files {name}, got {key} in one of them only. {_CURE}")
    for key in sorted(keys[0]):
        if one.tensors[key] != other.tensors[key]:
            raise ValueError(
                f"Expected {key} alike in both files {name}, got {one.tensors[key]}, {other.tensors[key]}. {_CURE}"
            )
    if dict(one.metadata) != dict(other.metadata):
        raise ValueError(
            f"Expected one description in both files {name}, got {one.metadata} and {other.metadata}. {_CURE}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.mean_weights")
    parser.add_argument("first", type=Path, help="model folder")
    parser.add_argument("second", type=Path, help="model folder of the same networks")
    parser.add_argument("folder", type=Path, help="where the mean is written to")
    parser.add_argument("--share", type=float, default=0.5, help="of the second one, 0..1")
    arguments = parser.parse_args(argv)
    try:
        size = mean_weights(arguments.first, arguments.second, arguments.folder, arguments.share)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.folder}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes files so that a failure never costs the user's data; and recognises tar archives, which are not read."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_aside(target: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `target`; it takes the target's place only if the body succeeds.

    An existing `target` stays as it was when anything goes wrong (a full disk, an interrupt), and
    nothing half-written is left behind. The temporary name keeps the suffix of `target`, so that
    writers that choose the format by suffix work.

    Raises OSError naming the folder when it cannot be written to.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise OSError(
            f"Cannot write {target}: the folder {target.parent} is not writable ({error.strerror or error}). "
            "Choose another output folder or free some space."
        ) from error
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, target)
    except OSError as error:
        raise OSError(
            f"Writing {target} failed ({error.strerror or error}). Nothing was changed; "
            "free some space or choose another output folder, then try again."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    # The umask can only be read by setting it.
    value = os.umask(0)
    os.umask(value)
    return value


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive; before torch 2.6 torch.load unpickled those even with weights_only."""
    # Old tar archives have no mark, and torch.load opens them as its oldest format.
    try:
        with tarfile.open(path, "r:") as archive:
            return archive.next() is not None  # zeros alone are an archive of nothing
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return False

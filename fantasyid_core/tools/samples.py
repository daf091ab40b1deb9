"""Downloads the sample photos, their 3D faces and FLAME's mesh from the official repository, for trials and tests.

They are not part of this project: the official repository is under Apache-2.0, and the mesh is FLAME's. Each file is
pinned to one commit and checked against its size and SHA-256. A complete file is not downloaded again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..modelfiles import OfficialFile, sha256
from ..modelfiles.table import FANTASYID, FANTASYID_COMMIT, FANTASYID_RAW, LANDMARKS, TOPOLOGY
from .download import fetch, put_in_place

DEFAULT_FOLDER = Path("output") / "samples"
LICENCE = "Apache-2.0; FLAME's licence applies to the mesh and the 3D faces"

SAMPLES = {
    "assets": (
        OfficialFile("anne.jpg", 123865, "57276c791a2db4c9b3b1b6bfada4177fcde0353698253f7a6ab96cae01c0d4ff"),
        OfficialFile("anne.ply", 120699, "b47d8b0cb9a00f2ef8ff0e6342672fb8de71347bc4b276ff0a4105e59bc2a2ba"),
        OfficialFile("imp.jpg", 67665, "f9fb3fd7ba9da72f434af699059ca7ca49607ff18dc4069e335146d40a149f7f"),
        OfficialFile("imp.ply", 120699, "971caec25f3e698b1598c2dbd28e7ce0347f2c91ba70a6c3488131fb4c6a913c"),
        OfficialFile("taylor.jpg", 131883, "3ef2e528703872dc0403007d7f462cf178a8d10f14946b79ec3a387213971b52"),
        OfficialFile("taylor.ply", 120699, "59d90673b066ed3792c1b5641d2fb1f212353f3861fee07fb9063cdebfe3c697"),
        TOPOLOGY,
    ),
    "data": (LANDMARKS,),
}
"""Folder of the official repository -> its files."""


def download_samples(
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = print,
    source: str = FANTASYID_RAW,
) -> Path:
    """Fills `folder`, which is made, with the files of `SAMPLES`, and returns it.

    source: address below which <commit>/<folder>/<name> lies. Raises RuntimeError when a file is out of reach or
    another one than expected, OSError when the folder cannot be written; what is whole stays, and a file of another
    content is renamed, not overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(file.size for files in SAMPLES.values() for file in files)
    say(f"{total / 1e6:.1f} MB from {FANTASYID} ({LICENCE}) to {folder}")
    before = 0
    for place, files in SAMPLES.items():
        for file in files:
            start = before
            _bring(file, f"{source}/{FANTASYID_COMMIT}/{place}/{file.name}", folder, say,
                   lambda done, _, start=start: progress(start + done, total))  # fmt: skip
            before += file.size
            progress(before, total)
    return folder


def _bring(file: OfficialFile, address: str, folder: Path, say: Callable[[str], None], progress) -> None:
    target, part = folder / file.name, folder / f"{file.name}.part"
    if target.is_file() and target.stat().st_size == file.size and sha256(target) == file.sha256:
        return
    fetch((address,), file, part, progress)
    put_in_place(part, target, say)

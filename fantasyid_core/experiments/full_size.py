"""Measures main memory at the released model's size, with random weights: the plain path, and Load Model in ComfyUI.

    python -m fantasyid_core.experiments.full_size FOLDER
    python -m fantasyid_core.experiments.full_size FOLDER --small

Writes a model in the official layout into FOLDER (24 GB on the disk; `--small` takes a few MB), runs the plain path
from its files to the first block in bfloat16, and Load Model in a ComfyUI of its own, each in a process of its own, and
prints the memory at every point. FOLDER is deleted afterwards; `--keep` leaves it, and a folder that was kept is not
written again. Bounds: 3 GiB of private memory before sampling begins, 16 GiB resident at most, 1 GiB private after each
model is let go. Exit code 1: a bound is broken. It works on Linux.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..modelfiles import find_comfyui
from ..tools.processor import processor_name
from . import full_size_comfyui
from .full_size_model import ModelSizes, write_model
from .full_size_points import Point, bounds, table

_NEEDED = 26 * 10**9  # bytes of the disk
_DONE, _OURS = "complete.txt", "random weights of experiments.full_size\n"  # a folder without them is not deleted
PARTS = PLAIN, COMFYUI = "plain", "comfyui"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: all bounds hold; 1: one is broken; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.full_size")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet, or that was kept")
    parser.add_argument("--small", action="store_true", help="tiny networks, to try the program itself")
    parser.add_argument("--keep", action="store_true", help="leave the model in FOLDER")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    folder = arguments.folder
    comfyui = find_comfyui() if COMFYUI in arguments.parts else None
    if COMFYUI in arguments.parts and comfyui is None:
        raise ValueError("Expected ComfyUI, got none. Set COMFYUI_PATH to its folder, or give --parts plain.")
    prepare(folder, arguments.small)
    try:
        found = {}
        if PLAIN in arguments.parts:
            found["The plain path to the first block"] = measure_plain(folder)
        if comfyui is not None:
            with tempfile.TemporaryDirectory(prefix="fantasyid_comfyui_") as base:
                found["Load Model in ComfyUI"] = full_size_comfyui.measure(comfyui, folder, Path(base))
        return show(found)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


def prepare(folder: Path, small: bool) -> None:
    """Writes the model unless it is there. Raises ValueError for another folder, and for a small disk."""
    if (folder / _DONE).is_file() and (folder / _DONE).read_text(encoding="utf-8", errors="replace") == _OURS:
        return
    if folder.exists():
        raise ValueError(f"Expected a folder that does not exist yet, got {folder}. Give another one.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if not small and free < _NEEDED:
        raise ValueError(
            f"Expected {_NEEDED / 1e9:.0f} GB on the disk of {folder}, got {free / 1e9:.0f} GB. Make room."
        )
    try:
        write_model(folder, ModelSizes.small() if small else ModelSizes(), lambda text: print(text, file=sys.stderr))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _DONE).write_text(_OURS, encoding="utf-8")


def measure_plain(folder: Path) -> dict:
    """What `full_size_plain` finds, in a process of its own. RuntimeError when it fails."""
    command = [sys.executable, "-m", f"{__package__}.full_size_plain", str(folder.resolve())]
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=root, check=False)
    if ended.returncode:
        raise RuntimeError(f"Expected the plain path to reach the first block, it ended with {ended.returncode}.")
    return json.loads(ended.stdout.splitlines()[-1])


def show(found: dict[str, dict]) -> int:
    """Prints the tables; 1 when a bound is broken, else 0."""
    print(f"{processor_name()}; random weights in bfloat16; 1 GiB is 2^30 bytes.")
    broken = False
    for title, measured in found.items():
        points = [Point(*point) for point in measured["points"]]
        checked = bounds(points, measured["most"])
        print("\n".join(table(title, points, checked)))
        broken = broken or not all(bound.holds for bound in checked)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())

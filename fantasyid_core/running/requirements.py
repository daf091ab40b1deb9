"""Whether this Python has the packages that a requirements file asks for. Only the standard library is used."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

# Packages that put the same module into Python as the required one.
STAND_INS = {
    "opencv-python-headless": (
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    )
}


def problems(file: Path) -> list[str]:
    """One line for each package of `file` that is missing or too old, and then what to do; empty when all is well.

    PyTorch is asked for, too, though no file of this project requires it. Raises ValueError for a line that is no
    lower bound.
    """
    wrong = []
    for name, lowest in parse(file.read_text(encoding="utf-8")):
        version = installed_version(name)
        wanted = f"{lowest} or newer" if lowest else "any version"
        if version is None:
            wrong.append(f"  {name}: missing, expected {wanted}")
        elif version_numbers(version) < version_numbers(lowest):
            wrong.append(f"  {name}: found {version}, expected {wanted}")
    lines = []
    if wrong:
        pip = f'"{sys.executable}" -m pip install -r "{file}"'
        lines += ["Packages that are missing or too old:", *wrong, f"  Install them with: {pip}"]
    for name in ("torch", "torchvision"):
        if installed_version(name) is None:
            lines.append(f"{name}: missing; ComfyUI brings its own, else see https://pytorch.org/get-started")
    return lines


def parse(text: str) -> list[tuple[str, str]]:
    """The (name, lowest version or "") pairs of a requirements file that holds lower bounds only."""
    pairs = []
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)\s*(?:>=\s*(\d+(?:\.\d+)*))?", line)
        if not match:
            raise ValueError(f'requirements.txt: expected "name" or "name>=version", got "{line}"')
        pairs.append((match[1], match[2] or ""))
    return pairs


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, without trailing zeros: "2.11.0+cpu" -> (2, 11)."""
    numbers = [int(number) for number in re.match(r"(?:\d+(?:\.\d+)*)?", version)[0].split(".") if number]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def installed_version(name: str) -> str | None:
    """The version of a package, or of one that stands in for it, in this Python; None when there is none."""
    for candidate in (name, *STAND_INS.get(name, ())):
        try:
            version = importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version:  # None when the metadata of a package is damaged
            return version
    return None

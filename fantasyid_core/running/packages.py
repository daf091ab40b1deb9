"""Packages that are not installed: found by name before any work, with the command that installs them here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec

NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "open_clip": "open_clip_torch",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "c2pa": "c2pa-python",
}
"""Module -> the name by which pip knows it, where the two differ."""

REINSTALL = "--upgrade --force-reinstall"


class MissingPackage(RuntimeError):
    """Something needs a package that is not installed; the text holds the command."""


def missing(modules: Iterable[str]) -> list[str]:
    """Those of the modules that are not installed, in their order; nothing is imported."""
    return [module for module in dict.fromkeys(modules) if not _is_there(module)]


def require(what: str, modules: Iterable[str]) -> None:
    """Raises MissingPackage, with one sentence and the command, unless all `modules` are installed.

    what: who needs them, as the beginning of the sentence: "The command generate".
    """
    lacking = missing(modules)
    if lacking:
        raise MissingPackage(lacks(what, lacking))


def lacks(what: str, modules: Iterable[str]) -> str:
    """The sentence: `what` needs packages, which are not installed, and the command."""
    names = [NAMES.get(module, module) for module in modules]
    many = "packages" if len(names) > 1 else "package"
    which = "which are" if len(names) > 1 else "which is"
    return f"{what} needs the {many} {', '.join(names)}, {which} not installed. Run: {pip_command(names)}"


def pip_command(names: Iterable[str], options: str = "") -> str:
    """The command that installs packages into the Python that runs now, also into one that came with ComfyUI.

    options: of pip, such as `REINSTALL`.
    """
    python = sys.executable or "python"
    quoted = f'"{python}"' if " " in python else python
    installs = f"{quoted} -m pip install" if _is_there("pip") else f"uv pip install --python {quoted}"
    return " ".join([installs, *options.split(), *names])


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):  # blocked or replaced by hand
        return False

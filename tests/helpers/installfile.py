"""install.py as a module, for the tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def loaded_install(folder: Path, monkeypatch) -> Iterator[ModuleType]:
    """install.py whose .venv would be made in `folder`."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", folder / ".venv")
    monkeypatch.setattr(module, "COMFYUI", folder / ".comfyui")
    monkeypatch.setattr(module, "LOG", module.VENV / "install.log")
    monkeypatch.setattr(module, "UNFINISHED", module.VENV / "install-unfinished")
    before = set(sys.modules)
    yield module
    for name in set(sys.modules) - before:  # put there by load_room
        if name.startswith(("fantasyid_modelfiles", "fantasyid_running")):
            del sys.modules[name]

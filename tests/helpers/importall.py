"""Imports every module of the core, so that none is imported for the first time while a test has patched another.

It would keep the patched object for good, and tests would depend on their order.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "fantasyid_core"


def core_modules(package: str = "fantasyid_core") -> list[str]:
    """The names of all modules of the core when it is imported as `package`."""
    names = [module.name for module in pkgutil.walk_packages([str(CORE)], f"{package}.", onerror=lambda name: None)]
    return [name for name in names if not name.endswith(".__main__")]


def import_core(package: str = "fantasyid_core", hosts: tuple[str, ...] = ("diffusers",)) -> None:
    """hosts: which rooms of fantasyid_core/host may be imported here. What an optional package lacks is left out."""
    for name in core_modules(package):
        host = name.removeprefix(f"{package}.host.").split(".")[0]
        if name.startswith(f"{package}.host.") and host not in hosts:
            continue
        try:
            importlib.import_module(name)
        except ImportError:  # test_scaffold.py tells which modules cannot be imported
            continue

"""Fixtures shared by all tests. Nothing here needs weights, a GPU or a network connection."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # tests import fantasyid_core as users of the plain package do


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden outputs, samples and the mesh topology, which is not part of the project."""
    folder = Path(os.environ.get("FANTASYID_SHARED", ROOT.parent / "shared"))
    if not (folder / "reference").is_dir():
        pytest.skip(f"{folder} is absent: the golden outputs of the official release are not on this machine")
    return folder

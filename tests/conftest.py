"""Fixtures shared by all tests. Nothing here needs weights, a GPU or a network connection."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Tests import fantasyid_core as users of the plain package do, and the helpers that lie beside them.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]


def pytest_configure(config):
    config.addinivalue_line("markers", "xdist_group(name): tests that one process runs, where there are several")


def pytest_collection_modifyitems(config, items):
    """In several processes (`-n`): a file stays in one, and one runs, first, all that needs a ComfyUI."""
    if config.getoption("dist", "no") == "no":
        return
    group = lambda item: "host" if item.path.parent.name in ("host", "web") else item.path.name  # noqa: E731
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "host")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps the user's cache folder out of the tests."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("FANTASYID_CACHE")
    os.environ["FANTASYID_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["FANTASYID_CACHE"]
    else:
        os.environ["FANTASYID_CACHE"] = before


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden outputs, samples and the mesh topology, which is not part of the project."""
    folder = Path(os.environ.get("FANTASYID_SHARED", ROOT.parent / "shared"))
    if not (folder / "reference").is_dir():
        pytest.skip(f"{folder} is absent: the golden outputs of the official release are not on this machine")
    return folder


@pytest.fixture(scope="session")
def reference(shared):
    """The official two-layer checkpoint of the golden run, seeded: key -> tensor."""
    from golden import reference_state

    return reference_state(shared)


@pytest.fixture(scope="session")
def golden(shared):
    """What the official code computed: name -> tensor."""
    from golden import golden as load

    return load(shared)


@pytest.fixture(scope="session")
def reference_adapter(shared, reference):
    """The adapter of the golden run."""
    from fantasyid_core import load_adapter

    return load_adapter(reference, topology=shared / "assets" / "transform.pkl")


@pytest.fixture(scope="session")
def reference_tokens(shared, reference_adapter):
    """Identity tokens of the golden run, [1, 115, 2048]."""
    import torch
    from golden import network_input

    from fantasyid_core.shape import load_shape

    with torch.no_grad():
        vertices = load_shape(shared / "samples" / "anne.ply")
        return reference_adapter.encode(network_input("face_states.4", (1, 577, 1024)), vertices)


@pytest.fixture(scope="session")
def tiny_adapter():
    """A small seeded adapter on the synthetic head."""
    from small import make_adapter

    return make_adapter()

"""What all tests share: fixtures, markers, and the order in which several processes take them.

Nothing here needs weights, a GPU or a network connection.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
# Tests import fantasyid_core as users of the plain package do, and the helpers that lie beside them.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

# On a busy machine drawing an example may take long; that says nothing of the example.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# What a fixture needs is what a test needs that asks for it.
MARKER_OF_FIXTURE = {"comfyui": "host", "browser": "browser", "licensed": "licensed"}


def pytest_sessionstart(session):
    if not session.config.option.collectonly:
        from importall import import_core

        import_core()
        gc.collect()
        gc.freeze()  # what was imported stays; looking through it again and again takes a fifth of a second each time


def pytest_collection_modifyitems(config, items):
    """Marks tests by what they need; in several processes (`-n`) one runs, first, all that needs a ComfyUI.

    What is marked `soak` runs only where `-m` names it; a short version of each such test runs always.
    """
    if "soak" not in config.getoption("markexpr"):
        asleep = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=asleep)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    for item in items:
        for fixture, marker in MARKER_OF_FIXTURE.items():
            if fixture in item.fixturenames:
                item.add_marker(marker)
    if config.getoption("dist", "no") == "no":
        return
    group = lambda item: "host" if item.path.parent.name in ("host", "web") else item.path.name  # noqa: E731
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "host")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps the user's cache folder out of the tests; where several processes run them, they share this one."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FANTASYID_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def same_start():
    """Every test finds PyTorch with the same random numbers to come, and leaves it the threads that it found."""
    import torch

    before = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def licensed():
    """A function: name -> path of a file of the official repository, which is not part of this project.

    transform.pkl and landmark_embedding.npy of FLAME's mesh; anne, imp and taylor as .jpg and .ply.
    """
    from licensedfiles import find_licensed_files

    find = find_licensed_files()
    if find is None:
        pytest.skip(
            "needs FLAME's mesh and the sample photos of the official repository: "
            "python3 -m fantasyid_core download samples"
        )
    return find


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """A function: name -> path of what a user brings, made here: one, two, three as .ply, .jpg and .png, and
    topology.safetensors, a stand-in for FLAME's mesh."""
    from standinflame import write_people

    folder = tmp_path_factory.mktemp("people")
    write_people(folder)
    return lambda name: folder / name


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The folder of the real ComfyUI."""
    from fantasyid_core.modelfiles import find_comfyui

    folder = find_comfyui()
    if folder is None:
        pytest.skip("needs ComfyUI: python3 install.py test --comfyui (or set COMFYUI_PATH to yours)")
    return folder


@pytest.fixture(scope="session")
def golden():
    """What the official code computed on the project's own head: name -> tensor."""
    from golden import official_outputs

    return official_outputs()


@pytest.fixture(scope="session")
def reference():
    """The official two-layer checkpoint of the golden run, seeded: key -> tensor."""
    from golden import official_state

    return official_state()


@pytest.fixture(scope="session")
def reference_topology(golden):
    """The mesh pyramid of the golden run: 2236, 560 and 160 vertices."""
    from golden import official_topology

    return official_topology(golden)


@pytest.fixture(scope="session")
def reference_adapter(reference, reference_topology):
    """The adapter of the golden run."""
    from fantasyid_core import load_adapter

    return load_adapter(reference, topology=reference_topology)


@pytest.fixture(scope="session")
def reference_tokens(reference_adapter, golden):
    """Identity tokens of the golden run, [1, 36 + 35, 2048]."""
    import torch
    from golden import network_input

    with torch.no_grad():
        return reference_adapter.encode(network_input("face_states.4", (1, 577, 1024)), golden["vertices"])


@pytest.fixture(scope="session")
def tiny_adapter():
    """A small seeded adapter on the synthetic head."""
    from small import make_adapter

    return make_adapter()

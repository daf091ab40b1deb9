"""Rules of the house that a reader relies on: who imports whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE_FOLDER = ROOT / "fantasyid_core"
CORE = sorted(CORE_FOLDER.rglob("*.py"))

ROOMS = (
    "config",
    "options",
    "running",
    "modelfiles",
    "sampling",
    "files",
    "videofile",
    "face",
    "shape",
    "identity",
    "weights",
    "host/diffusers",
    "machine",
    "request",
    "pipeline",
    "jobs",
    "evaluation",
    "people",
    "tinymodel",
    "training",
    "host/comfy",
    "tools",
    "experiments",
    "cli",
    "__main__",
)
"""In the order of imports: a room imports only what stands before it."""

LOOSE_MODULES = 8


def imports_of(path: Path):
    """(module, level, line) of every import that happens when the program runs, wherever it stands in the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level, node.lineno
            # `from . import name` may mean the module of that name.
            yield from (
                (f"{node.module}.{alias.name}" if node.module else alias.name, node.level, node.lineno)
                for alias in node.names
            )


def own_imports(path: Path) -> dict[Path, int]:
    """The files of the core that a file imports -> the line."""
    found = {}
    for module, level, line in IMPORTS[path]:
        if not level:
            continue
        place = path.parent
        for _ in range(level - 1):
            place = place.parent
        target = place.joinpath(*module.split(".")) if module else place
        for candidate in (target.with_suffix(".py"), target / "__init__.py"):
            if candidate.is_file() and candidate != path:
                found.setdefault(candidate, line)
    return found


IMPORTS = {path: list(imports_of(path)) for path in CORE}
GRAPH = {path: own_imports(path) for path in CORE}


def room_of(path: Path) -> str | None:
    """The room in which a file stands; None for the package's own front and for the folder of the hosts."""
    parts = path.relative_to(CORE_FOLDER).with_suffix("").parts
    if parts[0] == "host":
        return None if len(parts) < 3 else "/".join(parts[:2])
    return None if parts[0] == "__init__" else parts[0]


def circles(graph: dict) -> list[list]:
    """The groups of nodes that reach each other (Tarjan 1972), largest first."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in graph.get(node, ()):
            if after not in index:
                visit(after)
            if after in stack:
                low[node] = min(low[node], low[after])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(map(str, group)))

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def test_every_room_has_its_place_in_the_order():
    assert {room for room in map(room_of, CORE) if room} == set(ROOMS)


def test_no_import_points_up():
    upward = [
        f"{path.relative_to(ROOT)}:{line} imports {target.relative_to(CORE_FOLDER)}"
        for path, targets in GRAPH.items()
        if room_of(path)  # `load_adapter` of the front is imported on first use
        for target, line in targets.items()
        if room_of(target) and ROOMS.index(room_of(target)) > ROOMS.index(room_of(path))
    ]
    assert not upward, "rooms are imported that stand later:\n" + "\n".join(upward)


def test_no_file_is_in_a_circle():
    # A package's __init__ hands names on: who imports a part of it does not depend on the other parts.
    files = {
        path: [target for target in targets if target.name != "__init__.py"]
        for path, targets in GRAPH.items()
        if path.name != "__init__.py"
    }
    assert circles(files) == []


@pytest.mark.parametrize("folder", ["", "face", "shape", "identity", "people", "training"])
def test_no_room_is_in_a_circle(folder):
    """Neither a room of the core, nor a folder or file within one of the large rooms."""
    top = CORE_FOLDER / folder

    def part(path: Path) -> str | None:
        if not path.is_relative_to(top) or path == top / "__init__.py":
            return None
        return room_of(path) if not folder else path.relative_to(top).with_suffix("").parts[0]

    graph: dict[str, set[str]] = {}
    for path, targets in GRAPH.items():
        if part(path) is not None:
            parts = {part(target) for target in targets} - {None, part(path)}
            graph.setdefault(part(path), set()).update(parts)
    assert circles(graph) == []


def test_few_modules_stand_loose():
    loose = sorted(path.name for path in CORE_FOLDER.glob("*.py"))
    assert len(loose) <= LOOSE_MODULES, loose


def test_the_package_lists_all_rooms_in_their_order():
    legend = ast.get_docstring(ast.parse((CORE_FOLDER / "__init__.py").read_text(encoding="utf-8")))
    told = [room for room in ROOMS if room != "__main__"]
    places = [legend.find(f"    `{room}`") for room in told]
    assert all(place >= 0 for place in places), [room for room, place in zip(told, places, strict=True) if place < 0]
    assert places == sorted(places), "the legend names the rooms in another order than the imports"


def absolute_imports(names) -> list[str]:
    """Where a file of the core imports a top-level name among `names`."""
    return [
        f"{path.relative_to(CORE_FOLDER).as_posix()}:{line} imports {name}"
        for path, imports in IMPORTS.items()
        for name, level, line in imports
        if level == 0 and name.split(".")[0] in names
    ]


def test_only_the_host_folder_knows_a_host():
    hosts = {
        "comfy",
        "comfy_execution",
        "diffusers",
        "folder_paths",
        "nodes",
        "server",
        "execution",
        "comfy_api",
        "latent_preview",
    }
    assert not [place for place in absolute_imports(hosts) if not place.startswith("host/")]


def test_the_core_imports_itself_relatively():
    # The host loads the pack under a mangled name, so absolute imports of the package would fail there.
    assert not absolute_imports({"fantasyid_core"})


def modules_after(code: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(result.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    heavy = {
        "torch",
        "numpy",
        "diffusers",
        "transformers",
        "timm",
        "trimesh",
        "cv2",
        "PIL",
        "av",
        "safetensors",
    }
    code = "import fantasyid_core, fantasyid_core.face, fantasyid_core.shape, fantasyid_core.modelfiles"
    assert not modules_after(code) & heavy


def test_loading_weights_needs_no_host():
    code = "import fantasyid_core.weights.adapter, fantasyid_core.weights.transformer, fantasyid_core.sampling"
    assert not modules_after(code) & {"diffusers", "comfy", "transformers", "timm", "trimesh", "cv2", "av"}


def test_options_import_nothing():
    assert not list(imports_of(CORE_FOLDER / "options.py"))

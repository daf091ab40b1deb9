"""Rules of the house that a reader relies on: who imports whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "fantasyid_core").rglob("*.py"))


def imports_of(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_host_folder_knows_a_host(path):
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
    found = {name.split(".")[0] for name, level in imports_of(path) if level == 0} & hosts
    if path.relative_to(ROOT / "fantasyid_core").parts[0] != "host":
        assert not found


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_itself_relatively(path):
    # The host loads the pack under a mangled name, so absolute imports of the package would fail there.
    assert not [name for name, level in imports_of(path) if level == 0 and name.startswith("fantasyid_core")]


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

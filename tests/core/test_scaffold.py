"""What surrounds the code: licence, packaging, continuous integration."""

from __future__ import annotations

import ast
import importlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from importall import core_modules

ROOT = Path(__file__).resolve().parents[2]

# Import names that differ from the name of the package.
PACKAGES = {"PIL": "pillow", "cv2": "opencv-python-headless", "open_clip": "open_clip_torch"}
# What ComfyUI itself, or the user's choice of PyTorch, puts into the environment.
HOST = {
    "comfy_execution",
    "torch",
    "torchvision",
    "comfy",
    "comfy_api",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "server",
}
# What only the person needs who makes shipped weights anew; the tool's own text says how to install it.
MAKING = {"tflite"}
# Of the extra `credentials`; the command that signs says how to install them.
SIGNING = {"c2pa", "cryptography"}


def imported(source: str) -> set[str]:
    """Top-level names of all absolute imports, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_whatever_is_imported_is_a_requirement():
    declared = set(re.findall(r"(?m)^[\w-]+", (ROOT / "requirements.txt").read_text()))
    files = [path for folder in ("fantasyid_core", "nodes") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    for path in files:
        foreign = imported(path.read_text(encoding="utf-8")) - sys.stdlib_module_names - HOST - MAKING - SIGNING
        undeclared = {PACKAGES.get(name, name) for name in foreign} - declared
        assert not undeclared, f"{path.relative_to(ROOT)} imports what requirements.txt lacks"


def test_continuous_integration_runs_the_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert "python3 install.py test" in script.read_text()
    assert "    python3 install.py test\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    if os.name != "nt":
        assert script.stat().st_mode & stat.S_IXUSR


def test_the_licence_is_the_standard_text_alone():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert "Copyright [yyyy] [name of copyright owner]" in text


def test_no_model_file_and_no_sample_is_part_of_the_repository():
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    suffixes = {Path(name).suffix.lower() for name in listed.stdout.splitlines()}
    assert not suffixes & {".pkl", ".pt", ".bin", ".onnx", ".tar"}


def test_every_module_can_be_imported():
    lacking = set()
    for name in core_modules():
        try:
            if not name.startswith("fantasyid_core.host.comfy"):
                importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name.split(".")[0] == "fantasyid_core":
                raise
            lacking.add(error.name)
    if lacking:
        pytest.skip(f"some modules need {', '.join(sorted(lacking))}: python3 install.py test installs it")

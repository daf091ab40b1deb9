"""What importing the pack costs the host: a question of what is imported, not of the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stub_host import ROOT

from fantasyid_core.modelfiles import find_comfyui

HEAVY = ("diffusers", "transformers", "timm", "open_clip", "trimesh", "cv2", "skimage", "av", "kornia", "onnxruntime",
         "scipy", "einops", "matplotlib")  # fmt: skip

WITH_HOST = """
import asyncio, importlib.util, json, sys
sys.argv = ["main.py", "--cpu", "--base-directory", {base!r}]
sys.path.insert(0, {host!r})
import comfy.options
comfy.options.enable_args_parsing()
import folder_paths
from comfy_api.latest import io
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("fantasyid_pack", {init!r})
pack = importlib.util.module_from_spec(spec)
sys.modules["fantasyid_pack"] = pack
spec.loader.exec_module(pack)
extension = asyncio.run(pack.comfy_entrypoint())
asyncio.run(extension.on_load())
for node in asyncio.run(extension.get_node_list()):
    node.GET_NODE_INFO_V1()
print("IMPORTED", json.dumps(sorted(set(sys.modules) - before)))
"""

WITH_STUB = """
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from stub_host import imported_pack
before = set(sys.modules)
with imported_pack(Path({base!r})) as pack:
    asyncio.run(pack.extension.on_load())
    for node in asyncio.run(pack.extension.get_node_list()):
        node.define_schema()
    print("IMPORTED", json.dumps(sorted(set(sys.modules) - before)))
"""


def imported_by(script: str) -> set[str]:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("IMPORTED "))
    return set(json.loads(line.removeprefix("IMPORTED ")))


def check(imported: set[str], name: str) -> None:
    own = {module for module in imported if module == name or module.startswith(name + ".")}
    assert own, "the pack was not imported at all"
    assert not {module.split(".")[0] for module in imported} & set(HEAVY)
    # The words that users choose among are data; that file imports nothing. What lists files is standard library only.
    words, listing = {f"{name}.fantasyid_core", f"{name}.fantasyid_core.options"}, f"{name}.fantasyid_core.modelfiles"
    core = {module for module in own if ".fantasyid_core" in module and not module.startswith(listing)} - words
    assert not core, f"nodes import the core when they run, not before: {core}"


def test_in_the_host_the_pack_imports_itself_and_nothing_heavy(tmp_path):
    host = find_comfyui()
    if host is None:
        pytest.skip("needs ComfyUI: python3 install.py test --comfyui (or set COMFYUI_PATH to yours)")
    init = str(ROOT / "__init__.py")
    check(imported_by(WITH_HOST.format(base=str(tmp_path), host=str(host), init=init)), "fantasyid_pack")


def test_without_a_host_not_even_torch_is_imported(tmp_path):
    script = WITH_STUB.format(tests=str(Path(__file__).parent), base=str(tmp_path))
    imported = imported_by(script)
    check(imported, "fantasyid_pack_under_stub")
    assert not {"torch", "numpy", "PIL"} & imported


def test_the_root_module_alone_imports_nothing():
    script = f"""
import importlib.util, json, sys
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("main", {str(ROOT / "__init__.py")!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print("IMPORTED", json.dumps(sorted(set(sys.modules) - before)))
"""
    assert imported_by(script) == set()

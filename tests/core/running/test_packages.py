"""Missing packages: named before any work, with the command for the Python that runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fantasyid_core.cli.packages import NEEDS
from fantasyid_core.running import packages
from fantasyid_core.running.packages import MissingPackage, missing, pip_command, require

BLOCKED = """
import runpy, sys
for name in {names!r}:
    sys.modules[name] = None
sys.argv = ["fantasyid_core", *{arguments!r}]
runpy.run_module("fantasyid_core", run_name="__main__", alter_sys=True)
"""
COMMANDS = {
    "generate": ["--model", "m", "--prompt", "p", "--out", "v.mp4", "--image", "a.png"],
    "reconstruct": ["--image", "a.png", "--out", "a.ply"],
    "inspect": ["m"],
    "convert": ["m", "t"],
    "download": ["detector"],
    "bench": [],
    "demo": ["--out", "d"],
    "prepare": ["videos", "out"],
    "train": ["tiny"],
    "evaluate": ["videos", "references"],
    "compare": ["--models", "a", "b", "--photos", "p", "--prompts", "t.txt"],
}


def test_names_are_those_that_pip_knows():
    assert missing(["json", "no_such_package", "no_such_package"]) == ["no_such_package"]
    with pytest.raises(
        MissingPackage, match=r"This node needs the packages pyyaml_not, nowhere, which are not installed"
    ):
        packages.NAMES["yaml_not"] = "pyyaml_not"
        try:
            require("This node", ["json", "yaml_not", "nowhere"])
        finally:
            del packages.NAMES["yaml_not"]
    require("This node", ["json"])


def test_the_command_is_for_this_python(monkeypatch):
    assert pip_command(["a", "b"]) == f"{sys.executable} -m pip install a b"
    monkeypatch.setattr(sys, "executable", r"C:\AI tools\python_embeded\python.exe")
    assert pip_command(["a"]) == r'"C:\AI tools\python_embeded\python.exe" -m pip install a'
    monkeypatch.setitem(sys.modules, "pip", None)
    assert pip_command(["a"]) == r'uv pip install --python "C:\AI tools\python_embeded\python.exe" a'


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_what_it_lacks_before_it_begins(command, tmp_path):
    lacking = NEEDS[command]
    script = BLOCKED.format(names=lacking, arguments=[command, *COMMANDS[command]])
    from fantasyid_core import __file__ as core

    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120,
        env={"PYTHONPATH": core.rsplit("fantasyid_core", 1)[0], "PATH": ""},
    )  # fmt: skip
    assert run.returncode == 2 and "Traceback" not in run.stderr
    assert run.stderr.startswith(f"error: The command {command} needs the package") and "-m pip install" in run.stderr
    assert all(packages.NAMES.get(name, name) in run.stderr for name in lacking)
    assert not list(tmp_path.iterdir())


def test_every_command_is_in_the_table():
    from fantasyid_core.__main__ import COMMANDS as known

    assert set(known) == set(NEEDS)

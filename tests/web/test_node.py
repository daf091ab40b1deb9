"""The browser's modules, tested in plain Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_the_tests_of_the_modules_pass_in_node(path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is absent: the face editor's modules were not tested (install Node.js 20 or newer)")
    done = subprocess.run([node, "--test", str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

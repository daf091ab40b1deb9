"""What surrounds the code: licence, packaging, continuous integration."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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

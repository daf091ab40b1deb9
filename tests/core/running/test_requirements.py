"""The look at a requirements file: what is missing or too old in this Python."""

from __future__ import annotations

import importlib.metadata
import re
import sys

import pytest

from fantasyid_core.running import requirements


@pytest.fixture
def problems(tmp_path):
    """A function: text of a requirements file -> the lines about it."""

    def look(text: str) -> list[str]:
        (tmp_path / "requirements.txt").write_text(text)
        return requirements.problems(tmp_path / "requirements.txt")

    return look


@pytest.mark.parametrize("line", ["torch==2.11.0", "numpy<3", "av>=12,<20", "timm @ https://x", "-r x"])
def test_any_other_kind_of_requirement_is_refused(line):
    with pytest.raises(ValueError, match=re.escape(f'got "{line}"')):
        requirements.parse(f"# a comment\n\nnumpy>=1.25\n{line}\n")


def test_requirements_are_read_with_comments_and_blanks():
    text = "# why\n\nopen_clip_torch>=2.24  # because\ntqdm\n av >= 12.0\n"
    assert requirements.parse(text) == [("open_clip_torch", "2.24"), ("tqdm", ""), ("av", "12.0")]


@pytest.mark.parametrize(
    "low, high",
    [("0.9.2", "0.10"), ("1.0", "1.0.1"), ("4.46", "5.23.0"), ("", "0.1"), ("2.10.9+cu130", "2.11.0+cpu")],
)
def test_versions_compare_by_their_numbers(low, high):
    assert requirements.version_numbers(low) < requirements.version_numbers(high)


def test_trailing_zeros_and_suffixes_do_not_count():
    same = ["1", "1.0", "1.0.0", "1.0+cu130", "1.0.dev3"]
    assert {requirements.version_numbers(version) for version in same} == {(1,)}


# ---- the look at the environment


def with_packages(monkeypatch, versions):
    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_missing_and_old_packages_are_named_with_what_to_do(problems, monkeypatch):
    torch = {"torch": "2.11.0", "torchvision": "0.26.0"}
    with_packages(monkeypatch, torch | {"diffusers": "0.31.0", "timm": "1.0.31"})
    text = "\n".join(problems("diffusers>=0.32\ntimm>=1.0\nav>=12.0\n"))
    assert "diffusers: found 0.31.0, expected 0.32 or newer" in text
    assert "av: missing, expected 12.0 or newer" in text
    assert "timm" not in text and "torch" not in text
    assert f'"{sys.executable}" -m pip install -r' in text


def test_torch_is_asked_for_but_never_through_requirements(problems, monkeypatch):
    with_packages(monkeypatch, {"torchvision": "0.26.0", "timm": "1.0"})
    (line,) = problems("timm>=1.0\n")
    assert line.startswith("torch: missing") and "ComfyUI brings its own" in line


def test_another_build_of_opencv_stands_in(problems, monkeypatch):
    both = {"torch": "2.11.0", "torchvision": "0.26.0"}
    with_packages(monkeypatch, both | {"opencv-contrib-python": "4.10.0"})
    assert problems("opencv-python-headless>=4.8\n") == []
    with_packages(monkeypatch, both | {"opencv-python": None})  # damaged metadata
    assert "missing" in problems("opencv-python-headless>=4.8\n")[1]

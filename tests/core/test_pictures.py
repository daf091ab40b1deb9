"""The pictures of templates and help pages lie where the host looks for them, and are small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
PAGES = sorted((ROOT / "web" / "docs").glob("*.md"))
LARGEST = 100_000  # bytes


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_template_has_a_picture_beside_it(path):
    picture = path.with_suffix(".jpg")  # the one ending that the host asks for
    assert picture.stat().st_size < LARGEST
    with Image.open(picture) as opened:
        assert opened.format == "JPEG" and opened.size == (640, 400)
        assert len(set(opened.convert("L").resize((32, 20)).tobytes())) > 16  # it shows something


def test_pictures_belong_to_a_template():
    assert {path.stem for path in (ROOT / "workflows").glob("*.jpg")} == {path.stem for path in WORKFLOWS}


def test_pictures_of_help_pages_are_there_and_all_are_used():
    named = {name for page in PAGES for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))}
    there = {f"pictures/{path.name}" for path in (ROOT / "web" / "docs" / "pictures").iterdir()}
    assert named == there and len(named) >= 4
    assert all((ROOT / "web" / "docs" / name).stat().st_size < LARGEST for name in named)

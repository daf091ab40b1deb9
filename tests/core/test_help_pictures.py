"""The pictures of the help pages: small, shown on the page of their node, and made by the script that is kept."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
SHOWN = re.compile(r"!\[([^\]]*)\]\(pictures/(\w+)\.jpg\)")


def shown() -> dict[str, tuple[str, str]]:
    """Name of a picture -> the page that shows it, what it shows in words."""
    return {
        name: (page.stem.removeprefix("FantasyID_"), words)
        for page in DOCS.glob("*.md")
        for words, name in SHOWN.findall(page.read_text(encoding="utf-8"))
    }


def test_pages_show_every_picture_and_no_other():
    assert set(shown()) == {path.stem for path in (DOCS / "pictures").glob("*.jpg")}
    assert len(shown()) >= 12
    for name, (page, words) in shown().items():
        assert re.sub(r"(?<=.)(?=[A-Z])", "_", page).lower() == name
        assert len(words.split()) > 2, f"{page}: say what the picture shows, for those who do not see it"


def test_pictures_are_small():
    assert sum(path.stat().st_size for path in (DOCS / "pictures").iterdir()) < 700_000


def test_the_kept_script_makes_them_all():
    script = (ROOT / "tests" / "web" / "make_help_pictures.py").read_text(encoding="utf-8")
    made = re.search(r"^MADE = \((.*?)\)", script, re.DOTALL | re.MULTILINE)[1]
    assert set(re.findall(r"\w+", made)) - {"fmt", "skip"} >= set(shown())

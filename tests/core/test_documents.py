"""README and docs: what they list is all there is, and what they point at is there."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from fantasyid_core.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def cells(path: Path, head: str) -> list[str]:
    """The first column of the table that begins with `head`, without head and rule."""
    lines = text_of(path).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {head} |")) + 2
    table = takewhile(lambda line: line.startswith("|"), lines[start:])
    return [row.strip("|").split("|")[0].strip() for row in table]


def anchors(path: Path) -> set[str]:
    """What links to headings of a document are called on GitHub."""
    heads = re.findall(r"(?m)^#+ (.*)$", text_of(path))
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_to_files_and_headings_lead_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(path))
    for link in links:
        if re.match(r"https?:", link):
            continue
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name}: {link}"
        assert not heading or heading in anchors(target), f"{path.name}: {link}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path):
    named = re.findall(r"`((?:fantasyid_core|tests|nodes|web|workflows|docs)/[\w./-]+)`", text_of(path))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, f"{path.name}: {missing}"


def test_the_readme_is_short_and_begins_with_pictures_and_links():
    """Short, with the pictures before the first heading, and with every document within reach."""
    text = text_of(ROOT / "README.md")
    assert len(text.splitlines()) <= 130
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text[: text.index("\n## ")]) == [
        "docs/pictures/result.png",
        "docs/pictures/editor.png",
        "docs/pictures/photo.png",
    ]
    assert all(f"docs/{path.name}" in text for path in DOCS.glob("*.md"))


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in (DOCS / "pictures").iterdir()}
    assert sizes and all(size < 400_000 for size in sizes.values()), sizes


def test_every_node_stands_in_the_readme_once_and_has_a_help_page():
    names = re.compile(r'node_id="(FantasyID_\w+)",\s*display_name="FantasyID ([\w ]+)"')
    nodes = dict(pair for path in (ROOT / "nodes").glob("*.py") for pair in names.findall(text_of(path)))
    assert len(nodes) > 20
    listed = [name for cell in cells(ROOT / "README.md", "Node") for name in cell.split(", ")]
    assert sorted(listed) == sorted(nodes.values())
    assert {path.stem for path in (ROOT / "web" / "docs").glob("*.md")} == nodes.keys()


def test_every_command_and_every_template_is_listed():
    assert {cell.strip("`") for cell in cells(DOCS / "commands.md", "Command")} == COMMANDS.keys()
    assert set(cells(DOCS / "comfyui.md", "Template")) == {path.stem for path in (ROOT / "workflows").glob("*.json")}


def test_every_figure_of_speed_is_quoted_with_its_processor_and_command():
    """A sentence or caption with times or ratios of times names the processor, and the document has the command."""
    for path in (ROOT / "README.md", DOCS / "bench.md"):
        paragraphs = [part for part in text_of(path).split("\n\n") if re.search(r"\d times as fast", part)]
        assert paragraphs, path.name
        assert all(re.search(r"AMD|Intel", part) for part in paragraphs), path.name
        assert "python -m fantasyid_core bench" in text_of(path)

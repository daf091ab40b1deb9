"""What a new user sees in the page of a real ComfyUI: every template opens whole, in both renderers."""

from __future__ import annotations

import json

import pytest
from boxes import TITLE, Box, covering
from chromium import ROOT, keep_screenshot

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
HEIGHTS = json.loads((ROOT / "tests" / "data" / "node_heights.json").read_text(encoding="utf-8"))
SIZES = """() => app.graph.nodes.map((node) => {
  const shown = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
  const height = shown ? shown.height / app.canvas.ds.scale : node.size[1] + TITLE;
  return [node.id, node.type, node.pos[0], node.pos[1] - TITLE, node.size[0], height];
})""".replace("TITLE", str(TITLE))
WHOLE = """() => {
  const sides = app.graph.nodes.map(({ pos, size }) => [pos[0], pos[1] - 40, pos[0] + size[0], pos[1] + size[1]]);
  const [left, top] = [0, 1].map((i) => Math.min(...sides.map((side) => side[i])));
  const [right, bottom] = [2, 3].map((i) => Math.max(...sides.map((side) => side[i])));
  const scale = Math.min(1400 / (right - left), 880 / (bottom - top));
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [60 / scale - left, 90 / scale - top];
  app.canvas.setDirty(true, true);
}"""
SERVED = """async (paths) => Promise.all(paths.map(async (path) => {
  const picture = new Image();
  picture.src = app.api.fileURL(path);
  return picture.decode().then(() => picture.naturalWidth, () => 0);
}))"""
UNKNOWN = """() => app.graph.nodes.flatMap((node) => (node.widgets ?? [])
  .filter((widget) => widget.name === { LoadImage: "image", LoadVideo: "file" }[node.type])
  .filter((widget) => !widget.options.values.includes(widget.value))
  .map((widget) => widget.value))"""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_template_opens_whole(opened, path):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    opened.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    opened.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]), timeout=30000)
    opened.wait_for_timeout(1000)
    opened.evaluate(WHOLE)
    opened.wait_for_timeout(1000)
    boxes = [Box(f"{number} {kind}", *rest) for number, kind, *rest in opened.evaluate(SIZES)]
    keep_screenshot(opened, f"template_{path.stem}_{opened.renderer}")
    assert not covering(boxes)
    assert opened.evaluate(UNKNOWN) == []  # pictures and videos that the input folder does not have
    saved = {node["id"]: node["size"][1] + TITLE for node in workflow["nodes"]}
    for box in boxes:  # a node that grew tells how tall its kind is at least
        number, kind = box.name.split(" ")
        if kind != "MarkdownNote" and box.height > saved[int(number)] + 1:
            assert box.height <= HEIGHTS[kind][opened.renderer] + 1, "tests/data/node_heights.json is out of date"


def test_the_page_gets_the_pictures_of_templates_and_help_pages(opened):
    paths = [f"/api/workflow_templates/fantasyid/{path.stem}.jpg" for path in WORKFLOWS]
    pictures = sorted((ROOT / "web" / "docs" / "pictures").glob("*.jpg"))
    widths = opened.evaluate(
        SERVED, [*paths, *(f"/extensions/fantasyid/docs/pictures/{path.name}" for path in pictures)]
    )
    assert widths[: len(paths)] == [640] * len(paths) and all(width >= 400 for width in widths[len(paths) :])

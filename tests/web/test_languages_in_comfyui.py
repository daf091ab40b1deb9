"""The nodes in Japanese, in a real page of a real ComfyUI."""

from __future__ import annotations

import json

from chromium import ROOT, keep_screenshot
from comfyuipage import open_page

SHOWN = """() => {
  const node = LiteGraph.createNode("FantasyID_WarpFace");
  app.graph.clear();
  app.graph.add(node);
  node.pos = [300, 120];
  return { title: node.title, inputs: node.inputs.map((input) => input.localized_name ?? input.label ?? input.name) };
}"""


def test_the_page_shows_the_translated_names(comfy, browser):
    texts = json.loads((ROOT / "locales" / "ja" / "nodeDefs.json").read_text(encoding="utf-8"))["FantasyID_WarpFace"]
    comfy.set("Comfy.Locale", "ja")
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    try:
        page = context.new_page()
        open_page(page, comfy)
        shown = page.evaluate(SHOWN)
        page.wait_for_timeout(800)
        keep_screenshot(page, "language_ja")
    finally:
        context.close()
        comfy.set("Comfy.Locale", "en")
    assert shown["title"] == texts["display_name"]
    assert shown["inputs"] == [each["name"] for each in texts["inputs"].values()]

"""The nodes and the face editor in Japanese and Chinese, in a real page of a real ComfyUI."""

from __future__ import annotations

import json

import pytest
from chromium import ROOT, keep_screenshot
from comfyuipage import open_page

SHOWN = """() => {
  const node = LiteGraph.createNode("FantasyID_WarpFace");
  app.graph.clear();
  app.graph.add(node);
  node.pos = [300, 120];
  const editor = LiteGraph.createNode("FantasyID_EditShape");
  app.graph.add(editor);
  editor.pos = [700, 120];
  app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState(); // as after a click
  return { title: node.title, inputs: node.inputs.map((input) => input.localized_name ?? input.label ?? input.name) };
}"""
WIPE = "document.querySelector('.fantasyid-wipe .note')?.textContent"
SLIDER = "document.querySelector('[data-name=\"face_width\"] .fid-label')?.textContent"
STATUS = "document.querySelector('[data-testid=\"fid-status\"]')?.textContent"


def texts(language: str, name: str) -> dict:
    return json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def japanese(comfy, browser):
    comfy.set("Comfy.Locale", "ja")
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    try:
        page = context.new_page()
        open_page(page, comfy)
        yield page
    finally:
        context.close()
        comfy.set("Comfy.Locale", "en")


def test_the_page_shows_the_translated_names(japanese):
    shown = japanese.evaluate(SHOWN)
    japanese.wait_for_timeout(800)
    keep_screenshot(japanese, "language_ja")
    expected = texts("ja", "nodeDefs")["FantasyID_WarpFace"]
    assert shown["title"] == expected["display_name"]
    assert shown["inputs"] == [each["name"] for each in expected["inputs"].values()]


def test_the_editor_and_the_wipe_follow_the_language_also_while_the_page_is_open(japanese):
    japanese.evaluate(SHOWN)
    note = "This is not your person yet: run the workflow once to see yours. Edits are kept."
    for language in ("ja", "zh"):
        japanese.evaluate(f"app.extensionManager.setting.set('Comfy.Locale', '{language}')")
        words = texts(language, "main")["fantasyid"]
        for shown, english in ((WIPE, "Run the workflow to see the change."), (SLIDER, "Face width"), (STATUS, note)):
            japanese.wait_for_function(f"{shown} === {json.dumps(words[english])}", timeout=30000)
    keep_screenshot(japanese, "language_zh")

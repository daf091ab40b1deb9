"""The template edit_a_photo in a real page of a real ComfyUI, in both renderers: a stranger's photo, edited."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chromium import ROOT, keep_screenshot
from comfyuipage import box_of, part, queue
from PIL import Image

SET = """([kind, name, value]) => {
  const node = app.graph.nodes.find(({ type }) => type === kind);
  node.widgets.find((widget) => widget.name === name).value = value;
}"""
SHOWN = """() => {
  app.canvas.ds.scale = 0.52;
  app.canvas.ds.offset = [460, 60];
  app.canvas.setDirty(true, true);
}"""
EDIT = """() => JSON.parse(app.graph.nodes.find(({ type }) => type === "FantasyID_EditShape").widgets
  .find(({ name }) => name === "edit").value).values"""


@pytest.fixture(autouse=True)
def own_head(comfy):
    """Without the stand-in for FLAME's mesh that the other tests use: a new user has none."""
    topology = comfy.base / "models" / "fantasyid" / "topology.safetensors"
    aside = topology.rename(comfy.base / topology.name)
    yield
    aside.rename(topology)


@pytest.fixture
def photo(comfy) -> str:
    """A photo of a person whom nobody has prepared: scikit-image's astronaut."""
    data = pytest.importorskip("skimage.data", reason="the photo needs scikit-image: pip install scikit-image")
    Image.fromarray(data.astronaut()).save(comfy.base / "input" / "stranger.png")
    return "stranger.png"


def test_a_strangers_photo_is_edited_with_no_file_but_itself(opened, comfy, photo):
    opened.problems.clear()
    workflow = json.loads((ROOT / "workflows" / "edit_a_photo.json").read_text(encoding="utf-8"))
    opened.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    opened.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]), timeout=30000)
    opened.wait_for_timeout(1000)
    opened.evaluate(SET, ["LoadImage", "image", photo])
    opened.evaluate(SHOWN)
    queue(opened)
    opened.wait_for_function("document.querySelector('[data-testid=\"fid-wipe-after\"]')?.naturalWidth > 0")
    first = part(opened, "wipe-after").get_attribute("src")
    box = box_of(opened, "slider-nose_length")
    opened.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    assert opened.evaluate(EDIT)["nose_length"] > 0.3
    queue(opened)
    opened.wait_for_function(
        "first => document.querySelector('[data-testid=\"fid-wipe-after\"]').src !== first", arg=first
    )
    opened.wait_for_timeout(1500)
    keep_screenshot(opened, f"edit_a_photo_{opened.renderer}")
    before, after = (pixels(opened, f"wipe-{name}") for name in ("before", "after"))
    assert before.shape == after.shape and np.abs(before.astype(int) - after).mean() > 1
    assert not opened.problems


def pixels(page, name: str) -> np.ndarray:
    """The picture that a part of the page shows, as grey values."""
    text = part(page, name).evaluate(
        """(picture) => {
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
          const pen = canvas.getContext("2d");
          pen.drawImage(picture, 0, 0);
          return [canvas.width, canvas.height, ...pen.getImageData(0, 0, canvas.width, canvas.height).data.filter(
            (_, index) => index % 4 === 1)];
        }"""
    )
    width, height, *values = text
    return np.array(values, np.uint8).reshape(height, width)

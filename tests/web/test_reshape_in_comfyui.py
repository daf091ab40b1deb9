"""The template reshape_any_video in a real page of a real ComfyUI, in both renderers: a video in, a video out."""

from __future__ import annotations

import json

from chromium import ROOT, keep_screenshot
from comfyuipage import part

from fantasyid_core.videofile import read_video, save_video

FRAMES = 6  # of the example video, so that the test takes seconds
SET = """([kind, name, value]) => {
  const node = app.graph.nodes.find(({ type }) => type === kind);
  node.widgets.find((widget) => widget.name === name).value = value;
}"""
CLOSE = """() => {
  const { pos } = app.graph.nodes.find(({ type }) => type === "FantasyID_ReshapeVideo");
  app.canvas.ds.scale = 0.9;
  app.canvas.ds.offset = [120 - pos[0], 90 - pos[1]];
  app.canvas.setDirty(true, true);
}"""
MESSAGE = """() => app.graph.nodes.find(({ type }) => type === "FantasyID_ReshapeVideo").widgets
  .map(({ value }) => String(value)).find((value) => value.includes("frames were changed"))"""


def test_the_template_reshapes_a_video_and_shows_it(opened, comfy):
    opened.problems.clear()
    short = f"short_{opened.renderer}.mp4"
    save_video(read_video(ROOT / "people" / "fantasyid_talking.mp4")[:FRAMES], comfy.base / "input" / short, 24)
    workflow = json.loads((ROOT / "workflows" / "reshape_any_video.json").read_text(encoding="utf-8"))
    opened.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    opened.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]), timeout=30000)
    opened.wait_for_timeout(1000)
    opened.evaluate(CLOSE)
    assert "Run the workflow" in part(opened, "compare").text_content()
    opened.evaluate(SET, ["LoadVideo", "file", short])
    opened.evaluate("() => { events.length = 0; app.queuePrompt(0, 1); }")
    opened.wait_for_function("events.length", timeout=120000)
    assert opened.evaluate("events[0][0]") == "execution_success", opened.evaluate("events[0][1].exception_message")
    opened.wait_for_function("document.querySelector('[data-testid=\"fid-wipe-after\"]')?.naturalWidth === 480")
    before, after = (part(opened, f"wipe-{name}").get_attribute("src") for name in ("before", "after"))
    assert before != after
    opened.wait_for_function(MESSAGE, timeout=10000)
    assert f"{FRAMES} of {FRAMES} frames were changed" in opened.evaluate(MESSAGE)
    opened.wait_for_timeout(1500)
    keep_screenshot(opened, f"reshape_{opened.renderer}")
    (saved,) = (comfy.base / "output" / "video").glob("FantasyID_reshaped*.mp4")
    assert read_video(saved).shape == (FRAMES, 480, 480, 3)
    saved.unlink()
    assert not opened.problems

"""The workflow tiny_demo in a real page of a real ComfyUI: four videos with what comes along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
ROOT = Path(__file__).resolve().parents[2]
SHOWN = "() => { app.canvas.ds.scale = 0.33; app.canvas.ds.offset = [470, 110]; app.canvas.setDirty(true, true); }"


def test_the_demo_makes_its_videos(opened):
    workflow = json.loads((ROOT / "workflows" / "tiny_demo.json").read_text(encoding="utf-8"))
    opened.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    opened.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]), timeout=20000)
    opened.wait_for_timeout(1000)
    opened.evaluate("() => { events.length = 0; app.queuePrompt(0, 1); }")
    opened.wait_for_function("events.length", timeout=120000)
    assert opened.evaluate("events[0][0]") == "execution_success", opened.evaluate("events[0][1].exception_message")
    opened.evaluate(SHOWN)
    opened.wait_for_timeout(2000)
    folder = ROOT / "output" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=folder / f"tiny_demo_{opened.renderer}.png")
    assert not opened.problems

"""The workflows as Apps in a real page of a real ComfyUI: the form has every input, and its video comes."""

from __future__ import annotations

import json

import pytest
from chromium import ROOT, keep_screenshot

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
ITEMS = '[data-testid="app-mode-widget-item"]'
TOGGLE = "() => app.extensionManager.command.execute('Comfy.ToggleLinear')"


@pytest.fixture
def as_app(opened):
    """as_app(path) -> the page with this workflow as an App."""
    opened.problems.clear()

    def show(path):
        workflow = json.loads(path.read_text(encoding="utf-8"))
        opened.evaluate("workflow => app.loadGraphData(workflow)", workflow)
        opened.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]), timeout=30000)
        opened.evaluate(TOGGLE)
        opened.wait_for_selector(ITEMS, timeout=30000)
        opened.wait_for_timeout(800)
        return workflow["extra"]["linearData"]

    yield show
    opened.evaluate(TOGGLE)
    assert not opened.problems


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_form_has_every_input(opened, as_app, path):
    expected = as_app(path)
    keep_screenshot(opened, f"app_{path.stem}_{opened.renderer}")
    assert opened.locator(ITEMS).count() == len(expected["inputs"])
    shown = opened.locator('[data-testid="app-mode-widget-description"]').all_inner_texts()
    assert [text.strip() for text in shown] == [each["description"] for *_, each in expected["inputs"]]


def test_the_form_runs(opened, as_app):
    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    as_app(ROOT / "workflows" / "tiny_demo.json")
    opened.evaluate("() => { events.length = 0; }")
    opened.locator('[data-testid="linear-run-button"] button').last.click()
    opened.wait_for_function("events.length", timeout=120000)
    assert opened.evaluate("events[0][0]") == "execution_success", opened.evaluate("events[0][1].exception_message")
    opened.locator("video:visible").first.wait_for(timeout=60000)  # the page keeps hidden ones, too
    opened.wait_for_timeout(1000)
    keep_screenshot(opened, f"app_run_{opened.renderer}")

"""ComfyUI's page as the tests use it."""

from __future__ import annotations

RENDERERS = {"litegraph": False, "nodes2": True}
READY = (
    "window.app?.extensionManager && app.canvas && app.graph && !app.extensionManager.spinner"
    " && app.extensionManager.workflow?.activeWorkflow"
)
EVENTS = """() => {
  window.events = [];
  for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
    app.api.addEventListener(name, ({ detail }) => events.push([name, detail]));
  }
}"""

FORGET = """() => {
  const { changeTracker } = app.extensionManager.workflow.activeWorkflow;
  changeTracker.captureCanvasState();
  changeTracker.undoQueue.length = changeTracker.redoQueue.length = 0;
}"""


PLACE = """each => {
  each.scrollIntoView({ block: "nearest", inline: "nearest" });
  const { x, y, width, height } = each.getBoundingClientRect();
  return width ? { x, y, width, height } : null;
}"""


def open_page(page, comfy) -> None:
    page.goto(comfy.address)
    page.wait_for_function(READY, timeout=60000)
    page.evaluate(EVENTS)


def part(page, name: str):
    return page.locator(f'[data-testid="fid-{name}"]').first


def box_of(page, name: str) -> dict:
    """Where a part is on the screen, scrolled into view: x, y, width and height in pixels.

    The page is asked once for everything: a message that arrives between two questions would draw the node anew.
    """
    element = part(page, name)
    box = element.evaluate(PLACE)
    while box is None:
        page.wait_for_timeout(50)
        box = element.evaluate(PLACE)
    return box


def queue(page) -> None:
    page.evaluate("() => { events.length = 0; app.queuePrompt(0, 1); }")
    page.wait_for_function("events.length", timeout=240000)
    assert page.evaluate("events[0][0]") == "execution_success", page.evaluate("events")
    page.wait_for_timeout(500)


def forget_changes(page) -> None:
    """What was done until now cannot be undone."""
    page.evaluate(FORGET)

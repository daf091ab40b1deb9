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


PLACE = """async (selector) => {
  let last = null;
  for (let frame = 0; frame < 1200; frame += 1) {
    const element = document.querySelector(selector);
    element?.scrollIntoView({ block: "center", inline: "nearest" });
    const { x, y, width, height } = element?.getBoundingClientRect() ?? {};
    if (width && last && x === last.x && y === last.y && width === last.width) return last;
    last = width ? { x, y, width, height } : null;
    await new Promise(requestAnimationFrame);
  }
  return null;
}"""


def open_page(page, comfy) -> None:
    page.goto(comfy.address)
    page.wait_for_function(READY, timeout=60000)
    page.evaluate(EVENTS)


def part(page, name: str):
    return page.locator(f'[data-testid="fid-{name}"]').first


def box_of(page, name: str) -> dict:
    """Where a part stays on the screen, scrolled into view: x, y, width and height in pixels.

    The page itself looks for it in every frame, because a message that arrives meanwhile draws the node anew.
    """
    box = page.evaluate(PLACE, f'[data-testid="fid-{name}"]')
    assert box, f"{name} is not shown, or does not stay where it is"
    return box


def queue(page) -> None:
    page.evaluate("() => { events.length = 0; app.queuePrompt(0, 1); }")
    page.wait_for_function("events.length", timeout=240000)
    assert page.evaluate("events[0][0]") == "execution_success", page.evaluate("events")
    page.wait_for_timeout(500)


def forget_changes(page) -> None:
    """What was done until now cannot be undone."""
    page.evaluate(FORGET)

"""The face editor in the real ComfyUI with its real page, in both of the page's renderers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chromium import keep_screenshot
from comfyuipage import box_of, forget_changes, open_page, part, queue

from fantasyid_core.shape import load_shape
from fantasyid_core.shape.edit.edit import edit_shape

GRAPH = """async () => {
  app.graph.clear();
  const add = (type, x) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, 60];
    app.graph.add(node);
    return node;
  };
  const load = add("FantasyID_LoadShape", 40);
  const edit = add("FantasyID_EditShape", 380);
  const save = add("FantasyID_SaveShape", 880);
  edit.setSize([460, 700]);
  const connect = (from, to) => from.connect(0, to, to.inputs.findIndex(({ name }) => name === "shape"));
  connect(load, edit);
  connect(edit, save);
  const set = (node, name, value) => (node.widgets.find((each) => each.name === name).value = value);
  set(load, "shape", "face.ply");
  set(save, "format", ".npy");
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [20, 20];
  app.canvas.setDirty(true, true);
}"""
HELPERS = """() => {
  window.node = () => app.graph.nodes.find(({ type }) => type === "FantasyID_EditShape");
  window.widget = () => node().widgets.find(({ name }) => name === "edit");
}"""
SHOWN = """() => {
  const canvas = widget().element.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0, drawn = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (31 * hash + data[i]) | 0;
    drawn += data[i + 3] > 128;
  }
  return { hash, share: drawn / (canvas.width * canvas.height) };
}"""


@pytest.fixture
def page(opened):
    """The page with Load Shape -> Edit Shape -> Save Shape; a test fails when one of our files threw."""
    opened.problems.clear()
    opened.evaluate(HELPERS)
    opened.evaluate(GRAPH)
    part(opened, "canvas").wait_for()
    opened.wait_for_function("document.querySelector('.fid-message').hidden")
    opened.wait_for_timeout(300)
    forget_changes(opened)
    yield opened
    assert not opened.problems


def edit(page) -> dict:
    return json.loads(page.evaluate("widget().value"))


def drag(page, start, end, **how) -> None:
    page.mouse.move(*start)
    page.mouse.down(**how)
    page.mouse.move(*end, steps=8)
    page.mouse.up(**how)
    page.wait_for_timeout(150)


def drag_slider(page, name: str, share: float) -> None:
    box = box_of(page, f"slider-{name}")
    middle = box["y"] + box["height"] / 2
    drag(page, (box["x"] + box["width"] / 2, middle), (box["x"] + box["width"] * share, middle))


def drag_chin(page, height: float = 0.78) -> None:
    """Down, from where a front view has the chin: at this share of its height."""
    box = part(page, "canvas").bounding_box()
    chin = box["x"] + box["width"] / 2, box["y"] + box["height"] * height
    page.mouse.move(*chin)
    page.wait_for_timeout(100)
    assert "Chin" in part(page, "under").text_content()
    drag(page, chin, (chin[0], chin[1] + 30))


def await_own_head(page) -> None:
    page.wait_for_function("""() => {
      return !document.querySelector('[data-testid="fid-status"]').textContent.includes("not your person");
    }""")


def saved(comfy) -> np.ndarray:
    """The vertices that Save Shape wrote last."""
    newest = max((comfy.base / "output").rglob("*.npy"), key=lambda path: path.stat().st_mtime_ns)
    return np.load(newest).reshape(-1, 3)


def test_before_the_first_run_a_template_can_be_edited(page):
    assert "not your person yet" in part(page, "status").text_content()
    assert page.evaluate(SHOWN)["share"] > 0.1
    before = page.evaluate(SHOWN)
    drag_slider(page, "weight", 0.8)
    assert edit(page)["values"]["weight"] > 0.4
    page.wait_for_timeout(300)
    assert page.evaluate(SHOWN) != before


def test_an_edit_survives_queueing_saving_and_reloading(page, comfy, portraits):
    base = load_shape(portraits("one.ply"))
    base = np.asarray(getattr(base, "vertices", base))
    place = page.evaluate("[...node().pos]")
    queue(page)
    assert np.array_equal(saved(comfy), base)  # no edit: bit for bit
    await_own_head(page)
    drag_slider(page, "weight", 0.7)
    drag_chin(page)
    assert page.evaluate("[...node().pos]") == place  # the node stays where it is
    found = edit(page)["values"]
    assert found["chin_height"] > 0.1 and found["weight"] > 0.2
    page.keyboard.press("Control+z")
    page.wait_for_timeout(400)
    assert list(edit(page)["values"]) == ["weight"]
    page.keyboard.press("Control+Shift+z")
    page.wait_for_timeout(400)
    assert edit(page)["values"] == found
    page.keyboard.press("Delete")
    assert page.evaluate("Boolean(node())")  # the node is not deleted
    keep_screenshot(page, f"comfyui_{page.renderer}")
    queue(page)
    assert np.abs(saved(comfy) - edit_shape(base, found)).max() < 1e-6

    shown = page.evaluate(SHOWN)
    page.evaluate("() => { node().collapse(); app.canvas.setDirty(true, true); }")
    page.wait_for_timeout(300)
    assert not part(page, "canvas").is_visible()
    page.evaluate("() => { node().collapse(); app.canvas.setDirty(true, true); }")
    page.wait_for_timeout(500)
    assert part(page, "canvas").is_visible() and page.evaluate(SHOWN)["share"] > 0.1
    assert shown["share"] > 0.1

    workflow = page.evaluate("app.graph.serialize()")
    open_page(page, comfy)
    page.evaluate(HELPERS)
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    part(page, "canvas").wait_for()
    page.wait_for_timeout(800)
    assert edit(page)["values"] == found
    queue(page)  # nothing changed: the node does not run, and sends its head again
    await_own_head(page)
    assert page.evaluate(SHOWN)["share"] > 0.1


def test_the_hosts_own_undo_keeps_the_editor_alive(page):
    drag_slider(page, "weight", 0.8)
    page.mouse.click(1300, 800)  # beside all nodes: the keys are the host's
    page.keyboard.press("Control+z")
    page.wait_for_timeout(1200)
    assert edit(page).get("values", {}) == {}
    assert page.evaluate("widget().element.isConnected")
    assert page.locator(".fantasyid-editor").count() == 1
    drag_slider(page, "weight", 0.8)
    assert edit(page)["values"]["weight"] > 0.4


def test_pins_do_not_make_a_video_anew(page):
    sent = "async () => JSON.parse((await app.graphToPrompt()).output[node().id].inputs.edit)"
    drag_slider(page, "weight", 0.8)
    before = page.evaluate(sent)
    assert before["values"] == edit(page)["values"]
    page.get_by_label("Weight: Pin").click()
    assert edit(page)["pinned"] == ["weight"]
    assert page.evaluate(sent) == before


def test_two_editors_and_one_that_is_deleted_while_dragging(page):
    page.evaluate("""() => {
      const second = LiteGraph.createNode("FantasyID_EditShape");
      second.pos = [960, 300];
      app.graph.add(second);
      window.second = second;
    }""")
    page.wait_for_timeout(500)
    drag_slider(page, "weight", 0.8)
    other = "JSON.parse(second.widgets.find(({ name }) => name === 'edit').value)"
    assert page.evaluate(other) == {}
    box = part(page, "canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.78)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.85, steps=3)
    page.evaluate("app.graph.remove(node())")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.9, steps=3)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert page.locator(".fantasyid-editor").count() == 1
    assert page.evaluate(other) == {}


def test_the_pointer_hits_at_any_zoom(page):
    for zoom in (0.5, 1.5):
        page.evaluate(
            """zoom => {
              app.canvas.ds.scale = zoom;
              app.canvas.ds.offset = [-node().pos[0] + 150 / zoom, -node().pos[1] + 100 / zoom];
              app.canvas.setDirty(true, true);
              widget().value = "{}";
            }""",
            zoom,
        )
        page.wait_for_timeout(500)
        drag_chin(page)
        assert edit(page)["values"]["chin_height"] > 0.05
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(200)
        assert page.evaluate("app.canvas.ds.scale") == zoom  # the wheel zooms the face, not the graph
        page.evaluate("widget().element.querySelector('canvas').dispatchEvent(new MouseEvent('dblclick'))")

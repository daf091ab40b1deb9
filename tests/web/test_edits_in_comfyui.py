"""What follows an edit in the real ComfyUI: the picture, blended people, previews; and what its server gives out."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from chromium import keep_screenshot
from comfyuipage import box_of, forget_changes, open_page, part, queue
from PIL import Image

from fantasyid_core.face.photo import FaceRequest, find_face
from fantasyid_core.face.picture import load_picture
from fantasyid_core.shape import blend_shapes, edit_shape, load_shape
from fantasyid_core.shape.edit.blend import circle_weights
from fantasyid_core.shape.edit.warp import warp_face
from fantasyid_core.shape.topology.topology import load_topology

ADD = """window.add = (type, x, y, values = {}) => {
  const node = LiteGraph.createNode(type);
  node.pos = [x, y];
  app.graph.add(node);
  for (const [name, value] of Object.entries(values)) node.widgets.find((each) => each.name === name).value = value;
  return node;
};
window.connect = (from, output, to, input) => {
  from.connect(output, to, to.inputs.findIndex(({ name }) => name === input));
};
window.widgetOf = (type, name) => {
  return app.graph.nodes.find((each) => each.type === type).widgets.find((each) => each.name === name);
};"""
FOLLOWS = """() => {
  app.graph.clear();
  const photo = add("LoadImage", 20, 60, { image: "face.png" });
  const crop = add("FantasyID_CropFace", 20, 420, { detector: "mediapipe" });
  const load = add("FantasyID_LoadShape", 320, 60, { shape: "face.ply" });
  const edit = add("FantasyID_EditShape", 380, 180);
  edit.setSize([460, 700]);
  const warp = add("FantasyID_WarpFace", 880, 60);
  const show = add("FantasyID_ShapePreview", 880, 420, { frames: 4, size: 128 });
  const save = add("SaveImage", 1160, 60, { filename_prefix: "warped" });
  connect(photo, 0, crop, "image");
  connect(crop, 0, warp, "face");
  connect(load, 0, edit, "shape");
  connect(load, 0, warp, "before");
  connect(edit, 0, warp, "after");
  connect(load, 0, show, "before");
  connect(edit, 0, show, "shape");
  connect(warp, 1, save, "images");
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [20, 20];
  app.canvas.setDirty(true, true);
}"""
BLEND = """() => {
  app.graph.clear();
  const one = add("FantasyID_LoadShape", 20, 60, { shape: "face.ply" });
  const two = add("FantasyID_LoadShape", 20, 460, { shape: "two.ply" });
  const blend = add("FantasyID_BlendShapes", 380, 60);
  blend.setSize([380, 620]);
  const save = add("FantasyID_SaveShape", 820, 60, { format: ".npy", filename_prefix: "blend/head" });
  connect(one, 0, blend, "shape_1");
  connect(two, 0, blend, "shape_2");
  connect(blend, 0, save, "shape");
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [20, 20];
  app.canvas.setDirty(true, true);
}"""


@pytest.fixture
def page(opened):
    opened.problems.clear()
    opened.evaluate(f"() => {{ {ADD} }}")
    yield opened
    assert not opened.problems


def build(page, graph: str) -> None:
    page.evaluate(graph)
    page.wait_for_timeout(600)
    forget_changes(page)


def newest(folder, pattern: str):
    return max(folder.rglob(pattern), key=lambda path: path.stat().st_mtime_ns)


def test_the_picture_that_the_video_starts_from_follows_a_dragged_slider(page, comfy, portraits):
    build(page, FOLLOWS)
    part(page, "canvas").wait_for()
    page.wait_for_function("document.querySelector('.fid-message').hidden")
    box = box_of(page, "slider-face_width")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    values = json.loads(page.evaluate("widgetOf('FantasyID_EditShape', 'edit').value"))["values"]
    assert values["face_width"] > 0.3
    queue(page)
    page.wait_for_timeout(700)
    keep_screenshot(page, f"comfyui_follows_{page.renderer}")
    faces = load_topology(portraits("topology.safetensors")).faces.numpy()
    face = find_face([load_picture(portraits("one.png"))], FaceRequest("mediapipe")).face
    before = load_shape(portraits("one.ply"))
    expected = warp_face(face, before, edit_shape(before, values), faces).crop
    with Image.open(newest(comfy.base / "output", "warped*.png")) as saved:
        np.testing.assert_array_equal(np.asarray(saved), expected)
    assert (expected != face.crop).mean() > 0.05


def test_dragging_on_the_circle_mixes_the_people(page, comfy, portraits):
    build(page, BLEND)
    pad = part(page, "circle")
    pad.wait_for()
    page.wait_for_function("document.querySelectorAll('.fantasyid-circle .person').length === 2")
    box = pad.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 9, middle[1] - 40, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    place = json.loads(page.evaluate("widgetOf('FantasyID_BlendShapes', 'place').value"))
    assert place["x"] == 0 and 0.2 < place["y"] < 0.9
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    lower = json.loads(page.evaluate("widgetOf('FantasyID_BlendShapes', 'place').value"))
    assert lower["y"] == pytest.approx(place["y"] - 0.05, abs=2e-3)
    queue(page)
    keep_screenshot(page, f"comfyui_circle_{page.renderer}")
    heads = [load_shape(portraits(f"{name}.ply")).numpy() for name in ("one", "two")]
    average = load_topology(portraits("topology.safetensors")).template.numpy()
    expected = blend_shapes(heads, circle_weights(0, lower["y"], 2), 0, average, onto=0)
    np.testing.assert_allclose(np.load(newest(comfy.base / "output", "head*.npy")), expected, atol=1e-6)
    page.evaluate("app.graph.nodes.find(({ type }) => type === 'FantasyID_BlendShapes').disconnectInput(1)")
    workflow = page.evaluate("app.graph.serialize()")
    open_page(page, comfy)
    page.evaluate(f"() => {{ {ADD} }}")
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    part(page, "circle").wait_for()
    page.wait_for_function("document.querySelectorAll('.fantasyid-circle .person').length > 0")
    assert json.loads(page.evaluate("widgetOf('FantasyID_BlendShapes', 'place').value")) == lower


def answer(address: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(address, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_the_server_gives_out_the_template_and_nothing_else(comfy):
    status, head = answer(f"{comfy.address}/fantasyid/editor/template")
    assert status == 200 and head.startswith(b"FIDC") and len(head) < 2e6
    assert answer(f"{comfy.address}/fantasyid/editor/template?path=/etc/passwd") == (200, head)
    for path in ("head/3", "template/1", "../template", "head?id=1", "template/..%2f..%2fetc%2fpasswd"):
        assert answer(f"{comfy.address}/fantasyid/editor/{path}")[0] == 404, path
    for name in ("head-000000000000000000000000.bin", "../../server.log", "..%2f..%2fserver.log"):
        query = f"filename={name}&subfolder=fantasyid&type=temp"
        assert answer(f"{comfy.address}/view?{query}")[0] in (400, 403, 404), name
    assert answer(f"{comfy.address}/view?filename=server.log&subfolder=../..&type=temp")[0] in (400, 403, 404)

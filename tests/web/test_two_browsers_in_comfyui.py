"""Two people at one ComfyUI: each page keeps its own edits and gets its own messages, whoever else runs a node."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from chromium import keep_screenshot
from comfyuipage import box_of, open_page

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
RUNS = 3
GRAPH = """(seed) => {
  app.graph.clear();
  const add = (type, x, values = {}) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, 60];
    app.graph.add(node);
    for (const [name, value] of Object.entries(values)) node.widgets.find((each) => each.name === name).value = value;
    return node;
  };
  const person = add("FantasyID_SamplePerson", 20, { seed, control_after_generate: "fixed" });
  const edit = add("FantasyID_EditShape", 400);
  const save = add("FantasyID_SaveShape", 900, { format: ".npy", filename_prefix: `two/${seed}` });
  edit.setSize([460, 700]);
  const connect = (from, output, to) => from.connect(output, to, to.inputs.findIndex(({ name }) => name === "shape"));
  connect(person, 1, edit);
  connect(edit, 0, save);
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [20, 20];
  app.canvas.setDirty(true, true);
  window.widget = () => edit.widgets.find(({ name }) => name === "edit");
  window.heard = [];
  app.api.addEventListener("progress_text", ({ detail }) => heard.push(detail.text));
  return [person, edit, save].map(({ id }) => String(id));
}"""
DRAG = "([name, value]) => { widget().value = JSON.stringify({ version: 1, values: { [name]: value } }); }"


@pytest.fixture
def people(comfy, browser):
    """Two pages with the same graph, of two people; each runs what it has."""
    comfy.set("Comfy.VueNodes.Enabled", False)
    found = []
    for seed in (1, 2):
        context = browser.new_context(viewport={"width": 1500, "height": 1000})
        page = context.new_page()
        open_page(page, comfy)
        found.append(SimpleNamespace(page=page, seed=seed, context=context, ids=page.evaluate(GRAPH, seed)))
        page.wait_for_function("document.querySelector('.fid-message').hidden")
    yield found
    for each in found:
        each.context.close()


def saved(comfy, person) -> list[np.ndarray]:
    """What Save Shape wrote for this person, the first run first."""
    return [np.load(path) for path in sorted((comfy.base / "output" / "two").glob(f"{person.seed}_*.npy"))]


def drag(person, name: str, share: float) -> None:
    box = box_of(person.page, f"slider-{name}")
    person.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    person.page.mouse.down()
    person.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps=4)
    person.page.mouse.up()


def test_neither_loses_edits_or_gets_the_others_messages(comfy, people):
    one, two = people
    assert one.ids == two.ids  # the same numbers, so that the server could take one for the other
    drag(one, "face_width", 0.85)
    drag(two, "jaw_width", 0.15)
    edits = [json.loads(each.page.evaluate("widget().value"))["values"] for each in people]
    assert list(edits[0]) == ["face_width"] and list(edits[1]) == ["jaw_width"]
    for each in people:
        each.page.evaluate("() => { events.length = 0; heard.length = 0; }")
    for _ in range(RUNS):
        for each, name in zip(people, ("age", "weight"), strict=True):
            each.page.evaluate("() => app.queuePrompt(0, 1)")
            drag(each, name, 0.7)  # while both run, so that the next run differs
    for each in people:
        each.page.wait_for_function("count => events.length === count", arg=RUNS, timeout=180000)
        assert each.page.evaluate("events.map(([name]) => name)") == ["execution_success"] * RUNS
    for each, before, other in zip(people, edits, (two, one), strict=True):
        after = json.loads(each.page.evaluate("widget().value"))["values"]
        (kept,) = before
        assert after[kept] == before[kept] and len(after) == 2
        heard = each.page.evaluate("heard")
        assert any(f"procedural person {each.seed}" in text for text in heard)
        assert not any(f"procedural person {other.seed}" in text for text in heard)
        assert len(saved(comfy, each)) >= 1
        keep_screenshot(each.page, f"two_browsers_{each.seed}")
    first, second = (saved(comfy, each)[-1] for each in people)
    assert first.shape == second.shape and abs(first - second).max() > 0.001

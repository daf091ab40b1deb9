"""Before and after on Warp Face, and messages on nodes, in a real page of a real ComfyUI."""

from __future__ import annotations

import pytest
from chromium import keep_screenshot
from comfyuipage import part, queue

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
BUILD = """() => {
  app.graph.clear();
  const add = (type, x, y) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    app.graph.add(node);
    return node;
  };
  const connect = (from, output, to, input) =>
    from.connect(output, to, to.inputs.findIndex(({ name }) => name === input));
  const person = add("FantasyID_SamplePerson", 20, 60);
  const edit = add("FantasyID_EditShape", 400, 60);
  const warp = add("FantasyID_WarpFace", 900, 60);
  edit.widgets.find(({ name }) => name === "edit").value = '{"version":1,"values":{"face_width":1}}';
  person.widgets.find(({ name }) => name === "control_after_generate").value = "fixed";
  connect(person, 1, edit, "shape");
  connect(person, 0, warp, "face");
  connect(person, 1, warp, "before");
  connect(edit, 0, warp, "after");
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [20, 20];
  app.canvas.setDirty(true, true);
  return [person, edit, warp].map(({ id }) => String(id));
}"""
SAY = """([id, text]) => app.api.dispatchEvent(new CustomEvent("progress_text", { detail: { nodeId: id, text } }))"""
HIDDEN = """(text) => {
  const flat = (some) => some.replace(/\\s+/g, "");
  const all = [...document.querySelectorAll("div, span, p")];
  const showing = all.filter((each) => flat(each.textContent) === flat(text));
  const words = showing.at(-1).getBoundingClientRect();
  const boxes = showing.filter((each) => each.clientHeight > 0);
  return { height: words.height, hidden: Math.max(...boxes.map((each) => each.scrollHeight - each.clientHeight)) };
}"""
LONG = "\n".join(
    f"Line {number}: expected something, got something else, and here is what to do about it."
    for number in range(1, 13)
)


@pytest.fixture
def ids(opened) -> list[str]:
    opened.problems.clear()
    found = opened.evaluate(BUILD)
    opened.wait_for_timeout(800)
    yield found
    assert not opened.problems


def test_warp_face_wipes_between_before_and_after(opened, ids):
    wipe = part(opened, "compare")
    wipe.wait_for()
    assert "Run the workflow" in wipe.text_content()
    queue(opened)
    opened.wait_for_function("document.querySelector('[data-testid=\"fid-wipe-after\"]')?.naturalWidth === 512")
    before, after = (part(opened, f"wipe-{name}").get_attribute("src") for name in ("before", "after"))
    assert before != after
    box = wipe.bounding_box()
    seen = []
    for share in (0.1, 0.9):
        opened.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        opened.wait_for_timeout(200)
        seen.append(wipe.screenshot())
        assert abs(int(wipe.get_attribute("aria-valuenow")) - 100 * share) <= 2
    assert seen[0] != seen[1]
    keep_screenshot(opened, f"wipe_{opened.renderer}")


def test_a_long_message_is_shown_whole(opened, ids):
    opened.evaluate(SAY, [ids[2], LONG])
    opened.wait_for_timeout(1500)
    found = opened.evaluate(HIDDEN, LONG)
    keep_screenshot(opened, f"message_{opened.renderer}")
    assert found["height"] > 12 * 12 and found["hidden"] <= 1

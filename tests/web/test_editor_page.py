"""The face editor in a real browser, on a page of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from chromium import chromium, keep_screenshot, page_server

from fantasyid_core.shape.controlpack import pack_controls
from fantasyid_core.shape.edit import edit_shape
from fantasyid_core.shape.head import synthetic_head

PAGE = Path(__file__).with_name("page.html")
DRAWN = """() => {
  const { canvas } = editor.stage;
  editor.stage.viewer.draw();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0, drawn = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (31 * hash + data[i] + 7 * data[i + 1]) | 0;
    drawn += data[i + 3] > 128;
  }
  return { hash, share: drawn / (canvas.width * canvas.height) };
}"""


@pytest.fixture(scope="module")
def head():
    """Vertices and faces of the project's own head."""
    return synthetic_head(4)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(head):
    with page_server({"/": PAGE.read_bytes(), "/head.bin": pack_controls(*head)}) as found:
        yield found


@pytest.fixture
def page(browser, address):
    """An empty page; a test fails when the console showed an error."""
    context = browser.new_context(viewport={"width": 460, "height": 660}, device_scale_factor=1)
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.goto(address)
    page.wait_for_function("window.loaded")
    yield page
    context.close()
    assert not problems


@pytest.fixture
def editor(page):
    """A page with one editor, as `window.editor`."""
    page.evaluate("async () => { window.editor = await addEditor(); }")
    page.wait_for_function("editor.stage.viewer.frames > 0")
    return page


def part(page, name: str):
    return page.locator(f'[data-testid="fid-{name}"]')


def edit(page) -> dict:
    return json.loads(page.evaluate("editor.value"))


def values(page) -> dict:
    return edit(page).get("values", {})


def slider_at(page, name: str, share: float) -> tuple[float, float]:
    slider = part(page, f"slider-{name}")
    page.evaluate(f"editor.panel.reveal('{name}')")
    box = slider.bounding_box()
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def drag(page, start, end, **how) -> None:
    page.mouse.move(*start)
    page.mouse.down(**how)
    page.mouse.move(*end, steps=8)
    page.mouse.up(**how)


def on_face(page, x: float, y: float) -> tuple[float, float]:
    """The place of the page where a point of the face, seen from the front, is (metres)."""
    box = part(page, "canvas").bounding_box()
    found = page.evaluate(
        """([x, y]) => {
          const { viewer, canvas } = editor.stage;
          const near = (v) => Math.hypot(viewer.vertices[v] - x, viewer.vertices[v + 1] - y) - viewer.vertices[v + 2];
          let best = 0;
          for (let v = 0; v < viewer.vertices.length; v += 3) if (near(v) < near(best)) best = v;
          viewer.pick(0, 0);
          return [viewer._pixels[best], viewer._pixels[best + 1]];
        }""",
        [x, y],
    )
    return box["x"] + found[0], box["y"] + found[1]


def test_the_head_is_drawn_and_stays_as_it_is(editor):
    first, second = editor.evaluate(DRAWN), editor.evaluate(DRAWN)
    assert 0.1 < first["share"] < 0.8
    assert first == second
    frames = editor.evaluate("editor.stage.viewer.frames")
    editor.wait_for_timeout(400)
    assert editor.evaluate("editor.stage.viewer.frames") <= frames + 1  # it rests: nothing is drawn without a change
    assert edit(editor) == {} and editor.evaluate("changes") == []
    keep_screenshot(editor, "editor")


def test_a_dragged_slider_shows_what_python_computes(editor, head):
    before = editor.evaluate(DRAWN)
    drag(editor, slider_at(editor, "face_width", 0.5), slider_at(editor, "face_width", 0.8))
    assert 0.5 < values(editor)["face_width"] < 0.75
    assert editor.evaluate("changes") == [editor.evaluate("editor.value")]  # told once, at the end
    assert editor.evaluate(DRAWN) != before
    editor.wait_for_timeout(50)
    shown = np.array(editor.evaluate("[...editor.stage.viewer.vertices]"), np.float32).reshape(-1, 3)
    assert np.abs(shown - edit_shape(head[0], editor.evaluate("editor.value")).numpy()).max() < 1e-7


def test_the_face_itself_is_dragged(editor):
    chin = on_face(editor, 0.0, -0.09)
    editor.mouse.move(*chin)
    editor.wait_for_timeout(100)
    assert "Chin" in part(editor, "under").text_content()
    assert editor.locator(".fid-marked").count() > 0
    keep_screenshot(editor, "editor_chin")
    drag(editor, chin, (chin[0], chin[1] + 35))
    found = values(editor)
    assert found["chin_height"] > 0.2
    assert all(not isinstance(value, dict) for value in found.values())  # both sides alike
    moved = editor.evaluate("editor.value")
    editor.keyboard.press("Control+z")
    assert values(editor) == {}
    editor.keyboard.press("Control+Shift+z")
    assert editor.evaluate("editor.value") == moved


def test_on_one_side_the_grabbed_half_moves(editor):
    part(editor, "sides-l").click()
    drag(editor, on_face(editor, -0.055, -0.03), on_face(editor, -0.08, -0.03))
    found = values(editor)
    assert found and all(value["right"] == 0 and value["left"] != 0 for value in found.values())
    drag(editor, on_face(editor, 0.055, -0.03), on_face(editor, 0.08, -0.03))  # the other half, grabbed
    assert edit(editor)["sides"] == ["right"]
    pairs = editor.evaluate("Object.values(editor.state.values)")
    assert any(right for _, right in pairs)
    part(editor, "mirror").click()
    part(editor, "mirror-left").click()
    assert all(not isinstance(value, dict) for value in values(editor).values())


def test_escape_gives_up_a_drag(editor):
    chin = on_face(editor, 0.0, -0.09)
    editor.mouse.move(*chin)
    editor.mouse.down()
    editor.mouse.move(chin[0], chin[1] + 30, steps=4)
    part(editor, "stage").focus()
    editor.keyboard.press("Escape")
    editor.mouse.up()
    assert values(editor) == {} and editor.evaluate("editor.state.values") == {}


def test_pinned_controls_cannot_be_dragged(editor):
    for name in ("chin_height", "chin_width", "chin_projection"):
        editor.evaluate(f"editor.state.togglePin('{name}')")
    chin = on_face(editor, 0.0, -0.09)
    drag(editor, chin, (chin[0], chin[1] + 20))
    assert not any(name.startswith("chin") for name in values(editor))


def test_the_keyboard_moves_sliders_and_the_view(editor):
    slider = part(editor, "slider-nose_width")
    editor.evaluate("editor.panel.reveal('nose_width')")
    slider.focus()
    for _ in range(3):
        editor.keyboard.press("ArrowRight")
    editor.keyboard.press("Shift+ArrowRight")
    assert values(editor) == {"nose_width": 0.13}
    editor.keyboard.press("Tab")  # to the number
    editor.keyboard.type("-0,4")
    editor.keyboard.press("Enter")
    assert values(editor) == {"nose_width": -0.4}
    editor.keyboard.type("nonsense")
    editor.keyboard.press("Enter")
    assert values(editor) == {"nose_width": -0.4}
    slider.focus()
    editor.keyboard.press("Delete")
    assert values(editor) == {}
    editor.keyboard.press("Control+z")
    assert values(editor) == {"nose_width": -0.4}
    part(editor, "stage").focus()
    editor.keyboard.press("3")
    assert editor.evaluate("editor.stage.viewer.orbit.yaw") == pytest.approx(np.pi / 2)
    editor.keyboard.press("g")
    assert part(editor, "ghost").get_attribute("aria-pressed") == "true"


def test_focus_can_be_seen(editor):
    editor.keyboard.press("Tab")
    for _ in range(4):
        outline = editor.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "2px", editor.evaluate("document.activeElement.outerHTML")
        editor.keyboard.press("Tab")


def test_the_pointer_turns_zooms_and_frames_the_head(editor):
    box = part(editor, "canvas").bounding_box()
    corner = box["x"] + 12, box["y"] + box["height"] - 40
    orbit = "(({ yaw, pitch, zoom }) => [yaw, pitch, zoom])(editor.stage.viewer.orbit)"
    drag(editor, corner, (corner[0] + 60, corner[1] - 20))
    yaw, pitch, zoom = editor.evaluate(orbit)
    assert yaw < -0.3 and pitch < -0.05 and zoom == 1
    face = on_face(editor, 0.0, 0.0)
    drag(editor, face, (face[0] + 40, face[1]), button="right")  # the right button turns, also on the face
    assert editor.evaluate(orbit)[0] < yaw - 0.2
    editor.mouse.wheel(0, -400)
    assert editor.evaluate(orbit)[2] < 0.8
    editor.mouse.dblclick(*corner)
    assert editor.evaluate(orbit) == [0, 0, 1]
    assert values(editor) == {}


def test_before_and_after(editor):
    plain = editor.evaluate(DRAWN)
    editor.evaluate("editor.state.set({ jaw_width: 1, head_length: 1 })")
    editor.wait_for_timeout(50)
    after = editor.evaluate(DRAWN)
    assert after != plain
    part(editor, "wipe").click()
    half = editor.evaluate(DRAWN)
    assert half not in (plain, after)
    handle = editor.locator(".fid-wipe").bounding_box()
    middle = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    box = part(editor, "canvas").bounding_box()
    keep_screenshot(editor, "editor_wipe")
    drag(editor, middle, (box["x"] + box["width"] + 20, middle[1]))
    assert editor.evaluate(DRAWN) == plain  # the whole picture is the one before
    part(editor, "wipe").click()
    for name in ("ghost", "lines"):
        part(editor, name).click()
        assert editor.evaluate(DRAWN) != after
        keep_screenshot(editor, f"editor_{name}")
        part(editor, name).click()
    assert editor.evaluate(DRAWN) == after
    before = part(editor, "before").bounding_box()
    editor.mouse.move(before["x"] + 5, before["y"] + 5)
    editor.mouse.down()
    assert editor.evaluate(DRAWN) == plain
    editor.mouse.up()
    assert editor.evaluate(DRAWN) == after


def test_versions_dice_presets_and_shared_text(editor):
    editor.evaluate("editor.state.set({ nose_width: 0.5 })")
    part(editor, "slot-B").click()
    part(editor, "dice").click()
    part(editor, "roll").click()
    assert len(values(editor)) > 20
    rolled = values(editor)
    keep_screenshot(editor, "editor_dice")
    part(editor, "slot-A").click()
    assert values(editor) == {"nose_width": 0.5}
    part(editor, "presets").click()
    part(editor, "preset-name").fill("Wide nose")
    editor.keyboard.press("Enter")
    editor.wait_for_function("kept !== null")
    assert json.loads(editor.evaluate("kept"))["presets"] == {"Wide nose": {"nose_width": 0.5}}
    keep_screenshot(editor, "editor_presets")
    editor.get_by_text("Sharper jaw", exact=True).click()
    assert values(editor)["jaw_sharpness"] == 0.9
    editor.get_by_text("Wide nose", exact=True).click()
    assert values(editor) == {"nose_width": 0.5}
    part(editor, "json").fill('{"version":1,"values":{"chin_width":-0.5,"face_width":7}}')
    editor.get_by_text("Apply", exact=True).click()
    assert values(editor) == {"chin_width": -0.5, "face_width": 1}
    assert "Face width was 7, its limit is 1" in part(editor, "status").text_content()
    part(editor, "json").fill("not an edit")
    editor.get_by_text("Apply", exact=True).click()
    assert "This is no face edit" in part(editor, "status").text_content()
    editor.get_by_label("Delete Wide nose").click()
    editor.wait_for_function("!kept.includes('Wide nose')")
    part(editor, "presets").click()
    part(editor, "slot-B").click()
    assert values(editor) == rolled
    part(editor, "reset").click()
    assert values(editor) == {}


def test_what_is_wrong_with_an_edit_is_said(page):
    page.evaluate("""async () => {
      window.editor = await addEditor('{"version":1,"values":{"face_width":3,"tail":1}}');
    }""")
    said = part(page, "status").text_content()
    assert "Face width was 3, its limit is 1." in said and "no tail: kept in the workflow" in said
    page.evaluate("editor.value = '{oops'")
    assert "not readable as JSON" in part(page, "status").text_content()
    assert page.evaluate("editor.value") == "{oops"  # until something changes
    page.evaluate("editor.state.set({ age: 0.5 })")
    assert edit(page) == {"version": 1, "values": {"age": 0.5}}
    assert part(page, "status").is_hidden()


def test_what_is_no_head_is_said(page):
    said = page.evaluate("""async () => {
      window.editor = await addEditor();
      try { await editor.showHead(new TextEncoder().encode("<html>404</html>").buffer); } catch (error) { return error.message; }
    }""")
    assert "Expected a packed head" in said
    assert page.evaluate(DRAWN)["share"] > 0.1  # the head before is still there


def test_measured_effects_are_shown(editor):
    editor.evaluate("""() => editor.setEffects(
      { weight: [0.001, 0.02], age: [0, 0], head_width: [0, 0.01] }, "The picture is not used here.")""")
    row = editor.locator('[data-name="weight"]')
    widths = row.locator(".fid-effect i").evaluate_all("all => all.map((i) => i.getBoundingClientRect().width)")
    assert widths[1] == pytest.approx(20 * widths[0], rel=0.05)
    assert "by 2.0 % through the warped picture" in row.locator(".fid-effect").get_attribute("title")
    without = editor.locator('[data-name="age"]')
    assert "fid-without-effect" in without.get_attribute("class")
    assert "No effect. The picture is not used here." in without.locator(".fid-label").get_attribute("title")
    assert editor.locator('[data-name="jaw_width"] .fid-effect').is_hidden()  # not measured
    assert editor.locator(".fid-legend").is_visible()
    keep_screenshot(editor, "editor_effects")


@pytest.mark.parametrize("width", [420, 560, 980])
def test_nothing_is_clipped(editor, width):
    editor.set_viewport_size({"width": width + 40, "height": 660})
    editor.evaluate(f"document.querySelector('.place').style.width = '{width}px'")
    clipped = editor.evaluate("""() => {
      const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1;
      const frame = document.querySelector(".fid-frame").getBoundingClientRect();
      const found = [];
      for (const each of document.querySelectorAll(".fid-frame :is(button, span, header, .fid-label, input)")) {
        const box = each.getBoundingClientRect();
        if (!box.width) continue;
        if (!inside(box, frame)) found.push(`outside: ${each.outerHTML}`);
        if (each.scrollWidth > each.clientWidth + 1 && each.clientWidth && each.tagName !== "INPUT") found.push(`cut: ${each.outerHTML}`);
      }
      return found;
    }""")
    assert clipped == []
    keep_screenshot(editor, f"editor_{width}")
    for name in ("mirror", "dice", "presets"):
        part(editor, name).click()
        popover, frame = (editor.locator(each).bounding_box() for each in (".fid-popover:visible", ".fid-frame"))
        assert popover["x"] >= frame["x"] and popover["x"] + popover["width"] <= frame["x"] + frame["width"]
        assert popover["y"] + popover["height"] <= frame["y"] + frame["height"]
        part(editor, name).click()


def test_an_editor_that_is_removed_while_dragging_ends_quietly(editor):
    chin = on_face(editor, 0.0, -0.09)
    editor.mouse.move(*chin)
    editor.mouse.down()
    editor.mouse.move(chin[0], chin[1] + 20, steps=3)
    editor.evaluate("() => { editor.destroy(); editor.el.remove(); }")
    editor.mouse.move(chin[0], chin[1] + 40, steps=3)
    editor.mouse.up()
    editor.wait_for_timeout(200)
    assert editor.evaluate("changes") == []


def test_many_editors_share_one_webgl_context_and_survive_its_loss(page):
    page.evaluate("""async () => {
      const real = HTMLCanvasElement.prototype.getContext;
      window.contexts = [];
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        const found = real.call(this, kind, ...rest);
        if (kind === "webgl2" && !contexts.includes(found)) contexts.push(found);
        return found;
      };
      window.editors = [];
      for (let n = 0; n < 20; n++) editors.push(await addEditor());
      window.editor = editors[0];
    }""")
    shares = f"editors.map((each) => {{ window.editor = each; return ({DRAWN})().share; }})"
    assert min(page.evaluate(shares)) > 0.1
    assert page.evaluate("contexts.length") == 1
    page.evaluate("() => { contexts[0].getExtension('WEBGL_lose_context').loseContext(); }")
    page.wait_for_timeout(200)
    assert min(page.evaluate(shares)) > 0.1
    assert page.evaluate("contexts.length") == 2


def test_two_editors_do_not_share_a_face(page):
    page.evaluate("async () => { window.editor = await addEditor(); window.other = await addEditor('{\"age\":0.5}'); }")
    page.evaluate("editor.state.set({ weight: 1 })")
    assert json.loads(page.evaluate("other.value")) == {"age": 0.5}
    assert values(page) == {"weight": 1}

"""The face editor in a real browser, on a page of its own: what the artist does with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chromium import keep_screenshot
from editorpage import DRAWN, drag, edit, on_face, part, slider_at, values

from fantasyid_core.shape.edit.edit import edit_shape


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


def test_a_slider_that_is_scrolled_to_from_below_is_not_under_its_header(editor):
    """As the browser does when somebody goes back by Shift+Tab."""
    editor.evaluate("editor.panel.reveal('chin_width')")
    hit = part(editor, "slider-weight").evaluate("""(slider) => {
      slider.scrollIntoView({ block: "nearest" });
      const { x, y, width } = slider.getBoundingClientRect();
      return document.elementFromPoint(x + width / 2, y + 1) === slider;
    }""")
    assert hit


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


def test_two_editors_do_not_share_a_face(page):
    page.evaluate("async () => { window.editor = await addEditor(); window.other = await addEditor('{\"age\":0.5}'); }")
    page.evaluate("editor.state.set({ weight: 1 })")
    assert json.loads(page.evaluate("other.value")) == {"age": 0.5}
    assert values(page) == {"weight": 1}


def test_a_new_head_leaves_a_slider_in_the_hand(editor):
    start, end = slider_at(editor, "face_width", 0.5), slider_at(editor, "face_width", 0.8)
    editor.mouse.move(*start)
    editor.mouse.down()
    editor.mouse.move(*end, steps=3)
    editor.evaluate("async () => editor.showHead(await (await fetch('/head.bin')).arrayBuffer())")
    editor.mouse.move(*end, steps=3)
    editor.mouse.move(end[0] - 1, end[1])
    editor.mouse.up()
    assert values(editor)["face_width"] > 0.4

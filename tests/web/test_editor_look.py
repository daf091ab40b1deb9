"""The face editor in a real browser, on a page of its own: what it shows."""

from __future__ import annotations

import pytest
from chromium import keep_screenshot
from editorpage import DRAWN, drag, edit, part


def test_the_head_is_drawn_and_stays_as_it_is(editor):
    first, second = editor.evaluate(DRAWN), editor.evaluate(DRAWN)
    assert 0.1 < first["share"] < 0.8
    assert first == second
    frames = editor.evaluate("editor.stage.viewer.frames")
    editor.wait_for_timeout(400)
    assert editor.evaluate("editor.stage.viewer.frames") <= frames + 1  # it rests: nothing is drawn without a change
    assert edit(editor) == {} and editor.evaluate("changes") == []
    keep_screenshot(editor, "editor")


def test_the_focused_element_has_an_outline(editor):
    editor.keyboard.press("Tab")
    for _ in range(4):
        outline = editor.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "2px", editor.evaluate("document.activeElement.outerHTML")
        editor.keyboard.press("Tab")


def test_the_wipe_shows_the_face_before_and_after(editor):
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


def test_what_is_no_head_is_said(page):
    said = page.evaluate("""async () => {
      window.editor = await addEditor();
      const wrong = new TextEncoder().encode("<html>404</html>").buffer;
      return editor.showHead(wrong).then(() => "", (error) => error.message);
    }""")
    assert "Expected a packed head" in said
    assert page.evaluate(DRAWN)["share"] > 0.1  # the head before is still there


def test_measured_effects_are_shown(editor):
    editor.evaluate("""() => editor.setEffects({
      weight: [0.001, 0.02, ""], age: [0, 0, "Without effect: not seen."], head_width: [0, 0.01, "Only by Warp Face."]
    })""")
    row = editor.locator('[data-name="weight"]')
    widths = row.locator(".fid-effect i").evaluate_all("all => all.map((i) => i.getBoundingClientRect().width)")
    assert widths[1] == pytest.approx(20 * widths[0], rel=0.05)
    assert "by 2.0 % through the warped picture" in row.locator(".fid-effect").get_attribute("title")
    without = editor.locator('[data-name="age"]')
    assert "fid-without-effect" in without.get_attribute("class")
    assert "Without effect: not seen." in without.locator(".fid-label").get_attribute("title")
    partly = editor.locator('[data-name="head_width"]')
    assert "fid-without-effect" not in partly.get_attribute("class")
    assert "Only by Warp Face." in partly.locator(".fid-effect").get_attribute("title")
    assert editor.locator('[data-name="jaw_width"] .fid-effect').is_hidden()  # not measured
    assert editor.locator(".fid-legend").is_visible()
    keep_screenshot(editor, "editor_effects")


@pytest.mark.parametrize("width", [276, 420, 560, 980])
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
        const cut = each.clientWidth && each.scrollWidth > each.clientWidth + 1;
        if (cut && each.tagName !== "INPUT") found.push(`cut: ${each.outerHTML}`);
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

"""The face editor in Chinese and Japanese, on a page of its own: no English is left, and nothing is cut."""

from __future__ import annotations

import json

import pytest
from chromium import ROOT, keep_screenshot
from editorpage import part

SHOWN = """() => {
  const texts = [];
  for (const each of document.querySelectorAll(".fantasyid-editor, .fantasyid-editor *")) {
    for (const name of ["title", "aria-label", "placeholder"]) texts.push(each.getAttribute(name));
    for (const child of each.childNodes) if (child.nodeType === Node.TEXT_NODE) texts.push(child.textContent);
  }
  return texts.filter(Boolean);
}"""
CUT = """() => [...document.querySelectorAll(".fid-frame :is(button, span, header, .fid-label)")]
  .filter((each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1).map((each) => each.outerHTML)"""
SAME_EVERYWHERE = "Ctrl Shift JSON FLAME Delete Enter ConsisID".split()


def is_english(text: str) -> bool:
    for word in SAME_EVERYWHERE:
        text = text.replace(word, "")
    return any(len(word) > 1 and word.isascii() and word.isalpha() for word in text.replace("(", " ").split())


@pytest.mark.parametrize("language", ["ja", "zh", "zh-TW"])
def test_the_editor_speaks_the_language(page, language):
    words = json.loads((ROOT / "locales" / language / "main.json").read_text(encoding="utf-8"))["fantasyid"]
    page.evaluate("speak", words)
    page.evaluate('async () => { window.editor = await addEditor(\'{"values": {"age": 7}}\'); }')
    page.evaluate("editor.setEffects({ weight: [0, 0.1, ''], age: [0, 0, ''] })")
    part(page, "presets").click()
    page.wait_for_selector(".fid-preset")
    shown = page.evaluate(SHOWN)
    assert len(shown) > 300
    assert [text for text in shown if is_english(text)] == []
    part(page, "presets").click()
    assert page.evaluate(CUT) == []
    keep_screenshot(page, f"editor_{language}")

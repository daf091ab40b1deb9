"""The page's own words: every English text of web/ and every slider is there in each language of locales/."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from chromium import ROOT

from fantasyid_core.shape.edit.controltable import CONTROLS
from fantasyid_core.shape.edit.effect import NONE, without_effect
from fantasyid_core.shape.edit.shapespace import GROUP, HELP

LANGUAGES = "ja", "zh", "zh-TW"
OWN_SCRIPT = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
PLACE = re.compile(r"\{\w+\}")
SAME_EVERYWHERE = {"\u00be", "not", "by {amount} %"}  # a number stands for each of them
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"')
ASKED = re.compile(r'\bt\(\s*("(?:[^"\\\n]|\\.)*")')
TEMPLATE = re.compile(r"`[^`]*`")
FILLED = re.compile(r"\$\{.*?\}")
TWO_WORDS = re.compile(r"\b[A-Za-z]{2,} [a-z]{2,}\b")
NO_TEXTS = ("FantasyID: no translations", "Inter, ", "Segoe UI", "Comfy.")  # the console, fonts, a setting
STYLES = {"style.js", "pad.js", "wipe.js", "room.js", "materials.js"}  # their templates are CSS and shaders


def sources() -> dict[str, str]:
    """Every module of ours without its comments."""
    paths = [path for path in sorted((ROOT / "web").rglob("*.js")) if "lib" not in path.parts]
    return {path.name: COMMENT.sub("", path.read_text(encoding="utf-8")) for path in paths}


def asked_for() -> set[str]:
    return {json.loads(found) for text in sources().values() for found in ASKED.findall(text)}


def sentences() -> set[str]:
    """What reads like a sentence or a title, wherever it stands."""
    literals = (json.loads(each) for text in sources().values() for each in LITERAL.findall(text))
    readable = {each for each in literals if re.match(r"[A-Z][a-z]+[ .,:]", each)}
    return {each for each in readable if not each.startswith(NO_TEXTS)}


def of_python() -> set[str]:
    """What Python tells the page: names, groups and help of the sliders, and why one of them has no effect."""
    sliders = {text for each in CONTROLS.values() for text in (each.label, each.group, each.help)}
    pictures = (None, 0.0, 1.0)
    effects = [SimpleNamespace(vertices=NONE / 2, picture=picture) for picture in pictures]
    reasons = {without_effect(each, variant) for each in effects for variant in ("release", "paper", "consisid")}
    return sliders | reasons | {GROUP, HELP}


@pytest.fixture(params=LANGUAGES)
def words(request) -> dict[str, str]:
    path = ROOT / "locales" / request.param / "main.json"
    return json.loads(path.read_text(encoding="utf-8"))["fantasyid"]


def test_every_text_of_the_page_has_a_translation(words):
    assert len(asked_for()) > 70 and len(sentences()) > 70  # the search finds what it is for
    assert (asked_for() | sentences() | of_python()) - set(words) == set()


def test_no_translation_is_left_over(words):
    literals = {json.loads(each) for text in sources().values() for each in LITERAL.findall(text)}
    bare = {word for text in sources().values() for word in re.findall(r"\b[A-Za-z]+(?=:)", text)}  # names of entries
    assert set(words) - literals - bare - of_python() == set()


def test_translations_are_in_their_language_and_name_the_same_values(words):
    for english, text in words.items():
        assert english in SAME_EVERYWHERE or OWN_SCRIPT.search(text), english
        assert set(PLACE.findall(english)) == set(PLACE.findall(text)), english


def test_no_sentence_is_put_together_out_of_parts():
    templates = [
        FILLED.sub("", each)
        for name, text in sources().items()
        if name not in STYLES
        for each in TEMPLATE.findall(text)
    ]
    assert len(templates) > 20
    assert [each for each in templates if TWO_WORDS.search(each) and "fid-" not in each] == []

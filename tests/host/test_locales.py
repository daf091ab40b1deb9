"""Chinese and Japanese: every English text of a node is there in each language, where the host looks for it."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from comfy_process import ROOT

LANGUAGES = ("ja", "zh", "zh-TW")
OWN_SCRIPT = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
SYNTAX = re.compile(r"[@{}|]")  # of the frontend's translations: such a text would not be shown


@pytest.fixture(params=LANGUAGES)
def translated(request) -> dict:
    path = ROOT / "locales" / request.param / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def english(host, pack) -> dict:
    """The nodes' own texts in the form of nodeDefs.json."""
    return {name: texts_of(host.object_info(name)) for name in host.node_classes if name.startswith("FantasyID_")}


def texts_of(info: dict) -> dict:
    inputs = {name: spec[1] for part in ("required", "optional") for name, spec in info["input"].get(part, {}).items()}
    outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {name: {"name": name, "tooltip": options.get("tooltip")} for name, options in inputs.items()},
        "outputs": {str(i): {"name": name, "tooltip": tooltip} for i, (name, tooltip) in enumerate(outputs)},
    }


def leaves(tree: dict, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update(leaves(value, (*path, key)))
        elif value:
            found[(*path, key)] = value
    return found


def test_every_english_text_has_a_translation_and_none_is_left_over(english, translated):
    assert set(leaves(english)) == set(leaves(translated))


def test_tooltips_and_descriptions_are_in_their_language_with_the_same_numbers(english, translated):
    texts = leaves(translated)
    for path, text in leaves(english).items():
        assert not SYNTAX.search(texts[path]), path
        if path[-1] in ("tooltip", "description"):
            assert OWN_SCRIPT.search(texts[path]), path
            assert set(NUMBER.findall(text)) <= set(NUMBER.findall(texts[path])), path


def test_the_host_finds_them(host, monkeypatch, tmp_path):
    import folder_paths
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer
    from app.custom_node_manager import CustomNodeManager

    (tmp_path / "fantasyid").symlink_to(ROOT)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "custom_nodes", ([str(tmp_path)], set()))

    async def ask():
        app, routes = web.Application(), web.RouteTableDef()
        CustomNodeManager().add_routes(routes, app, [])
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            return await (await client.get("/i18n")).json()

    offered = asyncio.run(ask())
    assert set(offered) == set(LANGUAGES)
    for language in LANGUAGES:
        assert offered[language]["nodeDefs"]["FantasyID_WarpFace"]["inputs"]["before"]["tooltip"]

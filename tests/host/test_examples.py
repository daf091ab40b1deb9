"""The pictures of drawn people that the pack puts into the host's input folder."""

from __future__ import annotations

import json
import sys

import pytest
from comfy_process import ROOT

PEOPLE = sorted(path.name for path in (ROOT / "people").glob("*.jpg"))


@pytest.fixture
def examples(pack):
    return sys.modules[f"{pack.__name__}.nodes.examples"]


def test_every_picture_that_a_workflow_opens_with_is_there(host, pack):
    offered = host.object_info("LoadImage")["input"]["required"]["image"]
    names = [*offered[0], *offered[1].get("options", [])]
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] == "LoadImage":
                assert node["widgets_values"][0] in PEOPLE and node["widgets_values"][0] in names


def test_a_picture_of_the_user_is_never_replaced(examples, monkeypatch, tmp_path):
    monkeypatch.setattr(examples.folder_paths, "get_input_directory", lambda: str(tmp_path))
    (tmp_path / PEOPLE[0]).write_bytes(b"mine")
    examples.offer_people()
    assert (tmp_path / PEOPLE[0]).read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == PEOPLE


def test_an_input_folder_that_cannot_be_written_stops_nothing(examples, monkeypatch, tmp_path):
    monkeypatch.setattr(examples.folder_paths, "get_input_directory", lambda: str(tmp_path / "absent"))
    examples.offer_people()
    assert not (tmp_path / "absent").exists()

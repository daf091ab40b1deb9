"""The pictures and the video of drawn people that the pack puts into the host's input folder."""

from __future__ import annotations

import json
import sys

import pytest
from comfy_process import ROOT

PEOPLE = sorted(path.name for path in (ROOT / "people").iterdir() if path.suffix != ".md")
LOADERS = {"LoadImage": "image", "LoadVideo": "file"}


@pytest.fixture
def examples(pack):
    return sys.modules[f"{pack.__name__}.nodes.examples"]


@pytest.fixture
def offered(host):
    """What the list of a loader holds."""

    def offered(kind):
        options = host.object_info(kind)["input"]["required"][LOADERS[kind]]
        return [*(options[0] if isinstance(options[0], list) else ()), *options[1].get("options", [])]

    return offered


def test_every_example_that_a_workflow_opens_with_is_there(pack, offered):
    seen = set()
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] in LOADERS:
                name = node["widgets_values"][0]
                assert name in PEOPLE and name in offered(node["type"]), path.name
                seen.add(name)
    assert {"fantasyid_person_1.jpg", "fantasyid_talking.mp4"} <= seen


def test_the_examples_are_small():
    assert all((ROOT / "people" / name).stat().st_size < 300_000 for name in PEOPLE)


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

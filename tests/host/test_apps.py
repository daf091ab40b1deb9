"""Each workflow as an App: what the host's form of a workflow names is there, free to set, and shows something."""

from __future__ import annotations

import json

import pytest
from comfy_process import ROOT
from workflow_form import DYNAMIC, NUMBERS_AND_TEXT

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_app_names_inputs_and_outputs_that_are_there(host, pack, path):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    app = workflow["extra"]["linearData"]
    assert app["inputs"] and len({(number, name) for number, name, _ in app["inputs"]}) == len(app["inputs"])
    for number, name, shown in app["inputs"]:
        info = host.object_info(nodes[number]["type"])["input"]
        kind = {**info.get("required", {}), **info.get("optional", {})}[name][0]
        assert isinstance(kind, list) or kind in (*NUMBERS_AND_TEXT, DYNAMIC), f"{name} of node {number} is no widget"
        linked = [each["name"] for each in nodes[number]["inputs"] if each["link"] is not None]
        assert name not in linked and nodes[number]["mode"] == 0
        assert shown["description"] and len(shown["description"]) <= 30  # one line of the host's panel
    assert app["outputs"]
    for number in app["outputs"]:
        assert host.object_info(nodes[number]["type"])["output_node"]
    pictures = {node["id"] for node in workflow["nodes"] if node["type"] == "LoadImage"}
    assert pictures <= {number for number, name, _ in app["inputs"] if name == "image"}

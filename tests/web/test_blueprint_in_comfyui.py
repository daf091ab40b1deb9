"""The subgraph blueprint "Photo to identity video" in a real page of a real ComfyUI."""

from __future__ import annotations

import json

import pytest
from chromium import ROOT, keep_screenshot

NAME = "Photo to identity video"
INPUTS = ["photo", "prompt", "model", "likeness", "seed", "steps"]
OFFERED = "async () => Object.values(await (await app.api.fetchApi('/global_subgraphs')).json())"
PLACE = """async ([name, blueprint]) => {
  await app.loadGraphData(blueprint);
  const node = app.graph.nodes[0];
  const photo = LiteGraph.createNode("LoadImage");
  const save = LiteGraph.createNode("SaveVideo");
  for (const each of [photo, save]) app.graph.add(each);
  photo.pos = [-420, 0];
  save.pos = [560, 0];
  photo.connect(0, node, 0);
  node.connect(0, save, 0);
  node.widgets.find((widget) => widget.name === "likeness").value = 0.75;
  node.widgets.find((widget) => widget.name === "prompt").value = "She waves.";
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [460, 120];
  app.canvas.setDirty(true, true);
  return { inputs: node.inputs.map(({ name, label }) => label ?? name), size: [...node.size] };
}"""
PROMPT = "async () => (await app.graphToPrompt()).output"


def test_the_blueprint_is_offered_and_sends_the_workflow_that_it_stands_for(opened):
    offered = opened.evaluate(OFFERED)
    assert NAME in [each["name"] for each in offered]
    blueprint = json.loads((ROOT / "subgraphs" / f"{NAME}.json").read_text(encoding="utf-8"))
    placed = opened.evaluate(PLACE, [NAME, blueprint])
    opened.wait_for_timeout(1000)
    keep_screenshot(opened, f"blueprint_{opened.renderer}")
    assert placed["inputs"] == INPUTS
    prompt = {node["class_type"]: node["inputs"] for node in opened.evaluate(PROMPT).values()}
    kinds = [node["type"] for node in blueprint["definitions"]["subgraphs"][0]["nodes"]]
    assert set(prompt) == {*kinds, "LoadImage", "SaveVideo"}
    assert prompt["FantasyID_ApplyIdentity"]["strength"] == pytest.approx(0.75)
    assert prompt["FantasyID_Sampler"]["steps"] == 50 and prompt["FantasyID_Sampler"]["seed"] == 0
    assert prompt["FantasyID_LoadModel"]["model"] == "FantasyID"
    assert isinstance(prompt["FantasyID_CropFace"]["image"], list)
    texts = [node["inputs"]["text"] for node in opened.evaluate(PROMPT).values() if "text" in node["inputs"]]
    assert sorted(texts) == ["", "She waves."]

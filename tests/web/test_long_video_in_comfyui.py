"""The template long_video in a real page of a real ComfyUI, queued: the server lacks the model files and nothing else.

That its nodes then make a longer video and continue it is shown with small models in `tests/host/test_long_videos.py`.
"""

from __future__ import annotations

import json

from chromium import ROOT

LOADERS = {"FantasyID_LoadModel", "FantasyID_LoadFaceEncoder", "CLIPLoader", "VAELoader"}
SENT = "async () => (await app.graphToPrompt()).output"
QUEUE = """async (prompt) => {
  const body = JSON.stringify({ prompt, client_id: app.api.clientId });
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(app.api.apiURL("/prompt"), { method: "POST", headers, body });
  return [answer.status, await answer.json()];
}"""


def test_the_template_queues_but_for_the_model_files(opened):
    opened.problems.clear()
    workflow = json.loads((ROOT / "workflows" / "long_video.json").read_text(encoding="utf-8"))
    opened.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    opened.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]), timeout=30000)
    sent = opened.evaluate(SENT)
    of_kind = {}
    for number, node in sorted(sent.items(), key=lambda each: int(each[0])):
        of_kind.setdefault(node["class_type"], []).append((number, node["inputs"]))
    (first, longer), (second, continued) = of_kind["FantasyID_Sampler"]
    assert (longer["frames"], continued["frames"]) == (97, 0)
    decoded, whole = of_kind["FantasyID_DecodeVideo"]
    assert decoded[1]["latent"] == [first, 0] and whole[1]["latent"] == [second, 0]
    condition = of_kind["FantasyID_VideoConditioning"][1][1]
    assert condition["video"] == whole[1]["video"] == [decoded[0], 0]
    opened.evaluate("() => { events.length = 0; }")
    status, answer = opened.evaluate(QUEUE, sent)
    assert status == 200  # what needs no model is queued: Crop Face with its preview
    refused = {node["class_type"]: node["errors"] for node in answer["node_errors"].values()}
    assert refused.keys() == LOADERS
    reasons = {error["type"] for errors in refused.values() for error in errors}
    assert reasons <= {"value_not_in_list", "custom_validation_failed"}, refused
    opened.wait_for_function("events.length", timeout=120000)
    assert opened.evaluate("events[0][0]") == "execution_success", opened.evaluate("events[0][1].exception_message")
    assert not opened.problems

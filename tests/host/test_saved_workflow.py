"""A workflow that the version before the rooms saved still means the same to the host."""

from __future__ import annotations

import json
from pathlib import Path

from workflow_form import WITHOUT_EFFECT, api_form

SAVED = Path(__file__).parents[1] / "data" / "saved_before" / "photo_to_video.json"


def test_a_saved_workflow_makes_a_video(host, pack, small_host_models):
    workflow = json.loads(SAVED.read_text(encoding="utf-8"))
    kinds = {node["type"] for node in workflow["nodes"]} - set(WITHOUT_EFFECT)
    prompt = api_form(workflow, {kind: host.object_info(kind) for kind in kinds})
    prompt["3"]["inputs"]["encoder"] = "eva.safetensors"  # the small model's file has another name
    prompt["9"]["inputs"]["detector"] = "none"
    prompt["16"]["inputs"]["steps"] = 1
    assert not host.validate(prompt)
    saved = host.run(prompt)["19"]["images"][0]
    assert (host.output_dir / saved["subfolder"] / saved["filename"]).stat().st_size > 0

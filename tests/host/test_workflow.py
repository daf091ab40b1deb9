"""The shipped workflow in the real ComfyUI: photo and 3D face in, a playable video out."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
import torch
from comfy_process import ROOT, Interrupted, NodeError
from workflow_form import api_form, kinds_of

from fantasyid_core.config import TransformerConfig

UI_FORM = ROOT / "workflows" / "photo_to_video.json"
API_FORM = Path(__file__).with_name("photo_to_video_api.json")
APPLY, SAMPLER, DECODE, SAVE = "12", "16", "17", "19"
STEPS = 3


@pytest.fixture
def prompt(small_host_models) -> dict:
    """The workflow for the small model: another file name for the face encoder, fewer steps."""
    prompt = json.loads(API_FORM.read_text(encoding="utf-8"))
    prompt["3"]["inputs"]["encoder"] = "eva.safetensors"
    prompt["9"]["inputs"]["detector"] = "none"  # test_face_nodes.py looks for faces
    prompt[SAMPLER]["inputs"]["steps"] = STEPS
    return prompt


@pytest.fixture
def frames(decoded):
    """frames(prompt) -> what DecodeVideo gives to the next node, [T, H, W, 3]."""

    def frames(prompt: dict, cached: bool = False) -> torch.Tensor:
        seen = decoded(prompt, cached)
        assert len(seen) == 1, "DecodeVideo did not run"
        return seen[0]

    return frames


def without_identity(prompt: dict) -> dict:
    """What the frontend sends when ApplyIdentity is bypassed: its model input goes straight on."""
    plain = copy.deepcopy(prompt)
    plain[SAMPLER]["inputs"]["model"] = plain.pop(APPLY)["inputs"]["model"]
    return plain


def test_both_forms_of_the_workflow_say_the_same(host, pack):
    workflow = json.loads(UI_FORM.read_text(encoding="utf-8"))
    derived = api_form(workflow, {kind: host.object_info(kind) for kind in kinds_of(workflow)})
    assert derived == json.loads(API_FORM.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(UI_FORM.parent.glob("*.json")), ids=lambda path: path.stem)
def test_the_template_is_drawn_consistently(path):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert workflow["version"] == 0.4 and len(nodes) == len(workflow["nodes"])
    assert workflow["last_node_id"] == max(nodes) and workflow["last_link_id"] == len(workflow["links"])
    for number, source, out, target, into, kind in workflow["links"]:
        assert number in nodes[source]["outputs"][out]["links"]
        assert nodes[target]["inputs"][into]["link"] == number
        assert nodes[source]["outputs"][out]["type"] == nodes[target]["inputs"][into]["type"] == kind
        assert nodes[source]["pos"][0] < nodes[target]["pos"][0] or nodes[source]["pos"][1] < nodes[target]["pos"][1]
    boxes = [(*node["pos"], *node["size"]) for node in nodes.values()]
    for i, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[:i]:
            apart = x >= other_x + other_width or other_x >= x + width
            assert apart or y >= other_y + other_height or other_y >= y + height


@pytest.mark.parametrize("path", sorted(UI_FORM.parent.glob("*.json")), ids=lambda path: path.stem)
def test_the_notes_name_the_files_the_nodes_ask_for(path):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    notes = " ".join(node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    for kind in ("FantasyID_LoadModel", "FantasyID_LoadFaceEncoder", "CLIPLoader", "VAELoader"):
        names = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == kind]
        if path.stem in ("tiny_demo", "edit_a_photo", "reshape_any_video"):  # they need no other file
            assert len(names) <= 1
        else:  # one of each, and of two models side by side two
            assert names and len(names) <= (2 if path.stem == "compare_models" else 1)
        assert all(name in notes for name in names)


def test_a_photo_and_a_3d_face_become_a_playable_video(host, prompt):
    import av

    saved = host.run(prompt)[SAVE]["images"][0]
    with av.open(host.output_dir / saved["subfolder"] / saved["filename"]) as video:
        stream = video.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
        assert stream.average_rate == 8
    sizes = TransformerConfig.tiny()
    assert len(decoded) == sizes.sample_frames
    assert decoded[0].shape == (sizes.sample_height * 8, sizes.sample_width * 8, 3)
    assert all(picture.std() > 5 for picture in decoded)  # neither black nor flat
    steps = [data["value"] for event, data in host.events if event == "progress" and data["max"] == STEPS]
    assert steps == [1, 2, 3]


def test_the_same_seed_gives_the_same_frames_and_the_identity_shows(host, prompt, frames):
    patched = frames(prompt)
    host.forget_models()
    assert torch.equal(frames(prompt), patched)

    plain = frames(without_identity(prompt), cached=True)
    assert not torch.allclose(plain, patched, atol=0.02)
    host.forget_models()
    untouched = frames(without_identity(prompt))  # a model that no identity was ever applied to
    assert torch.equal(plain, untouched)

    prompt[APPLY]["inputs"]["strength"] = 0
    assert torch.equal(frames(prompt, cached=True), untouched)
    prompt[SAMPLER]["inputs"]["seed"] = 1
    assert not torch.equal(frames(prompt, cached=True), untouched)


def test_an_interrupt_stops_within_a_step_and_leaves_nothing_behind(host, prompt, pack, monkeypatch):
    import comfy.model_management

    prompt[SAMPLER]["inputs"]["steps"] = 20
    run = sys.modules[f"{pack.__name__}.fantasyid_core.host.comfy.video"]
    sample, sampled, steps = run.sample, [], []

    def remember(model, *args, **kwargs):
        sampled.append(model)
        return sample(model, *args, **kwargs)

    def stop_after_two(value, total, preview):
        if total == 20:
            steps.append(value)
            if value == 2:
                assert sampled[0].get_additional_models_with_key("fantasyid"), "no identity was at work"
                comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(run, "sample", remember)

    monkeypatch.setattr(host, "on_progress", stop_after_two)
    with pytest.raises(Interrupted, match=f"node {SAMPLER}"):
        host.run(prompt)
    assert steps == [1, 2]

    (model,) = sampled
    assert not model.get_additional_models()
    assert not any(block._forward_hooks for block in model.model.diffusion_model.blocks)

    monkeypatch.setattr(host, "on_progress", None)
    prompt[SAMPLER]["inputs"]["steps"] = STEPS
    host.run(prompt, cached=True)  # and the next prompt runs


def test_live_previews_show_the_video_when_the_user_wants_them(host, prompt, monkeypatch):
    from comfy.cli_args import LatentPreviewMethod, args

    sampling = {key: value for key, value in prompt.items() if key not in (DECODE, "18", SAVE)}
    sampling["20"] = {"class_type": "SaveLatent", "inputs": {"samples": [SAMPLER, 0], "filename_prefix": "latent"}}
    pictures = []
    monkeypatch.setattr(host, "on_progress", lambda value, total, preview: pictures.append(preview))
    for method, expected in ((LatentPreviewMethod.NoPreviews, False), (LatentPreviewMethod.Auto, True)):
        monkeypatch.setattr(args, "preview_method", method)
        monkeypatch.setattr("latent_preview.default_preview_method", method)
        pictures.clear()
        sampling[SAMPLER]["inputs"]["seed"] += 1
        host.run(sampling, cached=expected)
        # What the nodes before the sampler report has no picture.
        assert [picture is not None for picture in pictures[-STEPS:]] == [expected] * STEPS
        assert not any(pictures[:-STEPS])
    kind, picture, largest = pictures[-1]
    assert kind == "JPEG" and picture.size == (12, 8) and largest == args.preview_size


@pytest.mark.parametrize(
    ("node", "name", "value", "message"),
    [
        ("2", "model", "Gone", "Expected the model 'Gone' in"),
        ("3", "encoder", "gone.pt", "Expected the face encoder 'gone.pt' in"),
        ("7", "shape", "gone.ply", "there is no 'gone.ply'"),
        ("7", "shape", "../../secret.ply", "there is no '../../secret.ply'"),
        (SAMPLER, "steps", 0, "smaller than min of 1"),
        (SAMPLER, "solver", "euler", "not in ['dpm', 'ddim']"),
        (SAMPLER, "model", ["4", 0], "Return type mismatch"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(host, prompt, node, name, value, message):
    prompt[node]["inputs"][name] = value
    assert message in host.validate(prompt)


def test_a_bad_shape_stops_the_run_and_is_explained(host, prompt):
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
    (host.input_dir / "cube.ply").write_text(f"{header}end_header\n0 0 0\n")
    prompt["7"]["inputs"]["shape"] = "cube.ply"
    with pytest.raises(NodeError, match="FantasyID_LoadShape: cube.ply: expected 5023 FLAME vertices, got 1"):
        host.run(prompt)

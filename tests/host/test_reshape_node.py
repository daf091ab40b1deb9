"""Reshape Video in the real ComfyUI: frames in, frames out, and the node says what became of them."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from comfy_process import Interrupted
from PIL import Image

pytest.importorskip("numba", reason="numba is not installed: procedural people cannot be rendered")
EDIT = "face_width=0.8, jaw_width: -0.4"


@pytest.fixture(scope="module")
def video():
    """Five frames of a drawn person, float32 [5,160,160,3]."""
    from fantasyid_core.people.instruments.reshaping import draw_lively

    return torch.from_numpy(draw_lively(1_000_000_003, frames=5, size=160).frames).float() / 255


@pytest.fixture(autouse=True)
def own_head(pack, monkeypatch, tmp_path):
    """The pack's own head, whatever stand-ins for FLAME's mesh other tests have put into the host's folders."""
    folders = sys.modules[f"{pack.__name__}.nodes.folders"]
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    monkeypatch.setattr(folders, "models_dirs", lambda: (str(tmp_path),))
    monkeypatch.setattr(folders, "topology_folders", lambda: [str(tmp_path)])


@pytest.fixture
def reshape(host, pack):
    """Runs the node by itself: inputs -> its output."""

    def reshape(images, strength=1.0, **inputs):
        with torch.inference_mode():
            return host.node_classes["FantasyID_ReshapeVideo"].execute(images=images, strength=strength, **inputs)

    return reshape


@pytest.fixture
def person(host, pack):
    _, shape, _ = host.node_classes["FantasyID_SamplePerson"].execute(seed=1_000_000_003, picture=0).result
    return shape


def test_the_face_changes_in_every_frame_and_the_rest_does_not(reshape, video):
    made, mask = reshape(video, edit=EDIT).result
    assert made.shape == video.shape and made.dtype == torch.float32 and mask.shape == video.shape[:3]
    changed = (made - video).abs().mean(dim=3)
    assert (changed.amax(dim=(1, 2)) > 0.1).all() and (mask.amax(dim=(1, 2)) > 0.9).all()
    assert changed[mask == 0].max() < 0.03, "what moves by a twentieth of a pixel counts as still"
    assert changed[:, 40:130, 40:130].mean() > 4 * changed[:, :12].mean()


def test_no_edit_and_no_strength_change_no_bit(reshape, video, person):
    for inputs in ({}, {"edit": "{}"}, {"shape_before": person, "shape_after": person}):
        made, mask = reshape(video, **inputs).result
        assert torch.equal(made, video) and not mask.any()
    assert torch.equal(reshape(video, 0.0, edit=EDIT).result[0], video)


def test_two_shapes_say_the_same_as_their_sliders(reshape, host, video, person):
    values = '{"values": {"face_width": 0.8, "jaw_width": -0.4}}'
    (edited,) = host.node_classes["FantasyID_EditShape"].execute(shape=person, edit=values, flame="none").result
    by_shapes, _ = reshape(video, shape_before=person, shape_after=edited).result
    by_sliders, _ = reshape(video, edit=values).result
    assert (by_shapes - by_sliders).abs().mean() < 0.1 * (by_sliders - video).abs().mean()


def test_a_schedule_goes_over_the_video(reshape, video):
    made, mask = reshape(video, edit=EDIT, schedule="0:0, 0.5:0, 1:1").result
    assert torch.equal(made[:3], video[:3]) and not mask[:3].any()
    assert not torch.equal(made[4], video[4])


def test_the_node_shows_a_wipe_and_tells_what_it_did(host, pack, video, monkeypatch):
    said = spoken(monkeypatch)
    names = saved(host, [*video[:2], torch.zeros_like(video[0]), *video[3:]])
    shown = host.run(prompt_of(names))["reshape"]["fantasyid_wipe"]
    before, after = (temp_picture(each) for each in shown)
    assert before.shape == after.shape == (160, 160, 3) and (before != after).any()
    assert "of 5 frames were changed" in said["reshape"] and "face_width: asked +0.80" in said["reshape"]
    assert len([event for event, _ in host.events if event == "progress"]) >= 5


def test_a_video_without_a_face_is_passed_on_and_said(host, pack, monkeypatch):
    said = spoken(monkeypatch)
    host.run(prompt_of(saved(host, [torch.full((96, 96, 3), 0.5)] * 3)))
    assert "0 of 3 frames were changed" in said["reshape"] and "3 frames were passed on: no face" in said["reshape"]


def test_the_run_ends_when_the_user_cancels(host, pack, video, monkeypatch):
    import comfy.model_management

    def cancel(done, total, preview):
        if total == 5:  # of the frames
            comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(host, "on_progress", cancel)
    with pytest.raises(Interrupted, match="node reshape"):
        host.run(prompt_of(saved(host, video)))
    frames = [data["value"] for event, data in host.events if event == "progress" and data["max"] == 5]
    assert max(frames) < 5, "it went on to the end"


def test_score_identity_says_what_the_video_shows_of_an_edit(host, pack, video, person, tmp_path):
    from importlib import import_module

    shown = import_module(f"{pack.__name__}.fantasyid_core.host.comfy.reshape").edit_shown
    values = '{"values": {"face_width": 0.8}}'
    (edited,) = host.node_classes["FantasyID_EditShape"].execute(shape=person, edit=values, flame="none").result
    (line,) = shown(video[:3], person, edited, [str(tmp_path)])
    assert line.startswith("face_width: asked +0.80. Landmarks see ") and "of the whole edit they see +0." in line
    (line,) = shown(torch.full((2, 96, 96, 3), 0.5), person, edited, [str(tmp_path)])
    assert "was not measured" in line
    assert shown(video, None, None, []) == []
    with pytest.raises(ValueError, match="got the latter alone"):
        shown(video, None, edited, [])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"edit": "{face_width: 1}"}, "not readable as JSON"),
        ({"edit": "wider please"}, "Expected sliders such as face_width=0.5.*got 'wider please'"),
        ({"edit": EDIT, "schedule": "0:0, 2:1"}, "a part of the video from 0 to 1"),
        ({"edit": EDIT, "only_the_rest": True}, "Expected the 3D face before the edit, as of the photo"),
        ({"edit": EDIT, "which_face": "most alike"}, "Expected a picture of the person"),
        ({"shape_after": "person"}, "got the latter alone"),
        ({"shape_before": "person", "shape_after": "person", "edit": EDIT}, "got both"),
        ({"shape_before": "cut", "shape_after": "person"}, "two heads of one mesh"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(reshape, video, person, inputs, message):
    from dataclasses import replace

    shapes = {"person": person, "cut": replace(person, vertices=person.vertices[:2000], faces=None)}
    inputs = {name: shapes.get(value, value) if isinstance(value, str) else value for name, value in inputs.items()}
    with pytest.raises(ValueError, match=f"(?s){message}"):
        reshape(video, **inputs)


def test_what_is_no_frame_is_named_by_its_number(reshape, video):
    broken = video.clone()
    broken[3, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="Frame 3 holds 1 NaN"):
        reshape(broken, edit=EDIT)
    with pytest.raises(ValueError, match=r"Frame 0: expected a picture \[H,W,3\].*without alpha"):
        reshape(torch.cat([video, video[..., :1]], dim=3), edit=EDIT)


def test_an_unknown_slider_is_said_and_the_others_count(host, pack, video, monkeypatch):
    said = spoken(monkeypatch)
    host.run(prompt_of(saved(host, video[:2]), edit='{"values": {"third_eye": 1, "nose_length": 0.5}}'))
    assert "does not know: third_eye" in said["reshape"] and "nose_length: asked +0.50" in said["reshape"]


def spoken(monkeypatch) -> dict:
    from server import PromptServer

    said = {}
    monkeypatch.setattr(
        PromptServer.instance, "send_progress_text", lambda text, node, sid=None: said.update({node: text})
    )
    return said


def saved(host, frames) -> list[str]:
    """The names of pictures in the input folder."""
    names = [f"reshape_{number}.png" for number in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(np.rint(frame.numpy() * 255).astype(np.uint8)).save(host.input_dir / name)
    return names


def prompt_of(names: list[str], edit: str = EDIT) -> dict:
    """Loads pictures, joins them into one batch, and reshapes it."""
    prompt = {f"load{n}": {"class_type": "LoadImage", "inputs": {"image": name}} for n, name in enumerate(names)}
    last = ["load0", 0]
    for n in range(1, len(names)):
        joined = {"image1": last, "image2": [f"load{n}", 0]}
        prompt[f"join{n}"] = {"class_type": "ImageBatch", "inputs": joined}
        last = [f"join{n}", 0]
    inputs = {"images": last, "strength": 1.0, "edit": edit}
    return {**prompt, "reshape": {"class_type": "FantasyID_ReshapeVideo", "inputs": inputs}}


def temp_picture(told: dict) -> np.ndarray:
    import folder_paths

    with Image.open(f"{folder_paths.get_temp_directory()}/{told['subfolder']}/{told['filename']}") as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_editors_json_is_read_as_it_is_copied(reshape, video):
    copied = json.dumps({"version": 1, "values": {"face_width": 0.8, "jaw_width": -0.4}, "pinned": ["age"]})
    made = [reshape(video[:2], edit=edit).result[0] for edit in (copied, EDIT)]
    assert torch.equal(*made)

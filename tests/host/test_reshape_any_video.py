"""The template that reshapes a video, in the real ComfyUI without any model file: a video in, a video out."""

from __future__ import annotations

import json
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from comfy_process import ROOT
from workflow_form import workflow_prompt

from fantasyid_core.videofile import read_video


@pytest.fixture
def prompt(host, pack, monkeypatch):
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    folders = sys.modules[f"{pack.__name__}.nodes.folders"]
    monkeypatch.setattr(folders, "topology_folders", lambda: [])  # another test's stand-in for FLAME's mesh
    monkeypatch.setattr(folders, "models_dirs", lambda: ("absent",))
    prompt = workflow_prompt(host, "reshape_any_video")
    shorten(host.input_dir / "fantasyid_talking.mp4", host.input_dir / "short.mp4", frames=4)
    prompt["2"]["inputs"]["file"] = "short.mp4"
    return prompt


def shorten(source, target, frames: int) -> None:
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(24))
        stream.width = stream.height = container.streams.video[0].width
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(container.decode(video=0)):
            if number == frames:
                break
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def test_the_template_makes_a_video_of_the_edited_person(host, prompt):
    outputs = host.run(prompt)
    (saved,) = outputs["10"]["images"]
    path = host.output_dir / saved["subfolder"] / saved["filename"]
    before, after = read_video(host.input_dir / "short.mp4").astype(int), read_video(path).astype(int)
    assert before.shape == after.shape == (4, 480, 480, 3)
    changed = np.abs(after - before).mean(axis=(0, 3))
    assert changed[200:400, 130:330].mean() > 2 * changed[:60].mean()
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 24
    assert len(outputs["8"]["fantasyid_wipe"]) == 2


def test_the_option_at_the_end_of_edit_face_shape_reshapes_the_decoded_frames(host, face_files, small_host_models):
    """Switched on: its workflow has it bypassed."""
    workflow = json.loads((ROOT / "workflows" / "edit_face_shape.json").read_text(encoding="utf-8"))
    (node,) = (node for node in workflow["nodes"] if node["type"] == "FantasyID_ReshapeVideo")
    assert node["mode"] == 4
    prompt = workflow_prompt(host, "edit_face_shape")
    assert not [each for each in prompt.values() if each["class_type"] == "FantasyID_ReshapeVideo"]
    assert prompt["18"]["inputs"]["images"] == ["17", 0], "bypassed, the frames go straight on"
    switched = workflow_prompt(host, "edit_face_shape", on=node["id"])
    assert switched["18"]["inputs"]["images"] == ["24", 0] and switched["24"]["inputs"]["only_the_rest"] is True
    switched["9"]["inputs"]["detector"] = "mediapipe"
    switched["23"]["inputs"].update(frames=2, size=64)
    outputs = host.run(switched)  # the small model shows no face: every frame is passed on
    assert outputs["19"]["images"] and len(outputs["24"]["fantasyid_wipe"]) == 2

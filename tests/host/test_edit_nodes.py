"""The 3D face edited, blended, shown, and followed by the picture, in the real ComfyUI."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from comfy_process import NodeError
from packedhead import unpack_controls
from PIL import Image
from standinflame import stand_in
from workflow_form import workflow_prompt

from fantasyid_core.shape import edit_shape, load_shape, load_topology
from fantasyid_core.shape.edit.faceframe import face_frame

EDIT = '{"version": 1, "values": {"face_width": 0.5, "jaw_sharpness": {"left": 0.3, "right": 0}}}'


@pytest.fixture
def execute(host, pack):
    """Runs one node: name and inputs -> its output."""

    def execute(name, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs)

    return execute


@pytest.fixture
def head(execute, small_files, face_files):
    (shape,) = execute("LoadShape", shape="face.ply").result
    return shape


@pytest.fixture
def face(host, execute, head):
    (photo, _) = host.node_classes["LoadImage"]().load_image("one.jpg")
    return execute("CropFace", image=photo, detector="mediapipe", which_face="largest", number=0, padding=0.0).result[0]


def temp_file(told: dict) -> bytes:
    import folder_paths

    assert told["type"] == "temp" and ".." not in told["subfolder"] + told["filename"]
    with open(f"{folder_paths.get_temp_directory()}/{told['subfolder']}/{told['filename']}", "rb") as file:
        return file.read()


def test_an_edit_is_what_python_computes_and_the_browser_gets_the_head(execute, head):
    made = execute("EditShape", shape=head, edit=EDIT, flame="none")
    (edited,) = made.result
    assert torch.equal(edited.vertices, edit_shape(head.vertices, EDIT))
    assert json.loads(edited.edit)["values"] == json.loads(EDIT)["values"]
    (told,) = made.ui["fantasyid_editor"]
    vertices, faces, controls = unpack_controls(temp_file(told))
    np.testing.assert_array_equal(vertices, head.vertices.numpy())
    assert len(faces) == len(stand_in().faces) and len(controls.controls) >= 30 and "fantasyid_effect" not in made.ui


def test_no_edit_changes_no_bit_and_equal_heads_share_a_file(execute, head):
    first, second = (execute("EditShape", shape=head, edit=text, flame="none") for text in ("{}", EDIT))
    assert torch.equal(first.result[0].vertices, head.vertices)
    assert first.ui["fantasyid_editor"] == second.ui["fantasyid_editor"]


def test_the_users_flame_model_adds_its_components_and_plausible_edits(host, execute, head):
    made = execute("EditShape", shape=head, edit='{"values": {"flame_1": 1}}', flame="auto")
    plain, plausible = made.ui["fantasyid_editor"]
    assert (plain["plausible"], plausible["plausible"]) == (False, True)
    assert "flame_10" in unpack_controls(temp_file(plain))[2].controls
    assert not torch.equal(made.result[0].vertices, head.vertices)
    options = host.object_info("FantasyID_EditShape")["input"]["optional"]["flame"][1]["options"]
    assert options == ["auto", "generic_model.pkl", "none"]


def test_what_the_edit_ignores_is_said_on_the_node(host, head, face_files, monkeypatch):
    from server import PromptServer

    said = {}
    monkeypatch.setattr(PromptServer.instance, "send_progress_text", lambda text, node, _: said.update({node: text}))
    host.run(edit_prompt('{"values": {"third_eye": 1, "face_width": 7, "age": NaN}}'))
    assert "does not know: third_eye" in said["edit"] and "face_width was 7" in said["edit"]
    assert "age was nan" in said["edit"] and "vertices move, at most by" in said["edit"]


def edit_prompt(edit: str, shape: str = "face.ply") -> dict:
    return {
        "load": {"class_type": "FantasyID_LoadShape", "inputs": {"shape": shape}},
        "edit": {"class_type": "FantasyID_EditShape", "inputs": {"shape": ["load", 0], "edit": edit, "flame": "none"}},
    }


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ('{"version": 99, "values": {}}', "version 99.*newer one. Update the FantasyID nodes"),
        ("{face_width: 1}", "not readable as JSON.*Reset the editor"),
        ("[1, 2]", "Expected an edit such as"),
    ],
)
def test_a_broken_edit_is_explained(host, head, edit, message):
    with pytest.raises(NodeError, match=f"(?s)FantasyID_EditShape: .*{message}"):
        host.run(edit_prompt(edit))


def test_an_older_edit_still_counts(execute, head):
    (edited,) = execute("EditShape", shape=head, edit='{"face_width": 0.5}', flame="none").result
    assert torch.equal(edited.vertices, edit_shape(head.vertices, {"face_width": 0.5}))


def test_another_mesh_names_the_nodes_that_make_the_right_one(execute, head):
    cut = replace(head, vertices=head.vertices[:5000], faces=None)
    with pytest.raises(ValueError, match="Reconstruct Face.*Load Shape"):
        execute("EditShape", shape=cut, edit="{}", flame="none")


def test_a_run_that_changed_nothing_sends_the_head_again(host, head):
    prompt = edit_prompt(EDIT)
    first = host.run(prompt)["edit"]["fantasyid_editor"]
    assert host.run(prompt, cached=True)["edit"]["fantasyid_editor"] == first


def test_the_picture_follows_and_no_edit_keeps_it_bit_for_bit(execute, head, face):
    (edited,) = execute("EditShape", shape=head, edit=EDIT, flame="none").result
    warped, crop = execute("WarpFace", face=face, before=head, after=edited).result
    assert (warped.crop != face.crop).mean() > 0.05 and crop.shape == (1, 512, 512, 3)
    np.testing.assert_array_equal(np.rint(crop[0].numpy() * 255).astype(np.uint8), warped.crop)
    border = np.ones((512, 512), bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_array_equal(warped.crop[border], face.crop[border])
    same, _ = execute("WarpFace", face=face, before=head, after=head).result
    np.testing.assert_array_equal(same.crop, face.crop)


def test_points_without_triangles_get_them_or_are_refused(execute, host, head, face, monkeypatch):
    bare = replace(head, faces=None)
    (edited,) = execute("EditShape", shape=bare, edit=EDIT, flame="none").result
    with_mesh = execute("WarpFace", face=face, before=head, after=edited).result[0].crop
    np.testing.assert_array_equal(execute("WarpFace", face=face, before=bare, after=edited).result[0].crop, with_mesh)
    topology = host.models_dir / "fantasyid" / "topology.safetensors"
    aside = topology.rename(topology.with_suffix(".away"))
    release = host.models_dir / "fantasyid" / "FantasyID" / "topology.safetensors"
    away = release.rename(release.with_suffix(".away"))
    try:
        with pytest.raises(ValueError, match="triangles.*transform.pkl"):
            execute("WarpFace", face=face, before=bare, after=replace(edited, faces=None))
    finally:
        aside.rename(topology)
        away.rename(release)


def test_reconstructed_heads_are_placed_where_they_were_seen(execute, face):
    # By landmarks: the tests' DECA has random weights, and where it sees a head there is no face.
    made = execute("ReconstructFace", face=face, deca="auto", flame="auto", pose="neutral", method="landmarks")
    shape, refined, _ = made.result
    (edited,) = execute("EditShape", shape=shape, edit=EDIT, flame="none").result
    assert edited.seen is shape.seen and shape.seen.shape == (5023, 3)
    warped, _ = execute("WarpFace", face=refined, before=shape, after=edited).result
    assert not set(warped.notes) - set(refined.notes)
    by_points, _ = execute("WarpFace", face=refined, before=replace(shape, seen=None), after=edited).result
    assert (by_points.crop != warped.crop).any()


def test_the_meter_says_what_each_slider_does(host, execute, head, face, small_files):
    _, adapter, *_ = execute("LoadModel", model="FantasyID", dtype="fp32").result
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32").result
    parts = {"shape": head, "edit": "{}", "flame": "none", "adapter": adapter, "encoder": encoder, "face": face}
    (effects,) = execute("EditShape", **parts).ui["fantasyid_effect"]
    assert len(effects) >= 30
    # The release reads the depth of the coarse mesh only, so what moves sideways or up moves nothing by the vertices.
    vertices, picture, reason = effects["mouth_width"]
    assert picture > 0 and (vertices == 0) == reason.startswith("Works only by the picture")
    assert effects["nose_projection"][0] > 0 and effects["nose_projection"][2] == ""
    (wider,) = execute("EditShape", shape=head, edit='{"face_width": 1}').result
    identity = {}
    for name, shape in (("before", head), ("after", wider)):
        made = execute("EncodeIdentity", adapter=adapter, encoder=encoder, face=face, shape=shape)
        identity[name] = made.result[0]
    change = (identity["after"].tokens - identity["before"].tokens).norm() / identity["before"].tokens.norm()
    assert effects["face_width"][0] == pytest.approx(float(change), rel=0.01, abs=2e-6)
    assert json.loads(identity["after"].edit)["values"] == {"face_width": 1}
    host.events.clear()
    (again,) = execute("EditShape", **parts).ui["fantasyid_effect"]
    assert again == effects and not host.events  # measured once per person


def test_people_blend_by_the_circle_or_by_weights(host, execute, head, portraits):
    shutil.copyfile(portraits("two.ply"), host.input_dir / "two.ply")
    (other,) = execute("LoadShape", shape="two.ply").result
    people = {"shape_1": head, "shape_2": other, "exaggeration": 0.0}
    (alone,) = execute("BlendShapes", place='{"x": 0, "y": 1}', **people).result
    assert torch.equal(alone.vertices, head.vertices)
    (middle,) = execute("BlendShapes", place='{"x": 0, "y": 0}', **people).result
    (same,) = execute("BlendShapes", place="", weights="3, 3", **people).result
    assert torch.equal(middle.vertices, same.vertices) and not torch.equal(middle.vertices, head.vertices)
    people["exaggeration"] = 1.0
    (driven,) = execute("BlendShapes", place="", **people).result
    mean = load_shape(host.input_dir / "face.ply")
    mean = load_topology(host.models_dir / "fantasyid" / "topology.safetensors").template
    ratio = away(driven.vertices, mean) / away(middle.vertices, mean)
    assert ratio == pytest.approx(2, rel=0.02)
    for weights, message in (("1, x", "got 'x'"), ("1", "one weight for each of 2"), ("0 0", "All weights are 0")):
        with pytest.raises(ValueError, match=message):
            execute("BlendShapes", place="", weights=weights, **people)
    with pytest.raises(ValueError, match="Expected a place such as"):
        execute("BlendShapes", place="somewhere", **people)


def away(vertices, mean) -> float:
    """How far a head is from the mean one, place and turn apart."""
    ours, theirs = face_frame(vertices), face_frame(mean)
    moved = (vertices.numpy() - ours.origin) @ ours.rotation @ theirs.rotation.T + theirs.origin
    return float(np.linalg.norm(moved - mean.numpy()))


def test_a_shape_is_shown_and_handed_to_the_hosts_3d_nodes(host, execute, head, tmp_path):
    from comfy_api.latest import Types

    (edited,) = execute("EditShape", shape=head, edit=EDIT, flame="none").result
    made = execute("ShapePreview", shape=edited, before=head, frames=4, size=96)
    turn, comparison, model = made.result
    assert turn.shape == (4, 96, 96, 3) and comparison.shape == (1, 192, 192, 3) and made.ui["animated"] == (True,)
    with Image.open(BytesIO(temp_file(made.ui["images"][0]))) as loop:
        assert loop.n_frames == 4 and loop.size == (192, 96)
    assert isinstance(model, Types.File3D) and model.format == "glb"
    back = load_shape(model.save_to(str(tmp_path / "head.glb")))
    assert torch.equal(back, edited.vertices)


@pytest.mark.parametrize("name", ["edit_face_shape", "blend_two_people"])
def test_the_workflows_make_a_video(host, face_files, small_host_models, name):
    prompt = workflow_prompt(host, name)
    for node in prompt.values():
        if node["class_type"] == "FantasyID_CropFace":
            node["inputs"]["detector"] = "mediapipe"
        if node["class_type"] == "FantasyID_ShapePreview":
            node["inputs"].update(frames=2, size=64)
    outputs = host.run(prompt)
    saved = outputs["19"]["images"][0]
    assert (host.output_dir / saved["subfolder"] / saved["filename"]).exists()
    kinds = {node["class_type"] for node in prompt.values()}
    assert {"FantasyID_WarpFace", "FantasyID_ShapePreview"} <= kinds


def test_made_up_people_need_no_file(execute, head):
    pytest.importorskip("numba", reason="numba is not installed: procedural people cannot be rendered")
    face, shape, image = execute("SamplePerson", seed=1_000_000_001, picture=0).result
    assert image.shape == (1, 512, 512, 3) and len(shape.vertices) == 2236
    (edited,) = execute("EditShape", shape=shape, edit=EDIT, flame="auto").result
    warped, _ = execute("WarpFace", face=face, before=shape, after=edited).result
    assert (warped.crop != face.crop).any()
    with pytest.raises(ValueError, match="heads of one mesh, got 2236, 5023"):
        execute("BlendShapes", shape_1=shape, shape_2=head, place="", exaggeration=0.0)

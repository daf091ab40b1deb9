"""From a photo to the 3D face in the real ComfyUI, with the samples' photos and seeded files for DECA and FLAME."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from comfy_process import NodeError
from decafile import make_state, write_deca
from PIL import Image
from workflow_form import workflow_prompt

from fantasyid_core.shape import load_shape

CROP = {"detector": "mediapipe", "which_face": "largest", "number": 0, "padding": 0.0}
RECONSTRUCT = {"deca": "auto", "flame": "auto", "pose": "neutral"}


def graph(photo: str, reconstruct=None, crop=None) -> dict:
    """Photo -> CropFace -> ReconstructFace -> SaveShape, in API form."""
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": photo}},
        "crop": {
            "class_type": "FantasyID_CropFace",
            "inputs": {"image": ["photo", 0], **CROP, **(crop or {})},
        },
        "make": {
            "class_type": "FantasyID_ReconstructFace",
            "inputs": {"face": ["crop", 0], **RECONSTRUCT, **(reconstruct or {})},
        },
        "save": {
            "class_type": "FantasyID_SaveShape",
            "inputs": {"shape": ["make", 0], "filename_prefix": "made/head", "format": ".ply"},
        },
    }


def shown(host, output: dict) -> np.ndarray:
    (saved,) = output["images"]
    assert saved["type"] == "temp"
    import folder_paths

    with Image.open(f"{folder_paths.get_temp_directory()}/{saved['subfolder']}/{saved['filename']}") as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_photo_becomes_a_saved_3d_face_and_every_node_shows_what_it_did(host, face_files):
    outputs = host.run(graph("one.jpg"))
    assert shown(host, outputs["crop"]).shape == (512, 512, 3)
    assert shown(host, outputs["make"]).shape == (512, 1024, 3)
    assert shown(host, outputs["save"]).shape == (512, 1024, 3)
    saved = outputs["save"]["fantasyid_files"][0]
    vertices = load_shape(host.output_dir / saved["subfolder"] / saved["filename"])
    assert vertices.shape == (5023, 3) and 0.2 < float(np.ptp(vertices[:, 1].numpy())) < 0.4


def test_photos_and_files_make_a_difference(host, face_files):
    def vertices(photo, **changes):
        saved = host.run(graph(photo, reconstruct=changes))["save"]["fantasyid_files"][0]
        return load_shape(host.output_dir / saved["subfolder"] / saved["filename"])

    one = vertices("one.jpg")
    assert torch.equal(one, vertices("one.jpg"))
    assert not torch.equal(one, vertices("three.jpg"))
    assert not torch.equal(one, vertices("one.jpg", region="whole picture"))
    assert not torch.equal(one, vertices("one.jpg", pose="as photographed"))


def test_the_text_on_the_node_says_what_is_worth_knowing(host, face_files, monkeypatch):
    from server import PromptServer

    said = {}
    monkeypatch.setattr(PromptServer.instance, "send_progress_text", lambda text, node, _: said.update({node: text}))
    host.run(graph("one.jpg"))
    assert "Head turned by" in said["crop"] and "tilted" in said["crop"]
    assert "5023 vertices" in said["make"]
    assert "made/head" in said["save"]


def test_a_workflow_with_a_detector_that_is_no_more_runs_and_says_so(host, face_files, monkeypatch):
    from server import PromptServer

    said = {}
    monkeypatch.setattr(PromptServer.instance, "send_progress_text", lambda text, node, _: said.update({node: text}))
    host.run(graph("one.jpg", crop={"detector": "cascade"}))
    assert "The detector cascade is no more: mediapipe is used" in said["crop"]
    with pytest.raises(NodeError, match="Expected a detector out of auto, insightface, .*got 'magic'"):
        host.run(graph("one.jpg", crop={"detector": "magic"}))


def test_several_photos_of_a_person_are_one_identity(host, face_files, small_host_models):
    def execute(name, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs).result

    photos = [host.node_classes["LoadImage"]().load_image(f"{name}.jpg")[0] for name in ("one", "three")]
    (batch,) = host.node_classes["ImageBatch"]().batch(*photos)
    face, crop, numbered = execute("CropFace", image=batch, **CROP)
    assert len(face.others) == 1 and crop.shape == (1, 512, 512, 3) and len(numbered) == 2
    shape, refined, _ = execute("ReconstructFace", face=face, **RECONSTRUCT)
    assert len(refined.others) == 1
    _, adapter, *_ = execute("LoadModel", model="FantasyID", dtype="fp32")
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32")
    parts = {"adapter": adapter, "encoder": encoder, "shape": shape}
    both, *_ = execute("EncodeIdentity", face=refined, references="concatenate", **parts)
    mean, *_ = execute("EncodeIdentity", face=refined, **parts)
    views = replace(refined, others=()), *refined.others
    single = [execute("EncodeIdentity", face=view, **parts)[0].tokens for view in views]
    assert torch.allclose(both.tokens, torch.cat(single, dim=1), atol=1e-6)
    assert torch.allclose(mean.tokens, sum(single) / 2, atol=1e-6)


def test_a_picture_without_a_face_says_what_to_do(host, face_files):
    prompt = graph("one.jpg")
    grey = {"width": 256, "height": 256, "batch_size": 1, "color": 0x808080}
    prompt["photo"] = {"class_type": "EmptyImage", "inputs": grey}
    with pytest.raises(NodeError, match="FantasyID_CropFace: .*no face found.*detector none"):
        host.run(prompt)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deca_model.tar", "https://deca.is.tue.mpg.de.*deca_model.tar"),
        ("generic_model.pkl", "https://flame.is.tue.mpg.de.*generic_model.pkl"),
    ],
)
def test_a_missing_file_is_named_before_anything_runs(host, face_files, name, message):
    path = host.models_dir / "fantasyid" / name
    path.rename(path.with_suffix(".away"))
    try:
        with pytest.raises(NodeError, match=message):
            host.run(graph("one.jpg", reconstruct={"method": "deca"}))
        assert host.run(graph("one.jpg"))["save"]["fantasyid_files"], "auto takes landmarks instead"
    finally:
        path.with_suffix(".away").rename(path)


def test_a_chosen_file_is_taken_instead(host, face_files):
    other = host.models_dir / "fantasyid" / "mine" / "deca_other.tar"
    other.parent.mkdir()
    write_deca(other, make_state(numbers={"shape": [2.0] + [0.0] * 99}))
    try:
        options = host.object_info("FantasyID_ReconstructFace")["input"]["required"]["deca"][1]["options"]
        assert options == ["auto", "deca_model.tar", "mine/deca_other.tar"]
        outputs = [
            host.run(graph("one.jpg", reconstruct={"deca": name}))["save"]["fantasyid_files"][0]["filename"]
            for name in ("auto", "mine/deca_other.tar")
        ]
        one, two = (load_shape(host.output_dir / "made" / name) for name in outputs)
        assert not torch.allclose(one, two)
    finally:
        shutil.rmtree(other.parent)


def test_a_shape_in_another_order_is_refused(host, face_files, portraits):
    vertices = load_shape(portraits("one.ply")).numpy()
    np.save(host.input_dir / "reversed.npy", vertices[::-1])
    prompt = {
        "1": {"class_type": "FantasyID_LoadShape", "inputs": {"shape": "reversed.npy"}},
        "2": {"class_type": "FantasyID_SaveShape",
              "inputs": {"shape": ["1", 0], "filename_prefix": "x", "format": ".ply"}},
    }  # fmt: skip
    with pytest.raises(NodeError, match="FantasyID_LoadShape: .*order"):
        host.run(prompt)


def test_the_workflow_for_two_people_makes_a_video_of_both(host, face_files, small_host_models):
    prompt = workflow_prompt(host, "two_people")
    with Image.open(host.input_dir / "one.jpg") as one, Image.open(host.input_dir / "two.jpg") as two:
        both = Image.new("RGB", (1000, 500))
        for number, photo in enumerate((one, two)):
            both.paste(photo.resize((500, 500)), (500 * number, 0))
    both.save(host.input_dir / "face.png")
    prompt["6"]["inputs"]["image"] = "face.png"
    for crop, apply in (("9", "12"), ("21", "25")):
        prompt[crop]["inputs"]["detector"] = "mediapipe"
        prompt[apply]["inputs"]["feather"] = 8  # the small model's video is 96 pixels wide
    crops = []
    crop_face = host.node_classes["FantasyID_CropFace"]
    original = crop_face.execute.__func__

    def spy(cls, **inputs):
        output = original(cls, **inputs)
        crops.append(output.result[0])
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_face, "execute", classmethod(spy))
        outputs = host.run(prompt)
    middles = sorted(face.points[:, 0].mean() for face in crops if face.points is not None)
    assert len(crops) == 3 and middles[0] < 500 < middles[1]
    saved = outputs["19"]["images"][0]
    assert (host.output_dir / saved["subfolder"] / saved["filename"]).exists()


@pytest.mark.parametrize("with_deca", [True, False])
def test_the_workflow_from_one_photo_makes_a_video(host, face_files, small_host_models, portraits, with_deca):
    prompt = workflow_prompt(host, "one_photo_to_video")
    path = host.models_dir / "fantasyid" / "deca_model.tar"
    if not with_deca:
        path.rename(path.with_suffix(".away"))
    try:
        outputs = host.run(prompt)
    finally:
        if not with_deca:
            path.with_suffix(".away").rename(path)
    assert (host.output_dir / outputs["19"]["images"][0]["subfolder"] / outputs["19"]["images"][0]["filename"]).exists()
    assert shown(host, outputs["7"]).shape == (512, 1024, 3)

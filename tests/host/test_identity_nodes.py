"""People in files, mixed people, LoRAs and scores, as nodes in the real ComfyUI."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

CENTRE = {"detector": "none", "which_face": "largest", "number": 0, "padding": 0.0}


@pytest.fixture
def execute(host, pack):
    def execute(name: str, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs).result

    return execute


@pytest.fixture
def person(small_host_models, execute):
    """model, adapter and the identity of a picture of noise with the sample's 3D face."""
    model, adapter, *_ = execute("LoadModel", model="FantasyID", dtype="fp32")
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32")
    (shape,) = execute("LoadShape", shape="face.ply")

    def make(seed: int):
        noise = torch.rand(1, 96, 80, 3, generator=torch.Generator().manual_seed(seed))
        face = execute("CropFace", image=noise, **CENTRE)[0]
        return execute("EncodeIdentity", adapter=adapter, encoder=encoder, face=face, shape=shape)[0]

    return {"model": model, "adapter": adapter, "make": make}


def saved_name(host, before) -> str:
    (path,) = set(host.output_dir.rglob("*.safetensors")) - before
    return f"{path.relative_to(host.output_dir).as_posix()} [output]"


def test_a_saved_person_is_the_same_person(host, execute, person):
    identity = person["make"](0)
    before = set(host.output_dir.rglob("*.safetensors"))
    execute("SaveIdentity", identity=identity, filename_prefix="people/one")
    name = saved_name(host, before)
    assert name in host.object_info("FantasyID_LoadIdentity")["input"]["required"]["file"][1]["options"]
    again, picture = execute("LoadIdentity", file=name, adapter=person["adapter"])
    assert torch.equal(again.tokens, identity.tokens) and again.adapter == identity.adapter
    assert torch.equal(again.vertices, identity.vertices) and again.shape_name == "face"
    assert picture.shape == (1, 128, 128, 3)
    applied = [
        execute("ApplyIdentity", model=person["model"], adapter=person["adapter"], identity=each, strength=1.0)
        for each in (identity, again)
    ]
    assert len(applied) == 2


def test_a_person_of_another_adapter_is_refused_unless_forced(host, execute, person):
    identity = replace(person["make"](0), adapter="0" * 16)
    before = set(host.output_dir.rglob("*.safetensors"))
    execute("SaveIdentity", identity=identity, filename_prefix="people/stranger")
    name = saved_name(host, before)
    with pytest.raises(ValueError, match="0000000000000000"):
        execute("LoadIdentity", file=name, adapter=person["adapter"])
    forced, _ = execute("LoadIdentity", file=name, adapter=person["adapter"], force=True)
    execute("ApplyIdentity", model=person["model"], adapter=person["adapter"], identity=forced, strength=1.0)


def test_other_safetensors_files_are_not_offered(host, pack):
    path = host.input_dir / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    (host.input_dir / "short.safetensors").write_bytes(b"abc")
    try:
        options = host.object_info("FantasyID_LoadIdentity")["input"]["required"]["file"][1]["options"]
        assert not {"weights.safetensors", "short.safetensors"} & set(options)
    finally:
        path.unlink()
        (host.input_dir / "short.safetensors").unlink()


def test_mixed_people_are_the_weighted_mean_of_their_tokens(execute, person):
    one, two, three = (person["make"](seed) for seed in range(3))
    (mixed,) = execute("MixIdentities", identity_1=one, identity_2=two, identity_3=three, weight_1=3.0, weight_3=0.0)
    assert torch.allclose(mixed.tokens, 0.75 * one.tokens + 0.25 * two.tokens, atol=1e-6)
    assert mixed.adapter == one.adapter and (mixed.thumbnail == one.thumbnail).all()
    with pytest.raises(ValueError, match="adapter"):
        execute("MixIdentities", identity_1=one, identity_2=replace(two, adapter="0" * 16))


def test_a_lora_with_the_names_of_diffusers_is_loaded(host, execute, person):
    folder = host.models_dir / "loras"
    folder.mkdir(exist_ok=True)
    weight = person["model"].model.diffusion_model.blocks[0].q.weight
    down, up = torch.rand(4, weight.shape[1]), torch.rand(weight.shape[0], 4)
    key = "transformer.transformer_blocks.0.attn1.to_q"
    save_file({f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}, folder / "style.safetensors")
    save_file({"lora_unet_down_blocks_0.lora_down.weight": down}, folder / "sdxl.safetensors")
    (patched,) = execute("LoadLoRA", model=person["model"], lora="style.safetensors", strength=0.5)
    assert patched is not person["model"] and len(patched.patches) == 1 and not person["model"].patches
    with pytest.raises(ValueError, match="lora_unet_down_blocks_0|not for this model|another"):
        execute("LoadLoRA", model=person["model"], lora="sdxl.safetensors", strength=1.0)
    assert load_file(folder / "style.safetensors").keys()


def test_a_video_is_scored_against_the_reference(host, pack, execute, monkeypatch):
    """ArcFace and the detector are recorded: the vector is the mean colour, the face fills the frame."""
    package = pack.__name__ + ".fantasyid_core."
    face_module = sys.modules.get(package + "face.likeness") or __import__(package + "face.likeness", fromlist=["x"])
    detect = sys.modules.get(package + "face.detectors.detect") or __import__(
        package + "face.detectors.detect", fromlist=["x"]
    )

    class Likeness:
        def embed(self, image, points):
            vector = image.reshape(-1, 3).mean(axis=0).astype("float32") - 100
            return vector / (vector**2).sum() ** 0.5

    points = detect.face_from_points
    from fantasyid_core.face.align import TEMPLATE

    monkeypatch.setattr(face_module, "load_likeness", lambda *_, **__: Likeness())
    monkeypatch.setattr(detect, "detect_faces", lambda image, *_, **__: [points(image, TEMPLATE / 512 * len(image))])
    image = torch.rand(3, 96, 96, 3, generator=torch.Generator().manual_seed(0))
    image[..., 0] *= torch.tensor([1.0, 1.0, 0.2])[:, None, None]
    face, _, _ = execute("CropFace", image=image[:1], **CENTRE)
    reference, steady, motion, plot = execute("ScoreIdentity", image=image, face=face)
    assert -1 <= reference < 1 and -1 <= steady < 1 and motion >= 0
    assert plot.shape == (1, 420, 720, 3)
    same, _, still, _ = execute("ScoreIdentity", image=image[:1].repeat(3, 1, 1, 1), face=face)
    assert same > reference and still == pytest.approx(0, abs=1e-3)


def test_without_arcface_the_score_says_what_to_get(execute):
    image = torch.rand(2, 96, 96, 3)
    face, _, _ = execute("CropFace", image=image[:1], **CENTRE)
    with pytest.raises((FileNotFoundError, RuntimeError), match="glintr100.onnx|insightface"):
        execute("ScoreIdentity", image=image, face=face)


# The best of several seeds


@pytest.fixture
def inputs(host, execute, person, small_host_models):
    """model, positive, negative, latent, vae of the small files."""
    (vae,) = host.node_classes["VAELoader"]().load_vae("cogvideox_vae.safetensors")
    face, _, _ = execute("CropFace", image=torch.rand(1, 96, 80, 3), **CENTRE)
    text = [[torch.zeros(1, 226, 64), {"concat_latent_image": torch.zeros(1, 16, 1, 8, 12)}]]
    parts = {"positive": text, "negative": text, "vae": vae, "face": face, "model": person["model"]}
    positive, negative, latent = execute("VideoConditioning", **parts)
    return person["model"], positive, negative, latent, vae


SETTINGS = {"steps": 5, "cfg": 6.0, "solver": "ddim"}


def by_brightness(core, seen):
    """A stand-in for ArcFace: brighter videos are more alike."""
    score = __import__(core + "evaluation.score", fromlist=["VideoScore"])

    def judge(frames):
        seen.append(float(frames.mean()))
        similar = torch.tensor([seen[-1]]).numpy()
        return score.VideoScore(similar, similar[:0], similar[:0])

    return judge


@pytest.mark.parametrize("preview", [0.0, 0.6])
def test_the_best_seed_wins_and_its_video_is_that_of_the_sampler(pack, inputs, preview):
    core = pack.__name__ + ".fantasyid_core."
    best = __import__(core + "host.comfy.best", fromlist=["best_video"])
    run = __import__(core + "host.comfy.video", fromlist=["sample_latent"])
    seen = []
    with torch.inference_mode():
        found = best.best_video(*inputs, by_brightness(core, seen), [3, 4, 5], preview=preview, **SETTINGS)
        winner = found.candidates[0]
        again = run.sample_latent(*inputs[:4], seed=winner.seed, **SETTINGS)["samples"]
    assert torch.equal(found.latent["samples"], again)
    assert {each.seed for each in found.candidates} == {3, 4, 5}
    assert len(seen) == (4 if preview else 3)  # three previews and a video, or three videos
    judged = dict(zip([3, 4, 5], seen, strict=False))
    assert winner.seed == max(judged, key=judged.get)
    assert f"seed {winner.seed}: likeness" in winner.describe() and "(video)" in winner.describe()


def test_a_preview_stops_the_sampling(pack, inputs):
    core = pack.__name__ + ".fantasyid_core."
    best = __import__(core + "host.comfy.best", fromlist=["best_video"])
    calls = []
    model = inputs[0].clone()
    model.set_model_unet_function_wrapper(lambda apply, options: calls.append(1) or apply(
        options["input"], options["timestep"], **options["c"]))  # fmt: skip
    with torch.inference_mode():
        best.best_video(model, *inputs[1:], by_brightness(core, []), range(4), preview=0.4, **SETTINGS)
    assert len(calls) == 4 * 2 + 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"keep": 3}, "keep 1 to 2"),
        ({"preview": 1.5}, "0 to 1 of the steps"),
    ],
)
def test_searches_that_make_no_sense_are_refused(pack, inputs, changes, message):
    core = pack.__name__ + ".fantasyid_core."
    best = __import__(core + "host.comfy.best", fromlist=["best_video"])
    options = {"seeds": [0, 1], "score": by_brightness(core, []), **changes}
    with pytest.raises(ValueError, match=message):
        best.best_video(*inputs, **options, **SETTINGS)

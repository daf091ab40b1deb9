"""ConsisID by the same nodes in the real ComfyUI: every control, several people, saving, and what is refused."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from consisidgolden import write_arcface, write_parser
from golden import relative_error
from small import make_transformer_state
from workflow_form import workflow_prompt

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.face.align import FaceCrop
from fantasyid_core.face.consisid import load_readers, load_tower, prepare_face
from fantasyid_core.host.diffusers import others as diffusers_models
from fantasyid_core.tools.random_model import write_random_model

pytest.importorskip("facexlib", reason="facexlib is not installed: no parts of a face")
CENTRE = {"detector": "none", "which_face": "largest", "number": 0, "padding": 0.0}
SETTINGS = {"seed": 1, "steps": 3, "cfg": 6.0, "solver": "ddim"}
NAME = "ConsisID-preview"


@pytest.fixture(scope="module")
def consisid_files(small_files, host):
    """A small seeded ConsisID in models/fantasyid, with its files in face_encoder/ as in the official folder."""
    sizes = TransformerConfig.tiny(max_text_seq_length=226, num_layers=4)
    folder = host.models_dir / "fantasyid" / NAME
    write_random_model(folder, 3, sizes, AdapterConfig.consisid_tiny(interval=2))
    (folder / "face_encoder" / "eva.safetensors").rename(folder / "face_encoder" / "tower.safetensors")
    write_parser(folder / "face_encoder" / "parsing_bisenet.pth")
    write_arcface(folder / "face_encoder" / "models" / "antelopev2" / "glintr100.onnx")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def execute(host, pack):
    def execute(name: str, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs)

    return execute


@pytest.fixture
def loaded(consisid_files, small_host_models, execute, known):
    """model, adapter, encoder."""
    if "loaded" not in known:
        model, adapter, *_ = execute("LoadModel", model=NAME, dtype="fp32").result
        (encoder,) = execute("LoadFaceEncoder", encoder=f"{NAME}/face_encoder/tower.safetensors", dtype="fp32").result
        known["loaded"] = model, adapter, encoder
    return known["loaded"]


@pytest.fixture(scope="module")
def known() -> dict:
    """The people that were encoded, by their seeds, and what was "loaded"."""
    return {}


@pytest.fixture
def crop(execute):
    def crop(seed: int):
        noise = torch.rand(1, 96, 80, 3, generator=torch.Generator().manual_seed(seed))
        return execute("CropFace", image=noise, **CENTRE).result[0]

    return crop


@pytest.fixture
def encode(loaded, crop, execute, known):
    """encode(seed, **inputs) -> (identity, face)."""

    def encode(seed: int = 0, **inputs):
        if not inputs:
            if seed not in known:
                known[seed] = encode(seed, face=crop(seed))
            return known[seed]
        _, adapter, encoder = loaded
        parts = {"adapter": adapter, "encoder": encoder, "face": crop(seed), **inputs}
        return execute("EncodeIdentity", **parts).result

    return encode


@pytest.fixture
def video(execute, loaded, encode):
    """video(*settings of one person after the other) -> latents [1, C, T, h, w]."""
    model, adapter, _ = loaded
    people = [encode(seed)[0] for seed in range(2)]
    text = [[torch.zeros(1, 226, 64), {"concat_latent_image": torch.zeros(1, 16, 1, 8, 12)}]]
    latent = {"samples": torch.zeros(1, 16, 3, 8, 12)}

    def video(*settings, persons=people):
        patched = model
        for person, each in zip(persons, settings, strict=False):
            inputs = {"model": patched, "adapter": adapter, "identity": person, "strength": 1.0, **each}
            patched = execute("ApplyIdentity", **inputs).result[0]
        sampled = execute("Sampler", model=patched, positive=text, negative=text, latent=latent, **SETTINGS)
        return sampled.result[0]["samples"]

    return video


def test_without_the_node_the_model_is_the_unpatched_one_to_the_bit(video):
    plain = video()
    assert not torch.allclose(video({}), plain, atol=1e-5)
    assert torch.equal(video(), plain)


LEFT = torch.zeros(1, 64, 96)
LEFT[..., :48] = 1


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0.5}, {"strength": -0.5}, {"start_percent": 0.4}, {"end_percent": 0.4}, {"fade_in": 0.9},
        {"fade_out": 0.9}, {"layers": "0:0"}, {"schedule": "0:0, 1:1"}, {"mask": LEFT}, {"mask": LEFT, "feather": 30.0},
        {"identity_guidance": 2.0},
    ],
    ids=str,
)  # fmt: skip
def test_every_control_does_something(video, settings):
    changed = video(settings)
    assert changed.isfinite().all()
    assert not torch.allclose(changed, video({}), atol=1e-5) and not torch.allclose(changed, video(), atol=1e-5)


@pytest.mark.parametrize(
    "off",
    [{"strength": 0.0}, {"layers": "*:0"}, {"schedule": "0:0, 1:0"}, {"start_percent": 1.0}, {"face_weight": 0.0}],
    ids=str,
)
def test_every_way_to_switch_the_person_off_is_the_plain_model(video, off):
    assert torch.allclose(video(off), video(), atol=1e-6)


def test_two_people_side_by_side_one_of_them_saved_and_loaded(video, execute, encode, host, loaded):
    first, second = encode(0)[0], encode(1)[0]
    shown = execute("SaveIdentity", identity=second, filename_prefix="fantasyid/second").ui["fantasyid_files"][0]
    name = f"{shown['subfolder']}/{shown['filename']} [output]"
    back, picture = execute("LoadIdentity", file=name, adapter=loaded[1]).result
    assert torch.equal(back.tokens, second.tokens) and back.transformer == second.transformer != ""
    assert picture.shape == (1, 128, 128, 3) and back.vertices is None
    beside = {"region": "side by side"}
    expected = video(beside, beside, persons=[first, second])
    assert torch.equal(video(beside, beside, persons=[first, back]), expected)
    assert not torch.allclose(video(beside, beside, persons=[second, first]), expected, atol=1e-5)


def test_people_are_mixed_and_references_joined(execute, encode, crop, loaded):
    first, second = encode(0)[0], encode(1)[0]
    mixed = execute("MixIdentities", identity_1=first, identity_2=second, weight_1=1.0, weight_2=3.0).result[0]
    assert torch.allclose(mixed.tokens, (first.tokens + 3 * second.tokens) / 4, atol=1e-6)
    assert mixed.transformer == first.transformer
    several = replace(crop(0), others=(crop(1),))
    average, joined = (encode(face=several, references=how)[0].tokens for how in ("average", "concatenate"))
    assert torch.allclose(average, (first.tokens + second.tokens) / 2, atol=1e-6)
    assert torch.equal(joined, torch.cat([first.tokens, second.tokens], dim=1))


def test_the_face_carries_its_parsed_picture_to_the_first_picture_of_the_video(execute, loaded, encode, crop):
    vae = execute_stock(execute)
    face = encode(0)[1]
    assert (face.parsed != face.crop).any() and (face.parsed[face.parsed != face.crop] == 255).all()
    text, seen = [[torch.zeros(1, 226, 64), {"concat_latent_image": torch.zeros(1, 16, 1, 8, 12)}]], []
    inputs = {"positive": text, "negative": text, "vae": vae, "model": loaded[0]}
    for each in (face, replace(face, crop=face.parsed, parsed=face.parsed)):
        conditioned = execute("VideoConditioning", face=each, **inputs).result[0]
        seen.append(conditioned[0][1]["concat_latent_image"])
    assert torch.equal(*seen)
    with pytest.raises(ValueError, match="shown face and hair on white.*output face of Encode Identity"):
        execute("VideoConditioning", face=crop(0), **inputs)


def execute_stock(execute):
    import nodes

    return nodes.VAELoader().load_vae("cogvideox_vae.safetensors")[0]


EDIT = '{"version": 1, "values": {"face_width": 0.8, "mouth_width": 0.6}}'


@pytest.fixture
def photo(host, small_files):
    """The photo in the input folder as the host loads it."""
    return host.node_classes["LoadImage"]().load_image("face.jpg")[0]


@pytest.mark.parametrize("detector", ["mediapipe", "none"])
def test_an_edit_changes_person_and_first_picture_as_the_core_computes_them(
    execute, loaded, encode, small_files, consisid_files, photo, detector
):
    """Crop Face -> Edit Shape -> Warp Face -> Encode Identity -> Video Conditioning, with and without five points."""
    face = execute("CropFace", image=photo, **{**CENTRE, "detector": detector}).result[0]
    assert (face.points is None) == (detector == "none")
    before = execute("LoadShape", shape="face.ply").result[0]
    after = execute("EditShape", shape=before, edit=EDIT, flame="none").result[0]
    warped = execute("WarpFace", face=face, before=before, after=after).result[0]
    assert warped.picture is None and (warped.crop != face.crop).mean() > 0.05

    (plain, unwarped), (person, shown) = encode(face=face), encode(face=warped)
    parts = {"positive": [[torch.zeros(1, 226, 64), {}]], "vae": execute_stock(execute), "model": loaded[0]}
    latents = []
    for each in (unwarped, shown):
        conditioned = execute("VideoConditioning", negative=parts["positive"], face=each, **parts).result[0]
        latents.append(conditioned[0][1]["concat_latent_image"])
    assert relative_error(person.tokens, plain.tokens) > 1e-4 and relative_error(latents[1], latents[0]) > 1e-3

    tokens, parsed, latent = by_the_core(consisid_files, small_files, warped)
    np.testing.assert_array_equal(shown.parsed, parsed)
    assert relative_error(person.tokens, tokens) <= 1e-5 and relative_error(latents[1], latent) <= 1e-5


def by_the_core(model, vae_of, face):
    """Tokens, parsed crop and unscaled latent of a face, computed without the host."""
    face = FaceCrop(face.crop, face.matrix, face.points)
    tower = load_tower(model / "face_encoder" / "tower.safetensors")
    with torch.inference_mode():
        prepared = prepare_face(face, tower.features, load_readers([model]))
        tokens = load_adapter(model).encode(prepared.features)
        vae = diffusers_models.load_vae(vae_of, torch.float32)
        latent = vae.encode(diffusers_models.stretch(prepared.face.parsed, 96, 64).unsqueeze(2)).latent_dist.mode()
    return tokens, prepared.face.parsed, latent


def test_the_bars_of_the_sliders_say_that_only_the_picture_counts(execute, loaded, crop, pack):
    effects_of = importlib.import_module(f"{pack.__name__}.fantasyid_core.host.comfy.effects")
    _, adapter, encoder = loaded
    shape = execute("LoadShape", shape="face.ply").result[0]
    with torch.inference_mode():
        effects = effects_of.measure_effects(adapter, encoder, crop(0), shape)
    assert all(effect.vertices == 0 for effect in effects.values())
    assert "ConsisID reads no 3D face" in next(iter(effects_of.shown_effects(effects, "consisid").values()))[2]


def test_a_shape_that_would_be_ignored_is_refused(execute, encode):
    shape = execute("LoadShape", shape="face.ply").result[0]
    with pytest.raises(ValueError, match="ConsisID reads no 3D face, so a shape would be ignored"):
        encode(shape=shape)


def test_fantasyid_without_its_shape_is_refused(execute, small_host_models, crop):
    model, adapter, *_ = execute("LoadModel", model="FantasyID", dtype="fp32").result
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32").result
    with pytest.raises(ValueError, match="Expected a 3D face, got none"):
        execute("EncodeIdentity", adapter=adapter, encoder=encoder, face=crop(0))


def test_fantasyids_encoder_is_refused(execute, loaded, crop):
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32").result
    with pytest.raises(ValueError, match="ConsisID reads five states and the CLIP vector"):
        execute("EncodeIdentity", adapter=loaded[1], encoder=encoder, face=crop(0))


def test_missing_files_are_named_unless_approximate_is_accepted(consisid_files, execute, encode, video, host):
    path = consisid_files / "face_encoder" / "parsing_bisenet.pth"
    aside = path.rename(path.with_name("aside"))
    try:
        with pytest.raises(FileNotFoundError, match="parsing_bisenet.pth .* is missing.*approximate"):
            encode(0, approximate=False)
        identity, face = encode(0, approximate=True)
    finally:
        aside.rename(path)
    assert "parsing_bisenet.pth is missing" in identity.approximate
    assert (face.parsed == face.crop).all()
    shown = execute("SaveIdentity", identity=identity, filename_prefix="fantasyid/less").ui["fantasyid_files"][0]
    name = f"{shown['subfolder']}/{shown['filename']} [output]"
    assert execute("LoadIdentity", file=name).result[0].approximate == identity.approximate


def test_a_person_of_the_other_model_is_refused(execute, encode, loaded, host):
    """FantasyID's transformer has the same sizes; the person's file says to which one it belongs."""
    from fantasyid_core.host import comfy

    sizes = TransformerConfig.tiny(max_text_seq_length=226, num_layers=4)
    config = {name: getattr(sizes, name) for name in TransformerConfig.__dataclass_fields__}
    other = comfy.load_model(make_transformer_state(sizes), config=config)
    identity = encode(0)[0]
    with pytest.raises(ValueError, match="belongs to the video model .*, this one is"):
        execute("ApplyIdentity", model=other, adapter=loaded[1], identity=identity, strength=1.0)


def test_the_shipped_workflow_makes_a_video(host, loaded, decoded):
    prompt = workflow_prompt(host, "consisid_photo_to_video")
    prompt["3"]["inputs"]["encoder"] = f"{NAME}/face_encoder/tower.safetensors"
    prompt["9"]["inputs"]["detector"] = "none"
    (frames,) = decoded(prompt)
    assert frames.shape == (9, 64, 96, 3)


def test_two_models_in_one_graph_come_out_side_by_side(host, loaded, decoded):
    prompt = workflow_prompt(host, "compare_models")
    prompt["9"]["inputs"]["detector"] = "none"
    prompt["25"]["inputs"]["steps"] = 1
    assert prompt["16"]["inputs"]["seed"] == prompt["25"]["inputs"]["seed"]
    for node in ("27", "28"):  # the scores need a face in the video
        del prompt[node]
    # Two encoders here, for the small models differ in their towers' width; the real ones share one.
    prompt["30"] = {**prompt["3"], "inputs": {**prompt["3"]["inputs"]}}
    prompt["30"]["inputs"]["encoder"] = f"{NAME}/face_encoder/tower.safetensors"
    prompt["22"]["inputs"]["encoder"] = ["30", 0]
    first, second = decoded(prompt)
    assert first.shape == second.shape == (9, 64, 96, 3)
    assert not torch.equal(first, second)
    assert list(host.output_dir.rglob("Comparison*.mp4"))

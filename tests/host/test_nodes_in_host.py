"""The nodes in the real ComfyUI: how the host sees them, and what every bad input gets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from comfy_process import ROOT, NodeError
from safetensors.torch import save_file

WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
IDS = sorted(path.stem for path in (ROOT / "web" / "docs").glob("FantasyID_*.md"))


@pytest.fixture
def execute(host, pack):
    """execute("CropFace", image=...) -> the node's outputs."""

    def execute(name: str, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs).result

    return execute


@pytest.fixture
def loaded(small_host_models, execute):
    """model, adapter, encoder, face and shape of the small files, freshly loaded."""
    model, adapter, *_ = execute("LoadModel", model="FantasyID", dtype="default (file's own)")
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32")
    (shape,) = execute("LoadShape", shape="face.ply")
    face, _, _ = execute("CropFace", image=picture(), **CENTRE)
    return {"model": model, "adapter": adapter, "encoder": encoder, "face": face, "shape": shape}


CENTRE = {"detector": "none", "which_face": "largest", "number": 0, "padding": 0.0}


def picture(height=96, width=80, channels=3, count=1):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, height, width, channels, generator=generator)


def identity_of(execute, loaded, **changes):
    parts = {name: loaded[name] for name in ("adapter", "encoder", "face", "shape")} | changes
    return execute("EncodeIdentity", **parts)[0]


# How the host sees the pack


def test_the_host_accepts_every_node(host, pack):
    assert {name for name in host.node_classes if name.startswith("FantasyID_")} == set(IDS)
    for name in IDS:
        info = host.object_info(name)
        assert json.dumps(info) and info["name"] == name and info["display_name"].startswith("FantasyID ")
        for _, options in (*info["input"].get("required", {}).values(), *info["input"].get("optional", {}).values()):
            assert options["tooltip"]


def test_model_folders_are_registered(host, pack):
    import folder_paths

    paths, suffixes = folder_paths.folder_names_and_paths["fantasyid"]
    assert str(host.models_dir / "fantasyid") in paths
    assert {".safetensors", ".pkl"} <= suffixes and ".txt" not in suffixes


def test_help_pages_are_where_the_frontend_looks(pack):
    import nodes

    web = nodes.EXTENSION_WEB_DIRS[ROOT.name]
    assert all(os.path.isfile(os.path.join(web, "docs", f"{name}.md")) for name in IDS)


def test_the_browser_is_offered_the_workflow_and_nothing_else(host, monkeypatch, tmp_path):
    import folder_paths
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer
    from app.custom_node_manager import CustomNodeManager

    (tmp_path / "fantasyid").symlink_to(ROOT)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "custom_nodes", ([str(tmp_path)], set()))

    async def ask():
        app, routes = web.Application(), web.RouteTableDef()
        CustomNodeManager().add_routes(routes, app, [("fantasyid", str(ROOT))])
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            offered = await (await client.get("/workflow_templates")).json()
            template = await client.get("/api/workflow_templates/fantasyid/photo_to_video.json")
            return offered, await template.json(content_type=None)

    offered, template = asyncio.run(ask())
    assert {name: sorted(each) for name, each in offered.items()} == {"fantasyid": WORKFLOWS}
    assert len(template["nodes"]) == 20


def test_lists_follow_the_disk(host, pack, tmp_path):
    def offered(node, name):
        return host.object_info(node)["input"]["required"][name][1]["options"]

    model = host.models_dir / "fantasyid" / "later" / "new_adapter.safetensors"
    shape = host.input_dir / "later.ply"
    try:
        for path in (model, shape):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        assert "later/new_adapter.safetensors" in offered("FantasyID_LoadModel", "model")
        assert "later/new_adapter.safetensors" in offered("FantasyID_LoadAdapter", "adapter")
        assert "later.ply" in offered("FantasyID_LoadShape", "shape")
    finally:
        shutil.rmtree(model.parent)
        shape.unlink()
    assert "later/new_adapter.safetensors" not in offered("FantasyID_LoadModel", "model")


def test_a_shape_that_changed_on_disk_is_read_again(host, pack, portraits, small_files):
    prompt = {
        "1": {"class_type": "FantasyID_LoadShape", "inputs": {"shape": "changing.ply"}},
        "2": {
            "class_type": "FantasyID_SaveShape",
            "inputs": {"shape": ["1", 0], "filename_prefix": "changes/head", "format": ".npy"},
        },
    }
    shutil.copyfile(portraits("one.ply"), host.input_dir / "changing.ply")
    first = host.run(prompt)["2"]["fantasyid_files"][0]
    host.run(prompt, cached=True)
    assert len(list((host.output_dir / "changes").iterdir())) == 1  # nothing changed, nothing ran
    shutil.copyfile(portraits("three.ply"), host.input_dir / "changing.ply")
    second = host.run(prompt, cached=True)["2"]["fantasyid_files"][0]
    contents = [(host.output_dir / "changes" / saved["filename"]).read_bytes() for saved in (first, second)]
    assert first["filename"] != second["filename"] and contents[0] != contents[1]


# Face and shape


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_every_kind_give_a_crop(execute, channels):
    face, crop, numbered = execute("CropFace", image=picture(channels=channels), **CENTRE)
    assert crop.shape == (1, 512, 512, 3) and 0 <= crop.min() <= crop.max() <= 1
    assert torch.equal(face.image(), crop) and numbered.shape == (1, 96, 80, 3)


def test_five_points_turn_the_face_upright(execute):
    points = "150,190 300,190 225,270 165,340 285,340"
    face, _, _ = execute("CropFace", image=picture(480, 450), points=points, **CENTRE)
    assert face.points.tolist() == [[150, 190], [300, 190], [225, 270], [165, 340], [285, 340]]


@pytest.mark.parametrize(
    ("image", "points", "message"),
    [
        (torch.full((1, 96, 80, 3), torch.nan), "", "NaN or infinite"),
        (picture(1, 1), "", "1 x 1|1x1"),
        (picture(channels=2), "", "1, 3 or 4 channels"),
        (picture() * 255, "", "expected floats in 0..1"),
        (picture(), "1,2 3,4", "got 4 numbers"),
        (picture(), "15,19 30,19 22,27 16,34 85,34", "outside the picture"),
    ],
)
def test_pictures_and_points_that_cannot_work_are_explained(execute, image, points, message):
    with pytest.raises(ValueError, match=message):
        execute("CropFace", image=image, points=points, **CENTRE)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb", ".npy"])
def test_a_saved_shape_loads_again(host, execute, loaded, suffix):
    import folder_paths

    before = set(host.output_dir.rglob("*"))
    execute("SaveShape", shape=loaded["shape"], filename_prefix="heads/one", format=suffix)
    (path,) = {path for path in host.output_dir.rglob("*") if path.is_file()} - before
    name = f"heads/{path.name} [output]"
    assert folder_paths.get_annotated_filepath(name) == str(path)
    (again,) = execute("LoadShape", shape=name)
    assert torch.allclose(again.vertices, loaded["shape"].vertices, atol=1e-7)


def test_a_shape_is_never_saved_outside_the_output_folder(host, pack, loaded):
    save = host.node_classes["FantasyID_SaveShape"]
    with pytest.raises(ValueError, match="below ComfyUI's output folder"):
        save.execute(shape=loaded["shape"], filename_prefix="../outside", format=".ply")
    assert not list(host.base.glob("outside*"))


# Identity


def test_an_identity_carries_tokens_and_where_they_come_from(execute, loaded):
    identity = identity_of(execute, loaded)
    config = loaded["adapter"].config
    assert identity.tokens.shape == (1, config.id_tokens, config.id_width) and identity.tokens.isfinite().all()
    assert identity.shape_name == "face" and identity.thumbnail.shape == (128, 128, 3)
    with torch.inference_mode():  # the core alone gives the same
        feats = loaded["encoder"].patcher.model.encode(loaded["face"].pixels())
        expected = loaded["adapter"].encode(feats, loaded["shape"].vertices)
    assert torch.allclose(identity.tokens, expected, atol=1e-6)


def test_the_host_casts_and_moves_every_weight_of_the_face_encoder(loaded):
    network = loaded["encoder"].patcher.model
    cast = {name for name, layer in network.named_modules() if getattr(layer, "comfy_cast_weights", False)}
    alone = {name for name, _ in network.named_parameters() if name.rpartition(".")[0] not in cast}
    assert alone == {"trunk.cls_token", "trunk.pos_embed"}
    assert not any(value.is_meta for value in (*network.parameters(), *network.buffers()))


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp8_e4m3fn"])
def test_the_precision_changes_the_identity_little_and_its_adapter_not(execute, loaded, dtype):
    model, adapter, *_ = execute("LoadModel", model="FantasyID", dtype=dtype)
    assert next(adapter.layers.parameters()).dtype == getattr(torch, {"bf16": "bfloat16", "fp16": "float16"}.get(
        dtype, "float8_e4m3fn"))  # fmt: skip
    exact, rough = identity_of(execute, loaded), identity_of(execute, loaded, adapter=adapter)
    assert rough.adapter == exact.adapter
    error = float((rough.tokens - exact.tokens).norm() / exact.tokens.norm())
    assert 0 < error < (0.3 if dtype.startswith("fp8") else 0.03)


def test_an_identity_of_another_adapter_is_refused(execute, loaded):
    identity = replace(identity_of(execute, loaded), adapter="0" * 16)
    with pytest.raises(ValueError, match="Expected an identity made with this adapter .* got one made with another"):
        execute("ApplyIdentity", model=loaded["model"], adapter=loaded["adapter"], identity=identity, strength=1.0)


def test_adapters_are_told_apart(pack, loaded):
    fingerprint = sys.modules[f"{pack.__name__}.fantasyid_core.identity.fingerprint"]
    other = type(loaded["adapter"])(loaded["adapter"].config, loaded["adapter"].topology)
    assert fingerprint.adapter_fingerprint(other) != fingerprint.adapter_fingerprint(loaded["adapter"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": float("nan")}, "strength must be a finite number"),
        ({"start_percent": 1.5}, "start and end between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_explained(execute, loaded, change, message):
    inputs = {"model": loaded["model"], "adapter": loaded["adapter"], "strength": 1.0} | change
    with pytest.raises(ValueError, match=message):
        execute("ApplyIdentity", identity=identity_of(execute, loaded), **inputs)


def test_a_shape_or_encoder_of_another_model_is_refused(execute, loaded, pack):
    small = type(loaded["shape"])(loaded["shape"].vertices[:100])
    with pytest.raises(ValueError, match="Expected a 3D face of 5023 vertices, got 100"):
        identity_of(execute, loaded, shape=small)
    with pytest.raises(ValueError, match="expected finite coordinates"):
        type(loaded["shape"])(loaded["shape"].vertices.clone().fill_(torch.inf))
    encoder = sys.modules[f"{pack.__name__}.fantasyid_core.face.encoder"]
    run = sys.modules[f"{pack.__name__}.fantasyid_core.host.comfy.encode"]
    wider = run.host_face_encoder(encoder.random_face_encoder(width=128))
    with pytest.raises(ValueError, match=r"Face features: expected \[B, 17, 32\], got \[1, 17, 128\]"):
        identity_of(execute, loaded, encoder=wider)


# Models


@pytest.mark.parametrize(
    ("name", "state", "message"),
    [
        ("lora.safetensors", {"lora_unet_a.lora_down.weight": torch.zeros(2)}, "it looks like a LoRA"),
        ("vae.safetensors", {"decoder.conv_in.conv.weight": torch.zeros(2)}, "it looks like a VAE"),
    ],
)
@pytest.mark.parametrize("node", ["LoadModel", "LoadAdapter"])
def test_a_file_of_another_kind_is_named(host, pack, execute, node, name, state, message):
    path = host.models_dir / "fantasyid" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    try:
        with pytest.raises(ValueError, match=message):
            execute(node, **{node.removeprefix("Load").lower(): name}, dtype="fp32")
    finally:
        path.unlink()


def test_a_damaged_file_is_named(host, pack, small_files, execute):
    path = host.models_dir / "fantasyid" / "cut.safetensors"
    whole = small_files / "transformer" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(whole.read_bytes()[:100_000])
    try:
        with pytest.raises(ValueError, match="cut.safetensors"):
            execute("LoadModel", model="cut.safetensors", dtype="fp32")
    finally:
        path.unlink()


def test_a_missing_topology_says_where_it_belongs(host, pack, small_files, execute, monkeypatch):
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    kept = small_files / "topology.safetensors"
    kept.rename(kept.with_suffix(".away"))
    try:
        with pytest.raises(FileNotFoundError, match="transform.pkl"):
            execute("LoadModel", model="FantasyID", dtype="fp32")
        shutil.copyfile(kept.with_suffix(".away"), host.models_dir / "fantasyid" / "topology.safetensors")
        execute("LoadModel", model="FantasyID", dtype="fp32")  # found in models/fantasyid
    finally:
        kept.with_suffix(".away").rename(kept)
        (host.models_dir / "fantasyid" / "topology.safetensors").unlink(missing_ok=True)


def test_stock_nodes_of_the_wrong_kind_are_named(small_host_models, host):
    prompt = {
        "1": {"class_type": "CLIPLoader", "inputs": {"clip_name": "t5xxl_fp16.safetensors", "type": "cogvideox"}},
        "2": {"class_type": "FantasyID_EncodePrompt", "inputs": {"text": "a", "clip": ["1", 0]}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "pixel_space"}},
        "4": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "5": {
            "class_type": "FantasyID_CropFace",
            "inputs": {"image": ["4", 0], **CENTRE},
        },
        "6": {
            "class_type": "FantasyID_VideoConditioning",
            "inputs": {"positive": ["2", 0], "negative": ["2", 0], "vae": ["3", 0], "face": ["5", 0]},
        },
        "7": {"class_type": "SaveLatent", "inputs": {"samples": ["6", 2], "filename_prefix": "x"}},
    }
    with pytest.raises(NodeError, match="FantasyID_VideoConditioning: Expected the CogVideoX VAE, got"):
        host.run(prompt)


# Sampling


def conditioning(tokens=226):
    return [[torch.zeros(1, tokens, 64), {"concat_latent_image": torch.zeros(1, 16, 1, 8, 12)}]]


def sample(execute, loaded, positive, latent):
    settings = {"seed": 0, "steps": 1, "cfg": 6.0, "solver": "ddim"}
    inputs = {"model": loaded["model"], "positive": positive, "negative": conditioning(), "latent": latent}
    return execute("Sampler", **inputs, **settings)


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        ({"samples": torch.zeros(1, 16, 13, 60, 90)}, "Expected latents .*9 frames of 96x64"),
        ({"samples": torch.zeros(2, 16, 3, 8, 12)}, "Expected the latent of one video, got 2"),
        ({"samples": torch.ones(1, 16, 3, 8, 12)}, "Expected the empty latent"),
        ({"samples": torch.zeros(1, 16, 3, 8, 12), "noise_mask": torch.ones(1, 8, 12)}, "Expected the empty latent"),
        ({"samples": torch.zeros(1, 4, 8, 12)}, "Expected latents"),
    ],
)
def test_latents_that_do_not_fit_are_refused(execute, loaded, latent, message):
    with pytest.raises(ValueError, match=message):
        sample(execute, loaded, conditioning(), latent)


def test_prompts_of_other_nodes_are_refused(execute, loaded):
    latent = {"samples": torch.zeros(1, 16, 3, 8, 12)}
    with pytest.raises(ValueError, match="Expected prompts of 226 tokens, got 77"):
        sample(execute, loaded, conditioning(77), latent)


def test_without_a_model_the_video_has_the_official_size(execute, loaded, small_host_models, host):
    (vae,) = host.node_classes["VAELoader"]().load_vae("cogvideox_vae.safetensors")
    inputs = {"positive": conditioning(), "negative": conditioning(), "vae": vae, "face": loaded["face"]}
    positive, negative, latent = execute("VideoConditioning", **inputs)
    assert latent["samples"].shape == (1, 16, 13, 60, 90) and not latent["samples"].any()
    assert positive[0][1]["concat_latent_image"].shape == (1, 16, 1, 60, 90)
    assert negative[0][1]["concat_latent_image"] is positive[0][1]["concat_latent_image"]
    assert latent["fantasyid_preview"].shape == (17, 3)


def test_a_small_tile_is_refused(execute, small_host_models, host):
    (vae,) = host.node_classes["VAELoader"]().load_vae("cogvideox_vae.safetensors")
    with pytest.raises(ValueError, match="at least 128 pixels, got 64"):
        execute("DecodeVideo", vae=vae, latent={"samples": torch.zeros(1, 16, 3, 8, 12)}, tile=64)


def test_the_host_logs_nothing_bad_while_loading_the_pack(host, pack, caplog):
    import nodes

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(nodes.load_custom_node(str(ROOT)))
    assert not caplog.records

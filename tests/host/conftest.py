"""Fixtures of the tests that need the real ComfyUI; they say why when it is not there."""

from __future__ import annotations

import gc
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from comfy_process import ROOT, ComfyProcess
from importall import import_core
from standinflame import write_face_files

from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.shape import load_topology
from fantasyid_core.tools.random_model import write_random_model

SMALL_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 32128}


@pytest.fixture(scope="session")
def host(comfyui: Path, tmp_path_factory) -> ComfyProcess:
    """ComfyUI in this process, on the CPU, with its folders below a temporary one. The pack is not loaded yet.

    `host.load_pack()`; `host.run(api_prompt)` -> outputs or NodeError with the node's words; `host.models_dir`,
    `host.input_dir`, `host.output_dir`; `host.events`.
    """
    return ComfyProcess(comfyui, tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="session")
def pack(host: ComfyProcess):
    """The pack as the host has imported it (its `fantasyid_core` is another import than the tests' own)."""
    module = host.load_pack(ROOT)
    import_core(f"{module.__name__}.fantasyid_core", hosts=("comfy",))
    gc.collect()
    gc.freeze()
    return module


@pytest.fixture(scope="session")
def small_files(portraits, pack, host: ComfyProcess) -> Path:
    """A small seeded model on a mesh of FLAME's count, laid out in the host's folders as a user would.

    models/fantasyid/FantasyID, models/vae, models/text_encoders, models/clip_vision; the first of `portraits` as
    face.jpg and face.ply in the input folder. Returns the release folder.
    """
    topology = load_topology(portraits("topology.safetensors"))
    sizes = TransformerConfig.tiny(max_text_seq_length=226)
    adapter = AdapterConfig.tiny(vertex_counts=topology.vertex_counts)
    models = host.models_dir
    release = write_random_model(models / "fantasyid" / "FantasyID", 0, sizes, adapter, topology)
    for source, target in (
        (release / "vae" / "diffusion_pytorch_model.safetensors", models / "vae" / "cogvideox_vae.safetensors"),
        (release / "face_encoder" / "eva.safetensors", models / "clip_vision" / "eva.safetensors"),
        (portraits("one.jpg"), host.input_dir / "face.jpg"),
        (portraits("one.ply"), host.input_dir / "face.ply"),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _write_text_encoder(models / "text_encoders" / "t5xxl_fp16.safetensors", sizes.text_embed_dim)
    return release


@pytest.fixture(scope="module")
def face_files(host, pack, portraits):
    """Stand-ins for DECA's, FLAME's and the landmarks' file in models/fantasyid; photos in the input folder."""
    models = host.models_dir / "fantasyid"
    written = [*write_face_files(models, pickled=True), models / "topology.safetensors"]
    shutil.copyfile(portraits("topology.safetensors"), written[-1])
    for name in ("one", "two", "three"):
        shutil.copyfile(portraits(f"{name}.jpg"), host.input_dir / f"{name}.jpg")
    yield
    for path in written:
        path.unlink()


@pytest.fixture
def small_host_models(small_files: Path, monkeypatch) -> Path:
    """The host's stock loaders take the small VAE and T5 of `small_files`, which they would call another model."""
    import comfy.ldm.cogvideo.vae
    import comfy.sd
    import comfy.text_encoders.sd3_clip as sd3_clip

    config = json.loads((small_files / "vae" / "config.json").read_text())
    sizes = {name: config[name] for name in ("block_out_channels", "layers_per_block")}
    vae_class = comfy.ldm.cogvideo.vae.AutoencoderKLCogVideoX
    monkeypatch.setattr(
        comfy.ldm.cogvideo.vae,
        "AutoencoderKLCogVideoX",
        partial(vae_class, groups=config["norm_num_groups"], **sizes),
    )
    # The host knows T5-XXL by its 24th block.
    monkeypatch.setattr(comfy.sd, "detect_te_model", lambda state: comfy.sd.TEModel.T5_XXL)
    monkeypatch.setattr(comfy.sd, "t5xxl_detect", lambda states: sd3_clip.t5_xxl_detect(states[0]))
    load_clip = comfy.sd.load_clip

    def load_small_clip(*args, model_options, **kwargs):
        return load_clip(*args, model_options={**model_options, "t5xxl_model_config": SMALL_T5}, **kwargs)

    monkeypatch.setattr(comfy.sd, "load_clip", load_small_clip)
    return small_files


def _write_text_encoder(path: Path, width: int) -> None:
    """A seeded T5 with the vocabulary of the host's own tokenizer."""
    from safetensors.torch import save_file
    from transformers import T5Config, T5EncoderModel

    assert width == SMALL_T5["d_model"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = T5EncoderModel(T5Config(**SMALL_T5, feed_forward_proj="gated-gelu"))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the alias encoder.embed_tokens, as in the official file.
    state = {key: value for key, value in encoder.state_dict().items() if "embed_tokens" not in key}
    save_file(state, path)


@pytest.fixture
def decoded(host):
    """decoded(prompt) -> the frames [T, H, W, 3] that every DecodeVideo of a run gives, in the order of running."""

    def decoded(prompt: dict, cached: bool = False) -> list:
        seen = []
        decode = host.node_classes["FantasyID_DecodeVideo"]
        original = decode.execute.__func__

        def spy(cls, **inputs):
            output = original(cls, **inputs)
            seen.append(output.result[0].clone())
            return output

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decode, "execute", classmethod(spy))
            host.run(prompt, cached)
        return seen

    return decoded

"""Loading adapters: sizes from shapes, dead keys, embedded topology, and everything that does not fit."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file
from small import inputs_of, make_adapter, release_state

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig
from fantasyid_core.shape.head import synthetic_topology

TOPOLOGY = synthetic_topology()
# What the shapes of a tiny adapter cannot tell.
STATED = {"face_tokens": 4, "attention_heads": 2, "attention_head_dim": 16, "fusion_heads": 2}


@pytest.fixture
def state():
    return release_state(make_adapter())


@pytest.fixture
def folder(tmp_path, state):
    """An official-looking folder of the tiny adapter."""
    inner = tmp_path / "model" / "transformer"
    inner.mkdir(parents=True)
    save_file(state, inner / "diffusion_pytorch_model.safetensors")
    (inner / "config.json").write_text(json.dumps({"num_layers": 4, "cross_attn_interval": 2, "fantasyid": STATED}))
    return tmp_path / "model"


def test_a_folder_gives_back_the_adapter(folder):
    loaded, original = load_adapter(folder, topology=TOPOLOGY), make_adapter()
    assert loaded.config == AdapterConfig.tiny(interval=2)
    with torch.no_grad():
        assert torch.equal(loaded.encode(*inputs_of(original)), original.encode(*inputs_of(original)))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert not loaded.encode(*inputs_of(original)).requires_grad


def test_sizes_of_the_official_checkpoint_come_from_its_shapes(reference_adapter):
    assert reference_adapter.config == AdapterConfig(injected_layers=2, interval=1, vertex_counts=(2236, 560, 160))


def test_the_official_interval_leaves_layers_unused(folder):
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({"num_layers": 2, "cross_attn_interval": 2, "fantasyid": STATED}))
    with pytest.warns(UserWarning, match="only 1 injected layers are used"):
        adapter = load_adapter(folder, topology=TOPOLOGY)
    assert adapter.config.injected_layers == 1 and adapter.config.interval == 2


def test_dead_keys_are_dropped(folder, state):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    dead = {
        "face_abstractor.latents": torch.ones(1, 2, 3),
        "face_abstractor.mapping_0.0.weight": torch.ones(2, 2),
    }
    save_file({**state, **dead}, path)
    assert "latents" not in str(list(load_adapter(folder, topology=TOPOLOGY).state_dict()))


def test_an_adapter_file_carries_its_topology_and_config(tmp_path, state):
    metadata = {"fantasyid": json.dumps({"kind": "adapter", "adapter": asdict(AdapterConfig.tiny())})}
    save_file({**state, **TOPOLOGY.tensors()}, tmp_path / "adapter.safetensors", metadata)
    adapter = load_adapter(tmp_path / "adapter.safetensors")
    assert adapter.config == AdapterConfig.tiny()
    assert adapter.topology.vertex_counts == (642, 162, 42)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_adapter_has_the_dtype_that_is_asked_for(folder, dtype):
    adapter = load_adapter(folder, topology=TOPOLOGY, dtype=dtype)
    assert {p.dtype for p in adapter.parameters()} == {dtype}


def test_without_a_dtype_the_adapter_has_that_of_the_file(folder, state):
    half = {key: value.half() for key, value in state.items()}
    save_file(half, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    assert load_adapter(folder, topology=TOPOLOGY, dtype=None).layers[0].to_q.weight.dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.int8, "float16"])
def test_impossible_dtypes_are_refused(folder, dtype):
    with pytest.raises(ValueError, match="Expected a floating-point dtype"):
        load_adapter(folder, topology=TOPOLOGY, dtype=dtype)


def rewrite(folder, change):
    from safetensors.torch import load_file

    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("vertex_reducer.conv_block2.conv_in.conv1d.bias"),
            "1 tensors of the FantasyID adapter are missing: vertex_reducer.conv_block2.conv_in.conv1d.bias",
        ),
        (
            lambda s: [s.pop(k) for k in list(s) if k.startswith("face_abstractor.layers.9.1")],
            "4 tensors .* missing",
        ),
        (
            lambda s: s.update({f"mystery.{i}": torch.ones(1) for i in range(7)}),
            r"7 unexpected tensors: (mystery\.\d, ){4}mystery\.\d\.",
        ),
        (
            lambda s: s.update({"layer_attention.1.to_q.weight": torch.ones(3, 3)}),
            r"of the wrong shape: layer_attention.1.to_q.weight is \[3, 3\] instead of \[32, 192\]",
        ),
        (
            lambda s: s.update({"layer_attention.1.norm1.bias": torch.ones(32, dtype=torch.int32)}),
            "not floating-point: layer_attention.1.norm1.bias is torch.int32",
        ),
        (
            lambda s: [s.pop(k) for k in list(s) if k.startswith("layer_attention.1.")],
            r"1 of 2 injected layers are missing \(one for every 2 of 4 blocks\): layer_attention.1\.",
        ),
        (lambda s: s.pop("layer_attention.0.to_q.weight"), "layer_attention.0.to_q.weight.* is missing"),
        (
            lambda s: s.update({"vertex_spiral_net.vtx_query": torch.ones(1, 40, 16)}),
            "trained with 40 coarse vertices, the mesh topology has 42",
        ),
    ],
)
def test_what_does_not_fit_is_named(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=message):
        load_adapter(folder, topology=TOPOLOGY)


@pytest.mark.parametrize(
    ("keys", "family"),
    [
        (["transformer_blocks.0.attn1.to_q.lora_A.weight"], "a LoRA"),
        (["decoder.conv_in.conv.weight"], "a VAE"),
        (
            ["transformer_blocks.0.attn1.to_q.weight", "patch_embed.proj.weight"],
            "a CogVideoX transformer without",
        ),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "a T5 text encoder"),
        (["double_blocks.0.img_attn.qkv.weight"], "a Flux or Hunyuan model"),
        (["something.else"], "its first tensors are something.else"),
    ],
)
def test_other_model_families_are_named(keys, family):
    with pytest.raises(ValueError, match=f"holds no FantasyID weights .*{family}"):
        load_adapter({key: torch.ones(2, 2) for key in keys}, topology=TOPOLOGY)


def test_the_topology_is_looked_for_and_asked_for(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    with pytest.raises(FileNotFoundError, match="transform.pkl"):
        load_adapter(folder)
    from fantasyid_core.shape import save_topology

    save_topology(TOPOLOGY, folder / "topology.safetensors")
    assert load_adapter(folder).topology.vertex_counts == TOPOLOGY.vertex_counts


def test_only_the_adapter_is_read_from_a_whole_model(folder, monkeypatch):
    rewrite(folder, lambda s: s.update({"transformer_blocks.0.ff.net.2.weight": torch.ones(4, 4)}))
    from fantasyid_core.files import checkpoint

    read = []
    original = checkpoint._SafetensorsReader.map
    monkeypatch.setattr(checkpoint._SafetensorsReader, "map", lambda self, key: read.append(key) or original(self, key))
    load_adapter(folder, topology=TOPOLOGY)
    assert read and not [key for key in read if key.startswith("transformer_blocks")]


@pytest.mark.parametrize(("text", "message"), [("{", "metadata is not JSON"), ("[]", "metadata is no JSON object")])
def test_broken_metadata_is_refused(tmp_path, state, text, message):
    save_file({**state, **TOPOLOGY.tensors()}, tmp_path / "a.safetensors", {"fantasyid": text})
    with pytest.raises(ValueError, match=message):
        load_adapter(tmp_path / "a.safetensors")


def test_missing_layers_are_found_without_a_config(state):
    blocks = {f"transformer_blocks.{i}.attn1.to_q.weight": torch.ones(2, 2) for i in range(3)}
    with pytest.raises(ValueError, match="1 of 3 injected layers are missing .*: layer_attention.2"):
        load_adapter({**state, **blocks}, topology=TOPOLOGY)

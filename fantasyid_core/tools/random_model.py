"""A small, complete model folder with random weights, for the demo and the tests.

The layout is the official one (transformer/, vae/, text_encoder/, tokenizer/, scheduler/, face_encoder/), so
every loader takes the path that it takes for the real model. Nothing in it is trained or licensed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..face.consisid import ARCFACE_WIDTH
from ..face.encoder import random_face_encoder, save_face_encoder
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..identity.network.abstractor import square_side
from ..shape.head import synthetic_topology
from ..shape.topology.topology import Topology, save_topology
from ..weights.adapter import METADATA_KEY, adapter_shapes, published_name
from ..weights.transformer import POSITION_TABLE

_PATCH = 14  # pixels per token of the face encoder
_TABLE_SCALE = 0.5  # of learned positions and queries: visible beside features of scale one
_GATE_SCALE = 0.3  # of what modulates the blocks, so that a random network stays near its input

SCHEDULER = {
    "_class_name": "CogVideoXDPMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
}


def write_random_model(
    folder: str | os.PathLike,
    seed: int = 0,
    transformer: TransformerConfig | None = None,
    adapter: AdapterConfig | None = None,
    topology: Topology | None = None,
) -> Path:
    """Writes a model folder in the official layout and returns its path; equal arguments give equal files.

    transformer: its sizes, `TransformerConfig.tiny()` by default. adapter: its sizes (the real ones with a
    narrow transformer, for example); by default tiny ones that fit the transformer and the topology.
    topology: `synthetic_topology()` by default, a mesh of 642 vertices.

    Raises ValueError when adapter, transformer and topology do not fit together.
    """
    folder = Path(folder)
    transformer = transformer or TransformerConfig.tiny()
    if adapter is not None and adapter.is_consisid:
        topology = None
    else:
        topology = topology or synthetic_topology()
    adapter = adapter or AdapterConfig.tiny(
        injected_layers=transformer.num_layers,
        dit_width=transformer.width,
        vertex_counts=topology.vertex_counts,
    )
    interval = adapter.interval or transformer.num_layers // adapter.injected_layers
    adapter = replace(adapter, interval=interval)
    _check_fit(transformer, adapter, topology)
    _write_weights(folder / "transformer", transformer, adapter, topology, seed)
    _write_others(folder, transformer, adapter, seed)
    if topology is not None:
        save_topology(topology, folder / "topology.safetensors")
    return folder


def _check_fit(transformer: TransformerConfig, adapter: AdapterConfig, topology: Topology | None) -> None:
    if topology is not None and adapter.vertex_counts != topology.vertex_counts:
        raise ValueError(
            f"Expected a topology of {adapter.vertex_counts} vertices, got {topology.vertex_counts}. Give "
            "the topology that the adapter's sizes are made for."
        )
    layers = -(-transformer.num_layers // adapter.interval)
    if adapter.dit_width != transformer.width or adapter.injected_layers != layers:
        raise ValueError(
            f"Expected an adapter of width {transformer.width} with {layers} injected layers, got width "
            f"{adapter.dit_width} with {adapter.injected_layers}. Change dit_width or injected_layers."
        )


def _write_weights(
    folder: Path, transformer: TransformerConfig, adapter: AdapterConfig, topology: Topology, seed: int
) -> None:
    shapes = transformer_shapes(transformer)
    published = published_name(adapter)
    shapes |= {published(name): shape for name, shape in adapter_shapes(adapter, topology).items()}
    config = {
        "_class_name": "ConsisIDTransformer3DModel" if adapter.is_consisid else "CogVideoXTransformer3DModel",
        **asdict(transformer),
        "cross_attn_interval": adapter.interval,
        "use_learned_positional_embeddings": True,
        "use_rotary_positional_embeddings": True,
        METADATA_KEY: asdict(adapter),
        **(_consisid_entries(adapter) if adapter.is_consisid else {}),
    }
    with write_aside(folder / "diffusion_pytorch_model.safetensors") as aside:
        write_tensors(aside, _random_weights(shapes, seed), {"format": "pt"})
    write_json(folder / "config.json", config)


def _consisid_entries(adapter: AdapterConfig) -> dict:
    """The official entries of a ConsisID config.json."""
    return {
        "is_train_face": True,
        "is_kps": False,
        "local_face_scale": adapter.local_face_scale,
        "cross_attn_dim_head": adapter.attention_head_dim,
        "cross_attn_num_heads": adapter.attention_heads,
        "LFE_id_dim": adapter.vector_width,
        "LFE_vit_dim": adapter.vit_width,
        "LFE_depth": adapter.extractor_depth,
        "LFE_dim_head": adapter.extractor_head_dim,
        "LFE_num_heads": adapter.extractor_heads,
        "LFE_num_id_token": adapter.vector_tokens,
        "LFE_num_querie": adapter.face_tokens,
        "LFE_output_dim": adapter.id_width,
        "LFE_ff_mult": adapter.feed_forward_ratio,
        "LFE_num_scale": adapter.identity_states,
    }


def transformer_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """diffusers' name -> shape of every tensor of a transformer of these sizes."""
    from ..host.diffusers.model import build_transformer

    with torch.device("meta"):
        state = build_transformer(config).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


def _random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Zero-mean matrices scaled by their fan-in; norms that change nothing; no biases."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            state[name] = torch.full(shape, float(name.endswith(".weight")))
        else:
            state[name] = torch.randn(shape, generator=generator) * weight_scale(name, shape)
    return state


def weight_scale(name: str, shape: tuple[int, ...]) -> float:
    """Standard deviation of the random matrix `name`."""
    if name == POSITION_TABLE or name.endswith(("pos_emb", "vtx_query")):
        return _TABLE_SCALE
    if name.endswith(".latents"):
        return _TABLE_SCALE
    fan_in = shape[0] if name.endswith("proj_out") else torch.Size(shape[1:]).numel()
    gated = "transformer_blocks." in name and (".norm1.linear." in name or ".norm2.linear." in name)
    return fan_in**-0.5 * (_GATE_SCALE if gated else 1)


def _write_others(folder: Path, transformer: TransformerConfig, adapter: AdapterConfig, seed: int) -> None:
    from ..host.diffusers.others import write_untrained_vae

    height, width = transformer.picture_size
    write_untrained_vae(folder / "vae", height, width, seed)
    _write_text_encoder(folder, transformer.text_embed_dim, seed)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    image_size = _PATCH * square_side(adapter.vit_tokens - 1, "vit_tokens - 1")
    read = {"depth": 1}
    if adapter.is_consisid:  # a block for every state, and one more before the vector
        states = tuple(range(adapter.identity_states))
        read = {"depth": len(states) + 1, "states": states, "vector": adapter.vector_width - ARCFACE_WIDTH}
    encoder = random_face_encoder(seed, adapter.vit_width, image_size, **read)
    save_face_encoder(encoder, folder / "face_encoder" / "eva.safetensors")


def _write_text_encoder(folder: Path, width: int, seed: int) -> None:
    from transformers import T5Config, T5EncoderModel

    from ..host.diffusers.others import write_tokenizer

    config = T5Config(
        vocab_size=write_tokenizer(folder / "tokenizer"),
        d_model=width,
        d_kv=16,
        d_ff=2 * width,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = T5EncoderModel(config)
    encoder.save_pretrained(folder / "text_encoder")


def write_json(path: Path, content: dict) -> None:
    """Writes `content` as indented JSON, aside and renamed."""
    with write_aside(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

"""The video transformer's half of a checkpoint: which tensors belong to it, and its sizes.

FantasyID is built on CogVideoX-5B-I2V 1.0, whose checkpoints have a learned position table *and*
rotary positions. The table fixes the size: frames, height, width and text tokens have one value each.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..config import TransformerConfig, config_from_mapping
from ..files.checkpoint import Checkpoint
from ..files.keymaps import adapter_name, diffusers_name, host_name, is_dead
from .adapter import TOPOLOGY_PREFIX, describe_family, own_metadata

POSITION_TABLE = "patch_embed.pos_embedding"  # the same name in both conventions


def transformer_keys(checkpoint: Checkpoint) -> dict[str, str]:
    """Name in the file -> diffusers' name, for every tensor of the transformer; both conventions are read.

    Raises ValueError when `checkpoint` is another kind of model or holds tensors of neither half.
    """
    is_host_named = "blocks.0.norm1.linear.weight" in checkpoint
    keys, unexpected = {}, []
    for key in checkpoint:
        name = diffusers_name(key) if is_host_named else key if host_name(key) else None
        if name is not None:
            keys[key] = name
        elif not (adapter_name(key) or is_dead(key) or key.startswith(TOPOLOGY_PREFIX)):
            unexpected.append(key)
    if "transformer_blocks.0.norm1.linear.weight" not in keys.values():
        raise ValueError(
            f"{checkpoint.name} holds no CogVideoX transformer: {describe_family(checkpoint)}. Choose the FantasyID "
            "release folder (with transformer/ inside) or the transformer file that `convert` wrote."
        )
    if unexpected:
        raise ValueError(
            f"{checkpoint.name} holds {len(unexpected)} unexpected tensors: {', '.join(unexpected[:5])}. "
            "Expected a CogVideoX-5B-I2V 1.0 transformer with FantasyID, and nothing else."
        )
    return keys


def transformer_config(checkpoint: Checkpoint, overrides: Mapping | None = None) -> TransformerConfig:
    """Sizes of the transformer: from shapes, then config.json, then the file's metadata, then `overrides`.

    Raises ValueError when they contradict each other or the weights are of another CogVideoX.
    """
    keys = transformer_keys(checkpoint)
    shapes = {name: checkpoint.tensors[key].shape for key, name in keys.items()}
    _check_generation(checkpoint, shapes)
    try:
        inferred = _sizes_from_shapes(shapes)
    except KeyError as error:
        raise ValueError(f"{checkpoint.name} is incomplete: {error} is missing. Download the model again.") from error
    stated = {**checkpoint.config, **own_metadata(checkpoint).get("transformer", {}), **(overrides or {})}
    config = config_from_mapping(TransformerConfig, stated, config_from_mapping(TransformerConfig, inferred))
    wrong = [
        f"{key} is {value} in the weights, {getattr(config, key)} in the config"
        for key, value in inferred.items()
        if getattr(config, key) != value
    ]
    if wrong:
        raise ValueError(f"{checkpoint.name}: config and weights disagree: {'; '.join(wrong[:5])}. Use matching files.")
    _check_table(checkpoint, shapes, config, stated)
    return config


def _check_generation(checkpoint: Checkpoint, shapes: Mapping[str, tuple]) -> None:
    if POSITION_TABLE not in shapes:
        raise ValueError(
            f"{checkpoint.name} has no learned position table ({POSITION_TABLE}). FantasyID needs a transformer "
            "of the CogVideoX-5B-I2V 1.0 kind; CogVideoX 2B and 1.5 do not fit."
        )
    if len(shapes.get("patch_embed.proj.weight", ())) != 4:
        raise ValueError(f"{checkpoint.name} is a CogVideoX 1.5 model; FantasyID is built on CogVideoX-5B-I2V 1.0.")


def _sizes_from_shapes(shapes: Mapping[str, tuple]) -> dict[str, int]:
    layers = 0
    while f"transformer_blocks.{layers}.norm1.linear.weight" in shapes:
        layers += 1
    width, in_channels, patch, _ = shapes["patch_embed.proj.weight"]
    head = shapes["transformer_blocks.0.attn1.norm_q.weight"][0]
    return {
        "num_layers": layers,
        "num_attention_heads": width // head,
        "attention_head_dim": head,
        "in_channels": in_channels,
        "out_channels": shapes["proj_out.weight"][0] // patch**2,
        "patch_size": patch,
        "time_embed_dim": shapes["time_embedding.linear_2.weight"][0],
        "text_embed_dim": shapes["patch_embed.text_proj.weight"][1],
    }


def _check_table(checkpoint: Checkpoint, shapes: Mapping, config: TransformerConfig, stated: Mapping) -> None:
    rows = shapes[POSITION_TABLE][1]
    if rows == config.max_text_seq_length + config.video_tokens:
        return
    known = {"sample_height", "sample_width", "sample_frames", "max_text_seq_length"} & set(stated)
    source = "its config" if known else "the 5B-I2V defaults, because there is no config.json beside the weights"
    raise ValueError(
        f"{checkpoint.name}: the position table has {rows} rows, but {config.max_text_seq_length} text tokens and "
        f"{config.video_tokens} video tokens ({config.describe_size()}) make "
        f"{config.max_text_seq_length + config.video_tokens} ({source}). Put the model's own config.json beside it."
    )

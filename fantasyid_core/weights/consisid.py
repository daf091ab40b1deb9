"""Sizes of a ConsisID adapter, taken from the shapes of its tensors, which old config.json files contradict.

The first config.json files of the model state no interval, and sizes that the code of that time ignored (2048 channels,
16 heads and 32 queries were built in). Therefore the shapes take precedence; only the head widths and local_face_scale
come from the config.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..config import CONSISID, AdapterConfig
from ..files.checkpoint import Checkpoint

BLOCKS = "transformer_blocks.{}.attn1.to_q.weight"
_CROSS, _EXTRACTOR = "perceiver_cross_attention", "local_facial_extractor"
_FULL_WIDTH, _FULL_TOKENS = 1024, 577  # of EVA02-CLIP-L-14-336


def consisid_config(checkpoint: Checkpoint, live: Iterable[str], blocks: int) -> AdapterConfig:
    """The sizes of the adapter whose tensors are `live`, in a checkpoint of so many blocks (0: not known).

    Raises ValueError for an incomplete checkpoint, and for what the preview is not: see `check_config`.
    """
    check_config(checkpoint)
    shapes = {key: checkpoint.tensors[key].shape for key in live}
    blocks = blocks or checkpoint.config.get("num_layers") or 0
    try:
        sizes = _sizes_from_shapes(shapes, checkpoint.config)
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"{checkpoint.name} is incomplete: the tensor {error} that gives a size of the ConsisID adapter is "
            "missing or has too few dimensions. Download the model again."
        ) from error
    interval = blocks // sizes["injected_layers"] if blocks else None
    scale = checkpoint.config.get("local_face_scale", 1.0)
    if not isinstance(scale, (int, float)) or isinstance(scale, bool):
        raise ValueError(f"{checkpoint.name}: expected a number as local_face_scale in config.json, got {scale!r}.")
    own = checkpoint.config.get("fantasyid", {})
    tokens = own.get("vit_tokens", _FULL_TOKENS if sizes["vit_width"] == _FULL_WIDTH else 0)  # 0: any number
    return AdapterConfig.consisid(**sizes, vit_tokens=tokens, interval=interval, local_face_scale=float(scale))


def check_config(checkpoint: Checkpoint) -> None:
    """Raises ValueError for a model with points in the picture, one without faces, and one of CogVideoX 1.5."""
    config = checkpoint.config
    if config.get("is_kps"):
        raise ValueError(
            f"{checkpoint.name}: its config.json sets is_kps, so the model expects a picture of the face's five points "
            "as well, which ConsisID-preview does not and which is not made here. Choose ConsisID-preview."
        )
    if config.get("is_train_face") is False:
        raise ValueError(
            f"{checkpoint.name}: its config.json says is_train_face false, a model that shows no person. Choose "
            "ConsisID-preview, or the config.json that belongs to these weights."
        )
    embed = checkpoint.tensors.get("patch_embed.proj.weight")
    if config.get("patch_size_t") or (embed is not None and len(embed.shape) != 4):
        raise ValueError(
            f"{checkpoint.name} is a ConsisID on CogVideoX 1.5; here is the preview's base, CogVideoX-5B-I2V 1.0. "
            "Choose ConsisID-preview."
        )


def injected_layers(checkpoint: Checkpoint, live: Mapping[str, str], blocks: int) -> int:
    """How many cross attentions there are; ValueError when some are missing for a model of so many blocks (0: any)."""
    present = {int(own.split(".")[1]) for own in live.values() if own.startswith("layers.")}
    missing = sorted(set(range(max(present) + 1)) - present)
    interval = blocks // len(present) if blocks else 0
    if blocks and not missing:  # official code makes blocks // interval of them
        missing = list(range(len(present), blocks // max(1, interval)))
    if missing:
        names, whole = ", ".join(f"{_CROSS}.{layer}" for layer in missing[:5]), len(present) + len(missing)
        raise ValueError(
            f"{checkpoint.name}: {len(missing)} of {whole} cross attentions are missing: {names}. Download the model "
            "again."
        )
    return len(present)


def count(shapes: Mapping, template: str, start: int = 0) -> int:
    """How many names of `template` there are in a row, counted from `start`."""
    number = start
    while template.format(number) in shapes:
        number += 1
    return number - start


def _sizes_from_shapes(shapes: Mapping[str, tuple[int, ...]], config: Mapping) -> dict:
    query, key_value = (shapes[f"{_CROSS}.0.{part}.weight"] for part in ("to_q", "to_kv"))
    width, id_width = shapes[f"{_EXTRACTOR}.proj_out"]
    extractor = f"{_EXTRACTOR}.layers.0"
    inner = shapes[f"{extractor}.0.to_q.weight"][0]
    last = shapes[f"{_EXTRACTOR}.id_embedding_mapping.6.weight"]
    defaults = AdapterConfig()
    head = _head_width(query[0], config.get("cross_attn_dim_head"), defaults.attention_head_dim)
    own_head = _head_width(inner, config.get("LFE_dim_head"), defaults.extractor_head_dim)
    return {
        "variant": CONSISID,
        "injected_layers": count(shapes, f"{_CROSS}.{{}}.to_q.weight"),
        "dit_width": query[1],
        "attention_heads": query[0] // head,
        "attention_head_dim": head,
        "id_width": key_value[1],
        "vit_width": width,
        "face_tokens": shapes[f"{_EXTRACTOR}.latents"][1],
        "feed_forward_ratio": shapes[f"{extractor}.1.1.weight"][0] // width,
        "identity_states": count(shapes, f"{_EXTRACTOR}.mapping_{{}}.0.weight"),
        "vector_width": shapes[f"{_EXTRACTOR}.id_embedding_mapping.0.weight"][1],
        "vector_tokens": last[0] // width,
        "extractor_depth": count(shapes, f"{_EXTRACTOR}.layers.{{}}.0.to_q.weight"),
        "extractor_heads": inner // own_head,
        "extractor_head_dim": own_head,
    }


def _head_width(inner: int, stated, default: int) -> int:
    """The head width that the config states, if it divides the inner width; else the released model's."""
    for width in (stated, default):
        if isinstance(width, int) and not isinstance(width, bool) and width > 0 and inner % width == 0:
            return width
    return inner

"""Corrections of the host's CogVideoX for 1.0 checkpoints, and the one size that such a checkpoint has.

The host switches rotary positions off when a learned position table exists, scales their grid by 1.875, and does not
add the table's text rows. `load_model` builds corrected models; models of the host's own loader are corrected by
patches on a clone.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ...config import TransformerConfig

_KEY = "fantasyid_corrections"
_MODEL = "diffusion_model."


def add_text_rows(patch_embed, inputs, embedded: Tensor) -> Tensor:
    """Forward hook of `patch_embed`: adds the learned table's text rows, which the host leaves out."""
    count = inputs[0].shape[1]
    rows = patch_embed.pos_embedding[:, : patch_embed.max_text_seq_length][:, :count]
    embedded[:, :count] += rows.to(embedded)
    return embedded


def has_text_rows(diffusion_model) -> bool:
    """Whether the text rows are added by a lasting hook, as in models of `load_model`."""
    return add_text_rows in diffusion_model.patch_embed._forward_hooks.values()


def correct(patcher) -> None:
    """Corrects `patcher` (a clone) in place with reversible patches; ValueError for other model families."""
    from comfy.patcher_extension import WrappersMP

    model = patcher.model.diffusion_model
    check_family(model)
    for name, value in (("use_rotary_positional_embeddings", True), ("spatial_interpolation_scale", 1.0)):
        if patcher.get_model_object(_MODEL + name) != value:
            patcher.add_object_patch(_MODEL + name, value)
    if not has_text_rows(model) and not patcher.get_wrappers(WrappersMP.APPLY_MODEL, _KEY):
        patcher.add_wrapper_with_key(WrappersMP.APPLY_MODEL, _KEY, _with_text_rows)


def _with_text_rows(executor, *args, **kwargs):
    handle = executor.class_obj.diffusion_model.patch_embed.register_forward_hook(add_text_rows)
    try:
        return executor(*args, **kwargs)
    finally:
        handle.remove()


def check_family(diffusion_model) -> None:
    """Raises ValueError unless this is CogVideoX of the 1.0 image-to-video kind."""
    embed = getattr(diffusion_model, "patch_embed", None)
    if not hasattr(diffusion_model, "use_rotary_positional_embeddings") or not hasattr(embed, "pos_embedding"):
        raise ValueError(
            f"Expected a CogVideoX-5B-I2V 1.0 model with its learned position table, got "
            f"{type(diffusion_model).__name__}. Load the model with FantasyID Load Model, or the file that "
            "`convert` wrote with the host's Load Diffusion Model."
        )


def native_sizes(patcher) -> TransformerConfig:
    """The sizes of the loaded model; ValueError for another family."""
    model = patcher.model.diffusion_model
    check_family(model)
    embed = model.patch_embed
    return TransformerConfig(
        num_layers=len(model.blocks),
        num_attention_heads=model.num_attention_heads,
        attention_head_dim=model.attention_head_dim,
        in_channels=model.in_channels,
        out_channels=model.out_channels,
        patch_size=model.patch_size,
        text_embed_dim=embed.text_proj.in_features,
        **{name: getattr(embed, name) for name in _EMBED_SIZES},
    )


_EMBED_SIZES = (
    "sample_width",
    "sample_height",
    "sample_frames",
    "temporal_compression_ratio",
    "max_text_seq_length",
)


def check_latent(sizes: TransformerConfig, shape, frames: int | None = None) -> None:
    """Raises ValueError unless `shape` is [B, C, T, H, W] of the model's own size; frames: T of a longer video."""
    channels, own, *rest = sizes.latent_shape
    expected = channels, frames or own, *rest
    if tuple(shape[1:]) != expected:
        raise ValueError(
            f"Expected latents [B, {', '.join(map(str, expected))}] ({sizes.describe_size()}), got {list(shape)}. "
            "CogVideoX 1.0 knows this one size; use FantasyID Video Conditioning for the latent, and frames of "
            "FantasyID Sampler for a longer video."
        )


def check_window(sizes: TransformerConfig, shape, window, masks: Iterable[Tensor]) -> None:
    """Raises ValueError unless the host's context window (or none) over the frames of [B, C, T, H, W] suits the model.

    masks: weights of the video tokens [1, N, 1]; they follow the window's frames, so those of a longer video have
    to be the same in all frames.
    """
    if getattr(window, "dim", None) != 2:  # none, or over the batch
        return
    if shape[2] != sizes.latent_frames:
        raise ValueError(
            f"Expected context windows of {sizes.latent_frames} latent frames, the one length the model knows, got "
            f"{shape[2]}. Set context_length to {sizes.latent_frames} and switch causal_window_fix off."
        )
    if window.total_frames != sizes.latent_frames:
        check_still(sizes, masks)


def check_still(sizes: TransformerConfig, masks: Iterable[Tensor]) -> None:
    """Raises ValueError when a mask (weights of the video tokens [1, N, 1]) changes over the frames of a window."""
    for mask in masks:
        frames = mask.reshape(sizes.latent_frames, -1)
        if not (frames == frames[0]).all():
            raise ValueError(
                f"Expected a mask of one picture for a video longer than the model's own, got one that changes within "
                f"the {sizes.latent_frames} latent frames of a window. Give one picture, or make the video of the "
                "model's own length."
            )


def check_text(sizes: TransformerConfig, tokens: int) -> None:
    """Raises ValueError unless the prompt has the model's own number of tokens."""
    if tokens != sizes.max_text_seq_length:
        raise ValueError(
            f"Expected prompts of {sizes.max_text_seq_length} tokens, got {tokens}. "
            "Use FantasyID Encode Prompt, which pads and cuts as the model was trained."
        )

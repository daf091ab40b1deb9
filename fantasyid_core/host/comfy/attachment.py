"""Attaching identities to the host's MODEL without touching the model it has loaded.

One APPLY_MODEL wrapper on a clone hooks the injected blocks for the duration of each call; the
injection layers travel as an additional model, which the host loads, offloads and clones per device.
K and V are projected once per run and device and dropped when the run ends, however it ends.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import TransformerConfig
from ...identity.injection import (
    LayerInjection,
    check_dit_width,
    check_layer_weights,
    check_strength,
    layers_by_block,
)
from ...identity.model import IdentityAdapter, IdentityEncoder
from .corrections import check_latent, check_text, correct, native_sizes

KEY = "fantasyid"


@dataclass(frozen=True, eq=False)
class Entry:
    """One attached identity."""

    layers_id: object  # clone_base_uuid of the ModelPatcher that holds the injection layers
    fallback: object  # that ModelPatcher, for calls outside the host's sampling
    blocks: dict[int, int]  # block -> injected layer
    tokens: Tensor  # [B, Nid, Cid]
    weights: tuple[float, ...]  # strength times weight, per injected layer
    start_sigma: float
    end_sigma: float
    mask: Tensor | None  # [1, N, 1]

    def is_active(self, sigma: float) -> bool:
        return any(self.weights) and self.end_sigma <= sigma <= self.start_sigma


def attach(
    model,
    adapter: IdentityAdapter,
    tokens: Tensor,
    strength: float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    layer_weights: Sequence[float] | None = None,
    mask: Tensor | None = None,
):
    """A clone of `model` that shows the identity `tokens` [B, Nid, Cid]; attaching again adds another one.

    strength: 1 as trained, 0 exactly the plain model; start_percent, end_percent: part of the sampling in
    0..1; layer_weights: one factor per injected layer; mask: [H, W] or [frames, H, W] in 0..1, where the
    identity acts. Raises ValueError for values out of range or an adapter that belongs to another model.
    """
    from comfy.patcher_extension import CallbacksMP, WrappersMP

    patched = model.clone()
    correct(patched)
    sizes = native_sizes(patched)
    layers = _own_layers(patched, adapter)
    entry = _make_entry(patched, sizes, adapter, layers, tokens, strength, layer_weights, mask)
    entry = _with_range(entry, patched, start_percent, end_percent)
    entries = (*(patched.get_attachment(KEY) or ()), entry)
    injection = IdentityInjection(entries, sizes)
    patched.set_attachments(KEY, entries)
    patched.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, KEY)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, injection)
    patched.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, KEY)
    patched.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, injection.forget)
    return patched


class IdentityInjection:
    """The APPLY_MODEL wrapper: hooks the blocks for one call, one hook per block for all identities."""

    def __init__(self, entries: tuple[Entry, ...], sizes: TransformerConfig):
        self.entries = entries
        self.sizes = sizes
        self._kv: dict[tuple, tuple[Tensor, Tensor]] = {}

    def __call__(self, executor, x, t, c_concat=None, c_crossattn=None, *args, **kwargs):
        check_latent(self.sizes, x.shape)
        if c_crossattn is not None:
            check_text(self.sizes, c_crossattn.shape[1])
        base = executor.class_obj
        hooks = []
        try:
            for block, parts in self._parts_by_block(base, float(t.max())).items():
                hooks.append(base.diffusion_model.blocks[block].register_forward_hook(self._hook(parts)))
            return executor(x, t, c_concat, c_crossattn, *args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()

    def forget(self, *_) -> None:
        """Drops K and V; called by the host when a run ends, is interrupted or fails."""
        self._kv.clear()

    def _parts_by_block(self, base, sigma: float) -> dict[int, list]:
        parts = defaultdict(list)
        for index, entry in enumerate(self.entries):
            if entry.is_active(sigma):
                layers = _find_layers(base, entry)
                for block, layer in entry.blocks.items():
                    if entry.weights[layer] != 0:
                        parts[block].append((index, layer, layers[layer]))
        return parts

    def _hook(self, parts: list):
        def add_identities(_module, _inputs, output):
            hidden, text = output
            for index, layer, module in parts:
                hidden = hidden + self._delta(index, layer, module, output[0])
            return hidden, text

        return add_identities

    def _delta(self, index: int, layer: int, module: LayerInjection, hidden: Tensor) -> Tensor:
        entry = self.entries[index]
        delta = module.attend(self._project(index, layer, module, hidden), hidden)
        if entry.weights[layer] != 1:
            delta = delta * entry.weights[layer]
        return delta if entry.mask is None else delta * entry.mask.to(delta)

    def _project(
        self, index: int, layer: int, module: LayerInjection, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        key = (index, layer, hidden.device, hidden.dtype)
        if key not in self._kv:
            k, v = module.project(self.entries[index].tokens.to(hidden.device, torch.float32))
            self._kv[key] = k.to(hidden.dtype), v.to(hidden.dtype)
        return self._kv[key]


def layers_patcher(adapter: IdentityAdapter):
    """The ModelPatcher of the adapter's injection layers; made once per adapter."""
    return _cached_patcher(adapter, "layers", _layers_patcher)


def encoder_patcher(adapter: IdentityAdapter):
    """The ModelPatcher of the adapter's identity branch, for encoding outside sampling; made once per adapter."""
    return _cached_patcher(adapter, "encoder", _encoder_patcher)


def _cached_patcher(adapter: IdentityAdapter, part: str, build):
    patchers = adapter.__dict__.setdefault("_comfy_patchers", {})
    if part not in patchers:
        patchers[part] = build(adapter)
        patchers[part].cached_patcher_init = (_rebuilt, (adapter, build))
    return patchers[part]


def _rebuilt(adapter: IdentityAdapter, build, disable_dynamic: bool = False):
    """A patcher with weights of its own, as the host asks for when it clones a model to another device."""
    patcher = build(adapter, copy=True, disable_dynamic=disable_dynamic)
    patcher.cached_patcher_init = (_rebuilt, (adapter, build))
    return patcher


def _layers_patcher(adapter: IdentityAdapter, copy: bool = False, disable_dynamic: bool = False):
    def make(operations):
        config = adapter.config
        return nn.ModuleList(LayerInjection(config, operations) for _ in range(config.injected_layers))

    return _patcher(make, adapter.layers, copy, disable_dynamic)


def _encoder_patcher(adapter: IdentityAdapter, copy: bool = False, disable_dynamic: bool = False):
    def make(operations):
        return IdentityEncoder(adapter.config, adapter.topology, operations)

    return _patcher(make, adapter.encoder, copy, disable_dynamic)


def _patcher(make, module: nn.Module, copy: bool, disable_dynamic: bool):
    """A patcher over `module` rebuilt from the host's layers, which the host can offload piece by piece."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.ops

    with torch.device("meta"):
        twin = make(comfy.ops.manual_cast)
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(
        twin,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    state = module.state_dict()
    if copy:
        state = {key: value.detach().to("cpu", copy=True) for key, value in state.items()}
    twin.load_state_dict(state, strict=True, assign=True)
    twin.requires_grad_(False).eval()
    return patcher


def _own_layers(patched, adapter: IdentityAdapter):
    """The adapter's layers among the clone's additional models, added when they are not there yet."""
    wanted = layers_patcher(adapter)
    present = patched.get_additional_models_with_key(KEY)
    for patcher in present:
        if patcher.clone_base_uuid == wanted.clone_base_uuid:
            return patcher
    patched.set_additional_models(KEY, [*present, wanted])
    return wanted


def _find_layers(base, entry: Entry) -> nn.ModuleList:
    """The injection layers on the device of the model that is running (each device has its own clone)."""
    if base.current_patcher is not None:
        for patcher in base.current_patcher.get_additional_models_with_key(KEY):
            if patcher.clone_base_uuid == entry.layers_id:
                return patcher.model
    return entry.fallback.model


def _make_entry(patched, sizes, adapter, layers, tokens, strength, layer_weights, mask) -> Entry:
    adapter.check_tokens(tokens)
    if not torch.isfinite(tokens).all():
        raise ValueError(
            "Expected finite identity tokens, got NaN or infinite values. Encode the identity again."
        )
    check_strength(strength)
    check_dit_width(adapter.config.dit_width, sizes.width)
    weights = check_layer_weights(layer_weights, adapter.config.injected_layers)
    return Entry(
        layers_id=layers.clone_base_uuid,
        fallback=layers,
        blocks=layers_by_block(adapter.config.injected_layers, adapter.config.interval, sizes.num_layers),
        tokens=tokens.detach(),
        weights=tuple(strength * weight for weight in weights),
        start_sigma=math.inf,
        end_sigma=-math.inf,
        mask=None if mask is None else token_mask(mask, sizes),
    )


def _with_range(entry: Entry, patched, start: float, end: float) -> Entry:
    """`entry` limited to start..end of the sampling, both in 0..1."""
    from dataclasses import replace

    if not 0 <= start <= 1 or not 0 <= end <= 1:
        raise ValueError(f"Expected start and end between 0 and 1, got {start} and {end}.")
    to_sigma = patched.get_model_object("model_sampling").percent_to_sigma
    # The host's own convention for the ends: 0 is before the first step, 1 after the last.
    return replace(entry, start_sigma=to_sigma(start), end_sigma=to_sigma(end))


def token_mask(mask: Tensor, sizes: TransformerConfig) -> Tensor:
    """[H, W] or [frames, H, W] in 0..1 -> the weight of each video token, [1, N, 1]."""
    mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    if mask.ndim != 3 or not torch.isfinite(mask).all():
        raise ValueError(
            f"Expected a mask [H, W] or [frames, H, W] of finite numbers, got {list(mask.shape)}."
        )
    grid = (
        sizes.latent_frames,
        sizes.sample_height // sizes.patch_size,
        sizes.sample_width // sizes.patch_size,
    )
    weights = (
        F.adaptive_avg_pool3d(mask[None, None].float(), grid)
        if _is_finer(mask, grid)
        else F.interpolate(mask[None, None].float(), grid, mode="trilinear")
    )
    return weights.reshape(1, -1, 1)


def _is_finer(mask: Tensor, grid: tuple[int, int, int]) -> bool:
    return all(size >= wanted for size, wanted in zip(mask.shape, grid, strict=True))

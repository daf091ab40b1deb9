"""Attaching identities to the host's MODEL without touching the model it has loaded.

A clone of the MODEL gets up to three wrappers. The first one is around each sampling run: it folds the identities into
the injection layers when the run starts, and frees them when the run ends, also after an error. The second one is
around each call of the model: it hooks the injected blocks for that call, with one hook per block for all identities.
The third one, for identity guidance, is around the batch of predictions.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...config import TransformerConfig
from ...identity.adapter import IdentityAdapter
from ...identity.fixed import add_people
from ...identity.projections import Share
from ...identity.steering.control import Control
from ...identity.steering.regions import token_mask
from ...options import SIDE_BY_SIDE
from ...weights.transformerprint import check_transformer
from .condition import picture_note
from .corrections import check_latent, check_text, check_window, correct, native_sizes
from .entries import Entry, make_entry, place_side_by_side
from .guidance import check_guider, guided, plain_parts, predict_with_plain_branch
from .layers import (
    KEY,
    RunLayers,
    encoder_patcher,
    free_memory,
    layers_of,
    memory_needed,
    prepare_layers,
    release_layers,
)
from .listening import blocks_listening
from .model import model_fingerprint
from .notes import say_on_running_node
from .sampler import is_exact, start_note

__all__ = [
    "SIDE_BY_SIDE",
    "IdentityInjection",
    "attach",
    "attach_controlled",
    "describe_cost",
    "encoder_patcher",
    "token_mask",
]

_GUIDER = "fantasyid_guider"
_LAST_TIMESTEP = 999  # of the host's schedule, at progress 0


def attach(
    model,
    adapter: IdentityAdapter,
    tokens: Tensor,
    strength: float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    layer_weights: Sequence[float] | None = None,
    mask: Tensor | str | None = None,
    **settings,
):
    """A clone of `model` that shows the identity `tokens` [B, Nid, Cid]; attaching again adds another person.

    The settings are those of `identity.steering.control.Control`; layer_weights: its `layers`; mask: its mask, or the
    word for its region. Raises ValueError for values out of range or an adapter that belongs to another model.
    """
    if isinstance(mask, str):
        settings["region"], mask = mask, None
    timing = (start_percent, end_percent)
    return attach_controlled(
        model, adapter, tokens, Control(strength, *timing, layers=layer_weights, mask=mask, **settings)
    )


def attach_controlled(model, adapter: IdentityAdapter, tokens: Tensor, control: Control, transformer: str = ""):
    """`attach` with the settings as one value. transformer: fingerprint of the tokens' video model, "" if not known."""
    patched = model.clone()
    correct(patched)
    sizes = native_sizes(patched)
    for made_for in filter(None, (transformer, adapter.transformer)):
        check_transformer(made_for, model_fingerprint(patched))
    entry = make_entry(sizes, adapter, tokens, control)
    entries = place_side_by_side((*(patched.get_attachment(KEY) or ()), entry), sizes)
    patched.set_attachments(KEY, entries)
    IdentityInjection(entries, sizes).install(patched)
    return patched


def describe_cost(patched) -> str:
    """One sentence: the people attached to a model, their memory while sampling, and the model calls they add."""
    entries = patched.get_attachment(KEY) or ()
    people = "No identity" if not entries else "1 identity" if len(entries) == 1 else f"{len(entries)} identities"
    text = f"{people}, {memory_needed(patched, entries) / 2**20:.0f} MiB while sampling"
    if guided(entries):
        text += "; identity guidance takes 1.5 times the model's work (twice at cfg 1)"
    return text + "."


class IdentityInjection:
    """The wrappers of all identities attached to a model. The state of a run is kept with the run's ModelPatcher."""

    def __init__(self, entries: tuple[Entry, ...], sizes: TransformerConfig):
        self.entries = entries
        self.sizes = sizes
        self.guided = guided(entries)

    def install(self, patched) -> None:
        """Puts the wrappers on `patched` in place of those of earlier identities."""
        from comfy.patcher_extension import CallbacksMP, WrappersMP

        wrappers = {WrappersMP.OUTER_SAMPLE: self.around_run, WrappersMP.APPLY_MODEL: self}
        if self.guided:
            wrappers[WrappersMP.CALC_COND_BATCH] = self.around_batch
        for kind in (WrappersMP.OUTER_SAMPLE, WrappersMP.APPLY_MODEL, WrappersMP.CALC_COND_BATCH):
            patched.remove_wrappers_with_key(kind, KEY)
            if kind in wrappers:
                patched.add_wrapper_with_key(kind, KEY, wrappers[kind])
        patched.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, KEY)
        patched.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, release_layers)

    def around_run(self, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
        """OUTER_SAMPLE: the folded layers live as long as the run."""
        guider = executor.class_obj
        patcher = guider.model_patcher
        if self.guided:
            check_guider(guider)
        sampling = patcher.get_model_object("model_sampling")
        notes = (start_note(sampler, sampling), picture_note(patcher, guider.conds))
        if any(notes) and not is_exact(sampler):
            say_on_running_node(" ".join(filter(None, notes)))
        steps = [progress_of(sampling, sigma) for sigma in sigmas[:-1]]
        shown = [i for i, entry in enumerate(self.entries) if any(entry.weight_at(step) for step in steps)]
        try:
            if shown:
                prepare_layers(patcher, self.entries, shown)
            patcher.set_attachments(_GUIDER, weakref.ref(guider))
            with blocks_listening(patcher.model.diffusion_model):
                return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
        finally:
            patcher.remove_attachments(_GUIDER)
            release_layers(patcher)

    def around_batch(self, executor, model, conds, x, timestep, model_options):
        """CALC_COND_BATCH: one more branch while a guided identity shows."""
        progress = progress_of(model.model_sampling, timestep)
        if not any(self.entries[index].weight_at(progress) for index in self.guided):
            return executor(model, conds, x, timestep, model_options)
        guider = model.current_patcher.get_attachment(_GUIDER)()
        guidance = self.entries[self.guided[0]].guidance
        return predict_with_plain_branch(executor, guider, guidance, model, conds, x, timestep, model_options)

    def __call__(
        self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
    ):
        """APPLY_MODEL: hooks on the injected blocks for one call."""
        base, options, hooks = executor.class_obj, transformer_options or {}, []
        masks = (entry.region.weights for entry in self.entries if entry.region is not None)
        check_window(self.sizes, x.shape, options.get("context_window"), masks)
        check_latent(self.sizes, x.shape)
        if c_crossattn is not None:
            check_text(self.sizes, c_crossattn.shape[1])
        try:
            for block, hook in self._hooks(base, x, t, options).items():
                hooks.append(base.diffusion_model.blocks[block].register_forward_hook(hook))
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()

    def _hooks(self, base, x: Tensor, t: Tensor, options: dict) -> dict[int, Callable]:
        """Block -> forward hook, for the identities that show at this moment."""
        progress = progress_of(base.model_sampling, t)
        weights = {i: weight for i, entry in enumerate(self.entries) if (weight := entry.weight_at(progress))}
        without = {i: weight for i, weight in weights.items() if i not in self.guided}
        parts: dict[int, list[_Part]] = {}
        for layers in self._layers(base.current_patcher, weights) if weights else ():
            for block, layer in layers.blocks.items():
                if layer not in layers.people:
                    continue
                shares, plain = (self._shares(layers, layer, each, base, x) for each in (weights, without))
                if any(shares):
                    form = layers.forms[str(layer)]
                    parts.setdefault(block, []).append((form, shares, plain, self._budget(form, base, x)))
        plain = plain_parts(options)
        return {block: _hook(each, plain) for block, each in parts.items()}

    def _layers(self, patcher, shown) -> list[RunLayers]:
        """The folded layers of the run; folds them here when one of the identities `shown` was not folded at its
        start."""
        if patcher is None:
            raise RuntimeError("A model with an identity runs in the host's samplers only, which prepare it.")
        held = {index for layers in layers_of(patcher) for people in layers.people.values() for index in people}
        if not held.issuperset(shown):
            prepare_layers(patcher, self.entries, [i for i, entry in enumerate(self.entries) if entry.can_show])
        return layers_of(patcher)

    def _shares(self, layers: RunLayers, layer: int, weights: dict[int, float], base, x: Tensor) -> list[Share | None]:
        shares = []
        for index in layers.people[layer]:
            region = layers.region(index, self.entries[index], x.device, base.get_dtype_inference())
            weight = weights.get(index, 0) * self.entries[index].weights[layer]
            shares.append(Share(weight, region) if weight else None)
        return shares

    def _budget(self, form, base, x: Tensor) -> int | None:
        """Bytes for a layer's activations; None when they fit easily."""
        given = [entry.budget for entry in self.entries if entry.budget is not None]
        if given:
            return min(given)
        numbers = x.shape[0] * self.sizes.video_tokens * (form.floats_per_token + self.sizes.width)
        half = free_memory(x.device) // 2
        return None if numbers * base.get_dtype_inference().itemsize <= half else half


_Part = tuple[torch.nn.Module, list[Share | None], list[Share | None], "int | None"]


def _hook(parts: list[_Part], plain: list[bool] | None) -> Callable:
    """Adds the people's injections to a block's hidden states; `plain`: parts of the batch without some people."""

    def add_identities(_module, _inputs, output):
        hidden, text = output  # [B, N, D], [B, text, D]
        if plain is None:
            return _added(hidden, [(form, shares, budget) for form, shares, _, budget in parts]), text
        split = [
            _added(piece, [(form, without if bare else shares, budget) for form, shares, without, budget in parts])
            for piece, bare in zip(hidden.chunk(len(plain)), plain, strict=True)
        ]
        return torch.cat(split), text

    return add_identities


def _added(hidden: Tensor, parts) -> Tensor:
    out = hidden
    for form, shares, budget in parts:
        out = add_people(form, hidden, shares, budget, out)
    return out


def progress_of(model_sampling, sigma: Tensor) -> float:
    """How much of the sampling is done at noise level `sigma` (the highest of several), from 0 to 1."""
    return 1 - float(model_sampling.timestep(sigma.max().reshape(1))) / _LAST_TIMESTEP

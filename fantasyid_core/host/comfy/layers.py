"""The adapter's parts under the host's memory management.

For encoding, the identity branch is a ModelPatcher. For sampling, the injection layers are folded with the attached
identities. This happens when a run starts, layer by layer on the device; the folded layers are kept in the host's
offload memory. The host loads, offloads and clones them per device as an additional model of that run, and frees them
at its end. The unfolded layers are read from where the adapter lies and are never loaded as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from ...identity.adapter import IdentityAdapter, make_encoder
from ...identity.fixed import fixed_layer
from .corrections import native_sizes
from .entries import Entry

KEY = "fantasyid"
_FOLDING = 5  # copies of a layer's weights that folding it takes at most


class RunLayers(nn.Module):
    """All injected layers of one adapter with the identities of a run; weights are loaded later.

    people: injected layer -> the attached identities (their numbers) that show there.
    """

    def __init__(self, adapter: IdentityAdapter, entries: Sequence[Entry], members: Sequence[int], operations=nn):
        super().__init__()
        self.people = {
            layer: tuple(index for index in members if entries[index].weights[layer] != 0)
            for layer in range(adapter.config.injected_layers)
        }
        self.people = {layer: people for layer, people in self.people.items() if people}
        self.blocks = entries[members[0]].blocks
        self.forms = nn.ModuleDict(
            {
                str(layer): fixed_layer(adapter.layers[layer], [entries[index].person for index in people], operations)
                for layer, people in self.people.items()
            }
        )
        self._regions = {}

    def region(self, index: int, entry: Entry, device: torch.device, dtype: torch.dtype):
        """The region of identity `index` for hidden states on `device` in `dtype`, moved once."""
        if entry.region is None:
            return None
        if (index, device, dtype) not in self._regions:
            self._regions[index, device, dtype] = entry.region.to(device, dtype)
        return self._regions[index, device, dtype]


def prepare_layers(patcher, entries: Sequence[Entry], shown: Collection[int]) -> None:
    """Folds the identities `shown` (their numbers) and adds them to the additional models of `patcher`.

    Raises RuntimeError when they need more memory than there is, ValueError for an adapter of another grid.
    """
    for index in shown:
        entries[index].adapter.check_grid(*native_sizes(patcher).frame_grid)
    groups = _groups(entries, shown)
    _check_memory(patcher, [module for module, _ in groups], len(shown))
    made = [_folded_patcher(patcher, module, entries, members) for module, members in groups]
    patcher.set_additional_models(KEY, made)


def release_layers(patcher, *_) -> None:
    """Takes off what `prepare_layers` added; the memory is freed with it."""
    patcher.remove_additional_models(KEY)


def layers_of(patcher) -> list[RunLayers]:
    """The folded layers of the run that `patcher` is in, on its device."""
    return [each.model for each in patcher.get_additional_models_with_key(KEY)]


def memory_needed(patcher, entries: Sequence[Entry]) -> int:
    """Bytes that the attached identities keep while sampling with the model of `patcher`."""
    shown = [index for index, entry in enumerate(entries) if entry.can_show]
    return _bytes(patcher, [module for module, _ in _groups(entries, shown)])


def free_memory(device: torch.device) -> int:
    """Bytes that are free on `device` by the host's account."""
    import comfy.model_management

    return comfy.model_management.get_free_memory(device)


def _groups(entries: Sequence[Entry], shown: Collection[int]) -> list[tuple[RunLayers, list[int]]]:
    """The layers of each adapter, without weights, and the identities that use it."""
    adapters = {id(entries[index].adapter): entries[index].adapter for index in shown}
    groups = [[index for index in shown if entries[index].adapter is adapter] for adapter in adapters.values()]
    return [(_empty(entries, members), members) for members in groups]


def _bytes(patcher, modules: Sequence[RunLayers]) -> int:
    numbers = sum(form.weight_count for module in modules for form in module.forms.values())
    return numbers * patcher.model.get_dtype_inference().itemsize


def _empty(entries: Sequence[Entry], members: Sequence[int]) -> RunLayers:
    import comfy.ops

    with torch.device("meta"):
        module = RunLayers(entries[members[0]].adapter, entries, members, comfy.ops.manual_cast)
    return module.requires_grad_(False).eval()


def _check_memory(patcher, modules: Sequence[RunLayers], count: int) -> None:
    needed, free = _bytes(patcher, modules), free_memory(patcher.offload_device)
    people = "1 identity" if count == 1 else f"{count} identities"
    logging.info(f"FantasyID: {people} attached, {needed / 2**20:.0f} MiB while sampling")
    if needed > free:
        raise RuntimeError(
            f"Expected memory for {people} ({needed / 2**30:.1f} GiB while sampling), got {free / 2**30:.1f} GiB free "
            f"on {patcher.offload_device}. Attach fewer people, fewer references, or fewer layers (weight 0)."
        )


def _folded_patcher(patcher, module: RunLayers, entries: Sequence[Entry], members: Sequence[int]):
    import comfy.model_management
    import comfy.model_patcher

    made = comfy.model_patcher.CoreModelPatcher(module, patcher.load_device, patcher.offload_device)
    device, dtype = patcher.load_device, patcher.model.get_dtype_inference()
    layers, state = entries[members[0]].adapter.layers, {}
    if not comfy.model_management.is_device_cpu(device):
        largest = 4 * sum(value.numel() for value in layers[0].parameters())
        comfy.model_management.free_memory(_FOLDING * largest, device)
    for layer, people in module.people.items():
        comfy.model_management.throw_exception_if_processing_interrupted()
        persons = [entries[index].person.to(device) for index in people]
        weights = module.forms[str(layer)].weights(layers[layer], persons)
        state.update({f"forms.{layer}.{k}": v.to(patcher.offload_device, dtype) for k, v in weights.items()})
    module.load_state_dict(state, strict=True, assign=True)
    made.cached_patcher_init = (_copied, (module, patcher.load_device, patcher.offload_device, entries, members))
    return made


def _copied(module: RunLayers, load_device, offload_device, entries, members, disable_dynamic: bool = False):
    """A patcher with weights of its own, as the host asks for when it clones a model to another device."""
    import comfy.model_patcher

    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    twin = _empty(entries, members)
    made = kind(twin, load_device, offload_device)
    twin.load_state_dict(_on_cpu(module), strict=True, assign=True)
    made.cached_patcher_init = (_copied, (twin, load_device, offload_device, entries, members))
    return made


def encoder_patcher(adapter: IdentityAdapter):
    """The ModelPatcher of the adapter's identity branch, for encoding outside sampling; made once per adapter."""
    patchers = adapter.__dict__.setdefault("_comfy_patchers", {})
    if "encoder" not in patchers:
        patchers["encoder"] = _encoder_patcher(adapter, adapter.encoder.state_dict())
    return patchers["encoder"]


def _copied_encoder(adapter: IdentityAdapter, disable_dynamic: bool = False):
    return _encoder_patcher(adapter, _on_cpu(adapter.encoder), disable_dynamic)


def _encoder_patcher(adapter: IdentityAdapter, state: dict[str, Tensor], disable_dynamic: bool = False):
    """A patcher over the identity branch rebuilt from the host's layers, which it can offload piece by piece."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.ops

    with torch.device("meta"):
        twin = make_encoder(adapter.config, adapter.topology, comfy.ops.manual_cast)
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(
        twin,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    twin.load_state_dict(state, strict=True, assign=True)
    twin.requires_grad_(False).eval()
    patcher.cached_patcher_init = (_copied_encoder, (adapter,))
    return patcher


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}

"""Building the host's MODEL from a FantasyID checkpoint, through the host's own CogVideoX class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import torch

from ...config import TransformerConfig
from ...files.checkpoint import Checkpoint, open_checkpoint
from ...files.keymaps import diffusers_name, host_name
from ...running.progress import counted
from ...weights.adapter import check_float, check_keys, family_of
from ...weights.transformer import POSITION_TABLE, transformer_config, transformer_keys
from ...weights.transformerprint import TOLD_BY, checkpoint_fingerprint, transformer_fingerprint
from .corrections import add_text_rows


def load_model(source, config: Mapping | None = None, dtype: torch.dtype | None = None, disable_dynamic: bool = False):
    """The host's MODEL (a ModelPatcher) with the transformer of `source` and the 5B-I2V corrections.

    source: release folder, transformer folder, file (either naming) or state dict; config: official keys that
    override config.json; dtype: of the weights, None for the file's own; disable_dynamic: the host's protocol.
    Raises FileNotFoundError or ValueError saying what was expected and found.
    """
    import comfy.model_management
    import comfy.model_patcher

    check_float(dtype)
    checkpoint = open_checkpoint(source)
    keys = transformer_keys(checkpoint)
    sizes = transformer_config(checkpoint, config)
    model = _empty_model(sizes, _weight_dtype(checkpoint, keys, dtype))
    host_keys = {key: host_name(name) for key, name in keys.items()}
    shapes = {name: tuple(value.shape) for name, value in _parameters(model, sizes)}
    check_keys(checkpoint, host_keys, shapes, "CogVideoX transformer", diffusers_name)

    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    offload_device = comfy.model_management.unet_offload_device()
    patcher = patcher_class(model, load_device=comfy.model_management.get_torch_device(), offload_device=offload_device)
    _load_weights(model, checkpoint, host_keys, dtype, patcher.is_dynamic())
    model.fantasyid_transformer = checkpoint_fingerprint(checkpoint)
    model.fantasyid_variant = family_of(checkpoint)
    patcher.cached_patcher_init = (load_model, (source, config, dtype))
    return patcher


def model_fingerprint(patcher) -> str:
    """`transformer_fingerprint` of the host's MODEL, without its patches; "" when its weights do not tell."""
    model = patcher.model
    if not hasattr(model, "fantasyid_transformer"):  # loaded by the host's own nodes
        weights = dict(model.diffusion_model.named_parameters())
        # Patched weights lie in the backup while the patches are in place.
        kept = {name: patcher.backup.get(f"diffusion_model.{name}") for name in TOLD_BY}
        model.fantasyid_transformer = transformer_fingerprint(
            {name: weights.get(name) if kept[name] is None else kept[name].weight for name in TOLD_BY}
        )
    return model.fantasyid_transformer


def _empty_model(sizes: TransformerConfig, dtype: torch.dtype):
    """The host's BaseModel of these sizes, without weights, corrected for 1.0 checkpoints."""
    import comfy.model_management
    import comfy.supported_models

    settings = {
        "image_model": "cogvideox",
        **{name: getattr(sizes, name) for name in TransformerConfig.__dataclass_fields__},
        "spatial_interpolation_scale": 1.0,  # the host scales the rotary grid by it, which 1.0 was not trained with
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": False,  # set below: the constructor would compute a table to discard
    }
    config = comfy.supported_models.CogVideoX_I2V(settings)
    device = comfy.model_management.get_torch_device()
    cast = comfy.model_management.unet_manual_cast(dtype, device, config.supported_inference_dtypes)
    config.set_inference_dtype(dtype, cast)
    model = config.get_model({}, "", device=comfy.model_management.unet_offload_device())
    # The host's samplers and caches use it to cut and pad latents; the host's CogVideoX class always has 16.
    model.latent_format.latent_channels = sizes.out_channels
    embed = model.diffusion_model.patch_embed
    rows = sizes.max_text_seq_length + sizes.video_tokens
    embed.register_buffer("pos_embedding", torch.zeros(1, rows, sizes.width, device=_device_of(embed)))
    embed.use_learned_positional_embeddings = True
    embed.register_forward_hook(add_text_rows)
    return model


def _load_weights(model, checkpoint: Checkpoint, keys: Mapping, dtype: torch.dtype | None, assign: bool) -> None:
    """Gives `model` its weights: those that keep their dtype lie in the file and take no memory."""

    def read(names: Mapping[str, str]) -> dict[str, torch.Tensor]:
        return {name: _read(checkpoint, key, name, dtype) for key, name in counted(names.items())}

    if assign:  # the host's dynamic memory takes the tensors as they are, all at once
        model.load_model_weights(read(keys), "", True)
        return
    for block in counted(list(_by_block(keys))):
        # The tensors themselves, which lie in the file where they can; the keys were checked as a whole.
        model.diffusion_model.load_state_dict(read(block), strict=False, assign=True)


def _by_block(keys: Mapping[str, str]) -> Iterator[dict[str, str]]:
    groups = defaultdict(dict)
    for key, name in keys.items():
        groups[".".join(name.split(".")[:2])][key] = name
    yield from groups.values()


def _device_of(module) -> torch.device | None:
    return next((parameter.device for parameter in module.parameters()), None)


def _parameters(model, sizes: TransformerConfig):
    # Layers may be empty until the weights arrive (the host's dynamic memory), so shapes come from a meta twin.
    with torch.device("meta"):
        twin = type(model.diffusion_model)(
            **{name: getattr(sizes, name) for name in TransformerConfig.__dataclass_fields__},
            use_rotary_positional_embeddings=True,
            operations=torch.nn,
        )
    yield from twin.state_dict().items()
    yield POSITION_TABLE, model.diffusion_model.patch_embed.pos_embedding


def _weight_dtype(checkpoint: Checkpoint, keys: Mapping, dtype: torch.dtype | None) -> torch.dtype:
    """The dtype the layers are built for: the wanted one, or what most of the file's elements have."""
    if dtype is not None:
        return dtype
    sizes: Counter = Counter()
    for key in keys:
        sizes[checkpoint.tensors[key].dtype] += checkpoint.tensors[key].bytes // checkpoint.tensors[key].dtype.itemsize
    return sizes.most_common(1)[0][0]


def _read(checkpoint: Checkpoint, key: str, name: str, dtype: torch.dtype | None) -> torch.Tensor:
    # The host keeps the embedding in float32, whatever the model's dtype.
    wanted = torch.float32 if name.startswith("patch_embed.") else dtype
    tensor = checkpoint.map(key, wanted)
    return tensor if checkpoint.files else tensor.clone()  # the caller's own tensors: the host may patch in place

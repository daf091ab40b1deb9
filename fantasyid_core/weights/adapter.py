"""Loading the weights of FantasyID's or ConsisID's own part: folder, file, adapter file or state dict -> adapter.

Sizes come from the shapes of the tensors, then from config.json, then from the file's own metadata.
Dead keys are dropped by an explicit list (`keymaps.DEAD_IN_RELEASE`); anything else that is missing,
unexpected or of the wrong shape is an error naming the first five keys.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ..config import CONSISID, PAPER, RELEASE, AdapterConfig, config_from_mapping
from ..files.checkpoint import Checkpoint, open_checkpoint
from ..files.keymaps import (
    PAPER_PREFIX,
    adapter_name,
    consisid_name,
    diffusers_name,
    host_name,
    is_consisid,
    is_dead,
    paper_name,
    release_name,
)
from ..files.strict import mismatch
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..identity.adapter import IdentityAdapter
from ..running.progress import counted
from ..shape.topology.topology import Topology, load_topology
from .consisid import BLOCKS, consisid_config, count, injected_layers
from .transformerprint import checkpoint_fingerprint

METADATA_KEY = "fantasyid"  # JSON under this key of a safetensors file's metadata
TOPOLOGY_PREFIX = "topology."


def load_adapter(
    source,
    topology=None,
    dtype: torch.dtype | None = torch.float32,
    operations=nn,
    search_folders=(),
    variant: str | None = None,
    config: Mapping | None = None,
) -> IdentityAdapter:
    """Loads the adapter of a FantasyID or ConsisID model, of the variant that it is of.

    source: release folder, transformer folder, .safetensors/.bin/.pt file, adapter file, ConsisID's pickle of face
        modules, or a state dict with the official key names (it may also hold the whole DiT, which is not read).
    topology: `transform.pkl`, its safetensors cache, a folder holding one of them, or a `Topology`; None takes
        the one inside the adapter file, then looks beside `source`, in `search_folders` and at FANTASYID_TOPOLOGY.
        ConsisID needs none, and reads none.
    dtype: of the loaded weights; None keeps the file's own.
    operations: where the layers come from (`torch.nn` or a host's replacement).
    variant: "release", "paper" or "consisid" when only that one will do.
    config: official keys that override config.json.

    The adapter comes frozen and in evaluation mode; `adapter.requires_grad_().train()` makes it trainable.

    Raises FileNotFoundError or ValueError saying what was expected, what was found and what to do.
    """
    check_float(dtype)
    checkpoint = open_checkpoint(source)
    if config:
        checkpoint = replace(checkpoint, config={**checkpoint.config, **config})
    live = within_interval(live_keys(checkpoint), checkpoint)
    check_variant(checkpoint, live, variant)
    topology = None if variant_of(live) == CONSISID else _find_topology(checkpoint, topology, search_folders)
    sizes = adapter_config(checkpoint, topology, live)
    with torch.device("meta"):
        adapter = IdentityAdapter(sizes, topology, operations, transformer_of(checkpoint))
    check_keys(checkpoint, live, adapter_shapes(sizes, topology), adapter_title(sizes), published_name(sizes))
    state = {own: checkpoint.map(key, dtype) for key, own in counted(live.items())}
    adapter.load_state_dict(state, strict=True, assign=True)
    return adapter.requires_grad_(False).eval()


def variant_of(live: Iterable[str]) -> str:
    """The variant of an adapter's tensors by their names in the file."""
    for key in live:
        if key.startswith(PAPER_PREFIX):
            return PAPER
        if is_consisid(key):
            return CONSISID
    return RELEASE


def family_of(checkpoint: Checkpoint) -> str:
    """The variant of the adapter in a checkpoint, or that the metadata of a converted file tell of; "" without any."""
    live = [key for key in checkpoint if adapter_name(key)]
    stated = own_metadata(checkpoint).get("adapter", {}).get("variant", "")
    return variant_of(live) if live else stated


def published_name(config: AdapterConfig) -> Callable[[str], str | None]:
    """Name in `IdentityAdapter` -> name in a file, of the configured variant."""
    return {RELEASE: release_name, PAPER: paper_name, CONSISID: consisid_name}[config.variant]


def adapter_title(config: AdapterConfig) -> str:
    """The adapter's name in error messages."""
    return "ConsisID adapter" if config.is_consisid else "FantasyID adapter"


def transformer_of(checkpoint: Checkpoint) -> str:
    """Fingerprint of the video model that a checkpoint's adapter belongs to: of the one beside it, or as the file says.

    "" when neither is there, as in files that were written before there was a fingerprint.
    """
    return checkpoint_fingerprint(checkpoint) or str(own_metadata(checkpoint).get("transformer_fingerprint", ""))


def live_keys(checkpoint: Checkpoint) -> dict[str, str]:
    """Release name -> own name of every tensor that the adapter needs; ValueError for foreign keys."""
    live, unexpected = {}, []
    for key in checkpoint:
        own = adapter_name(key)
        if own is not None:
            live[key] = own
        elif not (is_dead(key) or _is_transformers(key) or key.startswith(TOPOLOGY_PREFIX)):
            unexpected.append(key)
    if not any(own.startswith("layers.") for own in live.values()):
        raise ValueError(
            f"{checkpoint.name} holds no FantasyID weights (expected face_abstractor.*, vertex_spiral_net.*, "
            f"vertex_reducer.* and layer_attention.*) and none of ConsisID (local_facial_extractor.* and "
            f"perceiver_cross_attention.*): {describe_family(checkpoint)}. Choose the release folder or an adapter "
            "file."
        )
    if unexpected:
        raise ValueError(
            f"{checkpoint.name} holds {len(unexpected)} unexpected tensors: {', '.join(unexpected[:5])}. "
            "It is not the official release nor an adapter made from it."
        )
    return live


def check_variant(checkpoint: Checkpoint, live: dict[str, str], wanted: str | None = None) -> None:
    """Raises ValueError unless the tensors, what the file says of itself and `wanted` (None: any) agree."""
    kinds = {variant_of([key]) for key in live}
    stated = {**_stated_sizes(checkpoint), **own_metadata(checkpoint).get("adapter", {})}.get("variant")
    if len(kinds) > 1 or (stated is not None and {stated} != kinds):
        raise ValueError(
            f"{checkpoint.name} holds weights of the {' and the '.join(sorted(kinds))} variant"
            + (f", its config says {stated}" if stated else "")
            + ". Keep the files of one adapter together, and those of others apart."
        )
    if wanted is not None and {wanted} != kinds:
        raise ValueError(
            f"{checkpoint.name} holds an adapter of the {kinds.pop()} variant, expected the {wanted} variant. Choose "
            "another checkpoint, or the config that belongs to this one."
        )


def within_interval(live: dict[str, str], checkpoint: Checkpoint) -> dict[str, str]:
    """`live` without the layers that the config's `cross_attn_interval` leaves unused, as the official code does.

    The paper variant says in its config how many layers there are, so nothing is left out or missed here.
    Raises ValueError when injected layers are missing: the transformer's blocks say how many there must be.
    """
    blocks = checkpoint.config.get("num_layers") or count(checkpoint.tensors, BLOCKS)
    if variant_of(live) == CONSISID:
        injected_layers(checkpoint, live, blocks)
        return live
    if not blocks or variant_of(live) == PAPER:
        return live
    present = {_layer(own) for own in live.values()} - {None}
    interval = checkpoint.config.get("cross_attn_interval") or max(1, blocks // len(present))
    wanted = set(range(blocks // interval))
    missing = [f"layer_attention.{layer}" for layer in sorted(wanted - present)]
    if missing:
        raise ValueError(
            f"{checkpoint.name}: {len(missing)} of {len(wanted)} injected layers are missing (one for every "
            f"{interval} of {blocks} blocks): {', '.join(missing[:5])}. Download the model again."
        )
    unused = {key for key, own in live.items() if _layer(own) in present - wanted}
    if unused:
        warnings.warn(
            f"{checkpoint.name}: with cross_attn_interval {interval} only {len(wanted)} injected layers are used; "
            f"{len(unused)} tensors such as {min(unused)} are left out.",
            stacklevel=3,
        )
    return {key: own for key, own in live.items() if key not in unused}


def _layer(own: str) -> int | None:
    """The injected layer that a tensor of the adapter belongs to."""
    return int(own.split(".")[1]) if own.startswith("layers.") else None


def _is_transformers(key: str) -> bool:
    """Whether `key` is of the video transformer, in the release's naming or the converted one."""
    return host_name(key) is not None or diffusers_name(key) is not None


def adapter_config(checkpoint: Checkpoint, topology: Topology | None, live: dict[str, str]) -> AdapterConfig:
    """Sizes of the adapter whose tensors are `live` in `checkpoint`; other keys tell the number of blocks."""
    variant = variant_of(live)
    if variant == CONSISID:
        config = consisid_config(checkpoint, live, count(checkpoint.tensors, BLOCKS))
        return config_from_mapping(AdapterConfig, own_metadata(checkpoint).get("adapter", {}), config)
    topology = cast(Topology, topology)  # None with ConsisID alone
    if variant == PAPER:
        return _paper_config(checkpoint, topology)
    shapes = {key: checkpoint.tensors[key].shape for key in checkpoint if key in live or host_name(key)}
    try:
        inferred = _sizes_from_shapes(shapes)
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"{checkpoint.name} is incomplete: the tensor {error} that gives a size of the FantasyID adapter is "
            "missing or has too few dimensions. Download the model again."
        ) from error
    config = config_from_mapping(AdapterConfig, {**inferred, "vertex_counts": topology.vertex_counts})
    if shapes["vertex_spiral_net.vtx_query"][1] != config.vertex_counts[-1]:
        raise ValueError(
            f"{checkpoint.name} was trained with {shapes['vertex_spiral_net.vtx_query'][1]} coarse vertices, the "
            f"mesh topology has {config.vertex_counts[-1]}. Use the transform.pkl that belongs to the model."
        )
    config = config_from_mapping(AdapterConfig, _stated_sizes(checkpoint), config)
    return config_from_mapping(AdapterConfig, own_metadata(checkpoint).get("adapter", {}), config)


def _paper_config(checkpoint: Checkpoint, topology: Topology) -> AdapterConfig:
    values = {**_stated_sizes(checkpoint), **own_metadata(checkpoint).get("adapter", {})}
    if values.get("variant") != PAPER:
        raise ValueError(
            f"{checkpoint.name} holds weights of the paper variant without its sizes, which their shapes do not tell. "
            "Write adapters with save_adapter, or put the config.json of the model beside the weights."
        )
    config = config_from_mapping(AdapterConfig, values)
    stored = _embedded_topology(checkpoint)
    same_mesh = config.vertex_counts == topology.vertex_counts
    if same_mesh and stored is not None:
        theirs, ours = stored.tensors(), topology.tensors()
        same_mesh = theirs.keys() == ours.keys() and all(torch.equal(theirs[key], ours[key]) for key in ours)
    if not same_mesh:
        raise ValueError(
            f"{checkpoint.name} was trained on another mesh ({' -> '.join(map(str, config.vertex_counts))} vertices) "
            f"than the mesh topology's ({' -> '.join(map(str, topology.vertex_counts))}). Use the topology that the "
            "adapter was trained with; an adapter file holds it."
        )
    return config


def save_adapter(adapter: IdentityAdapter, path: str | os.PathLike, dtype: torch.dtype | None = None) -> Path:
    """Writes an adapter file that `load_adapter` reads without anything else: weights, sizes and mesh topology.

    dtype: of the weights; None keeps theirs. The file appears at `path` only when it is complete. Raises ValueError
    for another suffix than .safetensors and a dtype that is not floating-point; OSError when it cannot be written.
    """
    path = Path(path)
    check_float(dtype)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name}: expected a name that ends in .safetensors for an adapter file.")
    published = published_name(adapter.config)
    state = {published(name): value.detach().to(dtype or value.dtype) for name, value in adapter.state_dict().items()}
    described = {"kind": "adapter", "adapter": asdict(adapter.config), "transformer_fingerprint": adapter.transformer}
    with write_aside(path) as aside:
        content = {**state, **(adapter.topology.tensors() if adapter.topology else {})}
        write_tensors(aside, content, {METADATA_KEY: json.dumps(described), "format": "pt"})
    return path


def _stated_sizes(checkpoint: Checkpoint) -> dict:
    """The adapter's sizes in config.json: the official interval, and this project's own entry."""
    interval = checkpoint.config.get("cross_attn_interval")
    return {**({"interval": interval} if interval else {}), **checkpoint.config.get(METADATA_KEY, {})}


def own_metadata(checkpoint: Checkpoint) -> dict:
    """The metadata that this project wrote into the file, {} for other files."""
    try:
        metadata = json.loads(checkpoint.metadata.get(METADATA_KEY, "{}"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{checkpoint.name}: its FantasyID metadata is not JSON ({error}). Convert it again."
        ) from error
    if not isinstance(metadata, dict):
        raise ValueError(f"{checkpoint.name}: its FantasyID metadata is no JSON object. Convert it again.")
    return metadata


def describe_family(checkpoint: Checkpoint) -> str:
    """What kind of model `checkpoint` looks like, in words for an error message."""
    names = list(checkpoint)
    for marker, family in _FAMILIES:
        if any(marker in name for name in names):
            return f"it looks like {family}"
    return f"its first tensors are {', '.join(names[:5])}"


_FAMILIES = (
    ("lora_", "a LoRA"),
    (".lora.", "a LoRA"),
    ("decoder.conv_in", "a VAE"),
    ("transformer_blocks.0.attn1", "a CogVideoX transformer without FantasyID or ConsisID"),
    (
        "blocks.0.norm1.linear",
        "a converted CogVideoX transformer, whose adapter is the file beside it (load the two separately, or "
        "put both into one folder and choose the folder)",
    ),
    ("encoder.block.0.layer", "a T5 text encoder"),
    ("visual.", "a CLIP model"),
    ("double_blocks.", "a Flux or Hunyuan model"),
    ("face_abstractor.", "a part of a FantasyID model"),
    ("local_facial_extractor.", "a part of a ConsisID model"),
    ("perceiver_cross_attention.", "a part of a ConsisID model"),
)


def check_float(dtype: torch.dtype | None) -> None:
    """Raises ValueError for a dtype that weights cannot be held in."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"Expected a floating-point dtype such as torch.bfloat16, got {dtype}.")


def adapter_shapes(config: AdapterConfig, topology: Topology | None = None) -> dict[str, tuple[int, ...]]:
    """Own name -> shape of every tensor of an adapter of this config."""
    with torch.device("meta"):
        state = IdentityAdapter(config, topology).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def check_keys(
    checkpoint: Checkpoint,
    names: dict[str, str],
    shapes: dict[str, tuple],
    what: str,
    published: Callable[[str], str | None] = lambda name: name,
) -> None:
    """Raises ValueError unless the tensors `names` (file name -> own name) are exactly those of `shapes`.

    `published(own name)` is the name under which a missing tensor is known to the user.
    """
    back = {own: key for key, own in names.items()}
    found = {own: checkpoint.tensors[key] for own, key in back.items()}
    wrong = mismatch(found, shapes, f"tensors of the {what}", lambda own: back.get(own) or published(own))
    if wrong:
        raise ValueError(f"{checkpoint.name}: {wrong}. Download or convert the model again.")


def _find_topology(checkpoint: Checkpoint, topology, search_folders) -> Topology:
    if topology is not None:
        return load_topology(topology)
    embedded = _embedded_topology(checkpoint)
    if embedded is not None:
        return embedded
    beside = [folder for path in checkpoint.files for folder in (path.parent, path.parent.parent)]
    return load_topology(None, search_folders=[*dict.fromkeys([*beside, *map(Path, search_folders)])])


def _embedded_topology(checkpoint: Checkpoint) -> Topology | None:
    embedded = [key for key in checkpoint if key.startswith(TOPOLOGY_PREFIX)]
    return Topology.from_tensors({key: checkpoint.read(key) for key in embedded}) if embedded else None


def _sizes_from_shapes(shapes: dict[str, tuple[int, ...]]) -> dict:
    query = shapes["layer_attention.0.to_q.weight"]
    width = shapes["vertex_spiral_net.vtx_query"][2]
    defaults = AdapterConfig()
    layers = count(shapes, "layer_attention.{}.to_q.weight")
    blocks = count(shapes, BLOCKS)
    reducer = [shapes[f"vertex_reducer.conv_block{n + 1}.conv_in.conv1d.weight"] for n in range(4)]
    spiral = shapes["vertex_spiral_net.vtx_upsampler.de_layers.0.conv.layer.weight"]
    return {
        "injected_layers": layers,
        "interval": max(1, blocks // layers) if blocks else None,
        "dit_width": query[1],
        "attention_heads": max(1, query[0] // defaults.attention_head_dim),
        "attention_head_dim": min(query[0], defaults.attention_head_dim),
        "id_width": shapes["face_abstractor.proj_out"][1],
        "vit_width": shapes["face_abstractor.proj_out"][0],
        "vit_tokens": shapes["face_abstractor.layers.9.0.pos_emb"][1] + 1,
        "abstractor_width": shapes["face_abstractor.layers.9.0.net.0.b1.conv1.conv.weight"][0],
        "abstractor_depth": count(shapes, "face_abstractor.layers.9.0.net.0.b{}.conv1.conv.weight", start=1),
        "vertex_width": width,
        "spiral_length": spiral[1] // width,
        "fusion_layers": count(shapes, "vertex_spiral_net.transformer.layers.{}.0.fn.to_qkv.weight"),
        "reducer_widths": tuple(shape[0] for shape in reducer),
        "reducer_kernels": tuple(shape[2] for shape in reducer),
    }

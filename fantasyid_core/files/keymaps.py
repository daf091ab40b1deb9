"""Names of tensors: the official release, this project's modules, and the ComfyUI host.

One table per pair of conventions, readable in both directions. `{i}` in a template is a number;
`{i+1}` on the release's side means that the release counts from one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

_BLOCK = "face_abstractor.layers.9.0.net"
_OWN_BLOCK = "encoder.face_abstractor.abstractor"
_FUSION = "vertex_spiral_net.transformer.layers.{i}"
_OWN_FUSION = "encoder.vertex_encoder.fusion.{i}"
_REDUCER = "vertex_reducer.conv_block{i+1}"
_OWN_REDUCER = "encoder.vertex_reducer.{i}"


def _regnet_rules(net: int, stage: str) -> list[tuple[str, str]]:
    release, own = f"{_BLOCK}.{net}.b{{i+1}}", f"{_OWN_BLOCK}.{stage}.{{i}}"
    rules = [(f"{release}.conv{n}.{a}.", f"{own}.conv{n}.{b}.") for n in (1, 2, 3) for a, b in _CONV_NORM]
    rules += [(f"{release}.downsample.{a}.", f"{own}.shortcut.{b}.") for a, b in _CONV_NORM]
    return rules + [(f"{release}.se.fc1.", f"{own}.squeeze."), (f"{release}.se.fc2.", f"{own}.excite.")]


_CONV_NORM = (("conv", "conv"), ("bn", "norm"))

RELEASE_TO_ADAPTER = [
    ("face_abstractor.mapping_4.", "encoder.face_abstractor.mapping."),
    ("face_abstractor.layers.8.0.pos_emb", "encoder.face_abstractor.previous_position"),
    ("face_abstractor.layers.9.0.pos_emb", "encoder.face_abstractor.position"),
    *_regnet_rules(0, "before_pool"),
    *_regnet_rules(2, "after_pool"),
    ("face_abstractor.layers.9.0.readout.", f"{_OWN_BLOCK}.readout."),
    ("face_abstractor.layers.9.1.", "encoder.face_abstractor.feed_forward."),
    ("face_abstractor.proj_out", "encoder.face_abstractor.projection"),
    ("vertex_spiral_net.vtx_query", "encoder.vertex_encoder.query"),
    ("vertex_spiral_net.hw_down.{i}.", "encoder.vertex_encoder.face_narrowing.{i}."),
    (f"{_FUSION}.0.norm.", f"{_OWN_FUSION}.attention_norm."),
    (f"{_FUSION}.0.fn.to_qkv.", f"{_OWN_FUSION}.to_qkv."),
    (f"{_FUSION}.0.fn.to_out.0.", f"{_OWN_FUSION}.to_out."),
    (f"{_FUSION}.1.norm.", f"{_OWN_FUSION}.mlp_norm."),
    (f"{_FUSION}.1.fn.net.0.", f"{_OWN_FUSION}.mlp_in."),
    (f"{_FUSION}.1.fn.net.3.", f"{_OWN_FUSION}.mlp_out."),
    (
        "vertex_spiral_net.vtx_upsampler.de_layers.{i}.conv.layer.",
        "encoder.vertex_encoder.upsampling.{i}.layer.",
    ),
    ("vertex_spiral_net.vtx_upsampler.de_layers.2.layer.", "encoder.vertex_encoder.finest.layer."),
    ("vertex_spiral_net.vtx_descriptor_head.0.", "encoder.vertex_encoder.head."),
    (f"{_REDUCER}.conv_in.conv1d.", f"{_OWN_REDUCER}.conv_in.conv."),
    (f"{_REDUCER}.conv_in.group_norm.", f"{_OWN_REDUCER}.conv_in.norm."),
    (f"{_REDUCER}.conv_out.conv1d.", f"{_OWN_REDUCER}.conv_out.conv."),
    (f"{_REDUCER}.conv_out.group_norm.", f"{_OWN_REDUCER}.conv_out.norm."),
    (f"{_REDUCER}.residual_conv.", f"{_OWN_REDUCER}.residual."),
    ("layer_attention.{i}.norm1.", "layers.{i}.id_norm."),
    ("layer_attention.{i}.norm2.", "layers.{i}.hidden_norm."),
    ("layer_attention.{i}.to_q.", "layers.{i}.to_q."),
    ("layer_attention.{i}.to_kv.", "layers.{i}.to_kv."),
    ("layer_attention.{i}.to_out.", "layers.{i}.to_out."),
]

_EXTRACTOR, _OWN_LAYER = "local_facial_extractor", "encoder.layers.{i}"
_CROSS = "perceiver_cross_attention.{i}"

CONSISID_TO_ADAPTER = [
    (f"{_EXTRACTOR}.latents", "encoder.latents"),
    (f"{_EXTRACTOR}.proj_out", "encoder.projection"),
    (f"{_EXTRACTOR}.id_embedding_mapping.", "encoder.vector_mapping."),
    (f"{_EXTRACTOR}.mapping_{{i}}.", "encoder.mappings.{i}."),
    (f"{_EXTRACTOR}.layers.{{i}}.0.norm1.", f"{_OWN_LAYER}.attention.context_norm."),
    (f"{_EXTRACTOR}.layers.{{i}}.0.norm2.", f"{_OWN_LAYER}.attention.latent_norm."),
    *((f"{_EXTRACTOR}.layers.{{i}}.0.{to}.", f"{_OWN_LAYER}.attention.{to}.") for to in ("to_q", "to_kv", "to_out")),
    (f"{_EXTRACTOR}.layers.{{i}}.1.", f"{_OWN_LAYER}.feed_forward."),
    (f"{_CROSS}.norm1.", "layers.{i}.id_norm."),
    (f"{_CROSS}.norm2.", "layers.{i}.hidden_norm."),
    *((f"{_CROSS}.{to}.", f"layers.{{i}}.{to}.") for to in ("to_q", "to_kv", "to_out")),
]
CONSISID_PARTS = (_EXTRACTOR, "perceiver_cross_attention")

PAPER_PREFIX = "fantasyid."  # then the name in `IdentityAdapter`: there is no official file of the paper variant

# Present in the official checkpoint, without any effect on its output (measured: exactly zero).
DEAD_IN_RELEASE = (
    r"face_abstractor\.latents",
    r"face_abstractor\.id_embedding_mapping\..+",
    r"face_abstractor\.mapping_[0-3]\..+",
    r"face_abstractor\.layers\.[0-7]\..+",
    r"face_abstractor\.layers\.8\.0\.(net|readout)\..+",
    r"face_abstractor\.layers\.8\.1\..+",
)

DIFFUSERS_TO_HOST = [
    ("patch_embed.", "patch_embed."),
    ("time_embedding.linear_{i}.", "time_embedding_linear_{i}."),
    ("transformer_blocks.{i}.norm1.", "blocks.{i}.norm1."),
    ("transformer_blocks.{i}.norm2.", "blocks.{i}.norm2."),
    ("transformer_blocks.{i}.attn1.to_q.", "blocks.{i}.q."),
    ("transformer_blocks.{i}.attn1.to_k.", "blocks.{i}.k."),
    ("transformer_blocks.{i}.attn1.to_v.", "blocks.{i}.v."),
    ("transformer_blocks.{i}.attn1.to_out.0.", "blocks.{i}.attn_out."),
    ("transformer_blocks.{i}.attn1.norm_q.", "blocks.{i}.norm_q."),
    ("transformer_blocks.{i}.attn1.norm_k.", "blocks.{i}.norm_k."),
    ("transformer_blocks.{i}.ff.net.0.proj.", "blocks.{i}.ff_proj."),
    ("transformer_blocks.{i}.ff.net.2.", "blocks.{i}.ff_out."),
    ("norm_final.", "norm_final."),
    ("norm_out.", "norm_out."),
    ("proj_out.", "proj_out."),
]


# A checkpoint has some thousand names, and each is asked for several times: for sizes, for the plan, for loading.
_remembered = lru_cache(maxsize=2**14)


def rename(key: str, rules: Iterable[tuple[str, str]], reverse: bool = False) -> str | None:
    """`key` in the other convention, or None when no rule covers it."""
    for source, target in rules:
        if reverse:
            source, target = target, source
        match = _pattern(source).fullmatch(key)
        if match:
            return _fill(source, target, match)
    return None


@_remembered
def is_dead(key: str) -> bool:
    """Whether the tensor `key` of the official checkpoint has no effect."""
    return any(re.fullmatch(pattern, key) for pattern in DEAD_IN_RELEASE)


@_remembered
def adapter_name(key: str) -> str | None:
    """Name in a file of any variant -> name in `IdentityAdapter`, None for dead and foreign keys."""
    if key.startswith(PAPER_PREFIX):
        return key[len(PAPER_PREFIX) :]
    return rename(key, CONSISID_TO_ADAPTER if is_consisid(key) else RELEASE_TO_ADAPTER)


def is_consisid(key: str) -> bool:
    """Whether `key` is of ConsisID's own part, in its official naming."""
    return key.split(".")[0] in CONSISID_PARTS


def consisid_name(key: str) -> str | None:
    """Name in the ConsisID variant's `IdentityAdapter` -> official name."""
    return rename(key, CONSISID_TO_ADAPTER, reverse=True)


def named_face_modules(content: Mapping) -> dict:
    """Renames the tensors that ConsisID's official `save_face_modules` writes as they are named in the whole model.

    content: {"local_facial_extractor": state dict, "perceiver_cross_attention": list of state dicts}; anything else
    is returned as it is.
    """
    extractor, layers = (content.get(part) for part in CONSISID_PARTS)
    if not isinstance(extractor, Mapping) or not isinstance(layers, (list, tuple)):
        return content
    named = {f"{CONSISID_PARTS[0]}.{key}": value for key, value in extractor.items()}
    for index, layer in enumerate(layers):
        if not isinstance(layer, Mapping):
            return content
        named.update({f"{CONSISID_PARTS[1]}.{index}.{key}": value for key, value in layer.items()})
    return named


def release_name(key: str) -> str | None:
    """Name in `IdentityAdapter` -> release name."""
    return rename(key, RELEASE_TO_ADAPTER, reverse=True)


def paper_name(key: str) -> str:
    """Name in the paper variant's `IdentityAdapter` -> name in a file."""
    return PAPER_PREFIX + key


@_remembered
def host_name(key: str) -> str | None:
    """Diffusers' CogVideoX transformer name -> ComfyUI's, None for keys of FantasyID and others."""
    return rename(key, DIFFUSERS_TO_HOST)


@_remembered
def diffusers_name(key: str) -> str | None:
    """ComfyUI's CogVideoX transformer name -> diffusers'."""
    return rename(key, DIFFUSERS_TO_HOST, reverse=True)


@cache
def _pattern(template: str) -> re.Pattern:
    escaped = re.escape(template).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{i\+1\}", r"(?P<i>\d+)")
    # A template that ends with a dot is a prefix: whatever follows is kept.
    return re.compile(escaped + (r"(?P<rest>.+)" if template.endswith(".") else "(?P<rest>)"))


def _fill(source: str, target: str, match: re.Match) -> str:
    if "i" in match.groupdict():
        index = int(match["i"]) - ("{i+1}" in source)
        target = target.replace("{i}", str(index)).replace("{i+1}", str(index + 1))
    return target + match["rest"]

"""One step of the whole transformer with random weights: plain, with the folded identity, and the release's way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..identity.injector import Injector
from ..identity.network.attention import LayerAttention
from .timing import Times, paired


def release_attention(layer: LayerAttention, hidden: Tensor, kv: tuple[Tensor, Tensor]) -> Tensor:
    """The release's formula, step by step: [B, N, D] -> what is added, [B, N, D]."""
    key, value = kv
    query = layer.to_q(layer.hidden_norm(hidden))
    query = query.view(*query.shape[:2], layer.heads, -1).transpose(1, 2).contiguous()
    scale = 1 / math.sqrt(math.sqrt(query.shape[-1]))  # on both, which is more stable in half precision
    weight = (query * scale) @ (key * scale).transpose(-2, -1)
    weight = torch.softmax(weight.float(), dim=-1).type(weight.dtype)
    return layer.to_out((weight @ value).permute(0, 2, 1, 3).reshape(*hidden.shape[:2], -1))


def measure_transformer(
    config: AdapterConfig, sizes: TransformerConfig, device: torch.device, dtype: torch.dtype, runs: int
) -> dict[str, Times]:
    """One step of the whole transformer with random weights, both halves of guidance: plain, folded, release's.

    `ratio`: seconds of the plain step over seconds of this one; `peak`: bytes on the device, where it counts them.
    Says why instead when the device has too little memory.
    """
    from ..host import diffusers as host

    needed = _transformer_bytes(host, sizes, config, dtype)
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < needed:
        return {"skipped": {"reason": f"needs about {needed / 2**30:.0f} GiB free"}}
    transformer = random_transformer(host, sizes, device, dtype)
    layers = [LayerAttention(config).requires_grad_(False).to(device, dtype) for _ in range(config.injected_layers)]
    tokens = torch.randn(1, config.id_tokens, config.id_width, device=device, dtype=dtype)
    inputs = _transformer_inputs(host, sizes, device, dtype)
    injector = Injector(layers, tokens, interval=config.interval)
    peaks: dict[str, int] = {}

    def step(name: str, *injectors):
        def call():
            reset_peak(device)
            with host.attach(transformer, *injectors):
                transformer(**inputs)
            peaks[name] = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0

        return call

    times = paired(
        {
            "plain": step("plain"),
            "folded": step("folded", injector),
            "release's formula": step("release's formula", OfficialFormula(layers, tokens, injector)),
        },
        runs, device, base="plain",
    )  # fmt: skip
    return {name: {**each, "peak": peaks[name]} for name, each in times.items()}


class OfficialFormula:
    """The release's way under the interface of an Injector: K and V in every call, or kept."""

    def __init__(self, layers: Sequence[LayerAttention], tokens: Tensor, injector: Injector, keep: bool = False):
        self.layers, self.tokens = layers, tokens
        self.kept = [layer.project(tokens) for layer in layers] if keep else None
        self.layer_of_block, self.check_width = injector.layer_of_block, injector.check_width

    def add(self, layer: int, hidden: Tensor) -> Tensor:
        module = self.layers[layer]
        kv = self.kept[layer] if self.kept else module.project(self.tokens)
        return hidden + release_attention(module, hidden, kv)


def random_transformer(host, sizes: TransformerConfig, device, dtype):
    with torch.device("meta"):
        transformer = host.build_transformer(sizes).to(dtype)
    transformer = transformer.to_empty(device=device).requires_grad_(False).eval()
    for value in (*transformer.parameters(), *transformer.buffers()):
        value.normal_(0, 0.02)
    return transformer


def _transformer_bytes(host, sizes: TransformerConfig, config: AdapterConfig, dtype) -> int:
    with torch.device("meta"):
        weights = sum(value.numel() for value in host.build_transformer(sizes).parameters())
        layers = config.injected_layers * sum(value.numel() for value in LayerAttention(config).parameters())
    activations = 2 * (sizes.video_tokens + sizes.max_text_seq_length) * sizes.width * 14
    return dtype.itemsize * (weights + 2 * layers + activations)


def _transformer_inputs(host, sizes: TransformerConfig, device, dtype) -> dict:
    shape = (2, sizes.latent_frames, sizes.in_channels, sizes.sample_height, sizes.sample_width)
    return {
        "hidden_states": torch.randn(shape, device=device, dtype=dtype),
        "encoder_hidden_states": torch.randn(
            2, sizes.max_text_seq_length, sizes.text_embed_dim, device=device, dtype=dtype
        ),
        "timestep": torch.full((2,), 500, device=device),
        "image_rotary_emb": host.rotary_table(sizes, device),
        "return_dict": False,
    }


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

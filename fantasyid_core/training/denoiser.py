"""The network that is trained: everything between a noisy latent and the predicted v, as one module.

It is one module because accelerate wraps one (for several devices, FSDP or DeepSpeed), and only the `forward` of the
wrapped module may then be called. Training and validation both call it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..host import diffusers as diffusers_host
from ..identity.adapter import IdentityAdapter
from ..identity.network.fit import check_dit_width, check_grid, layers_by_block


class Seen(NamedTuple):
    """The inputs of the denoiser; one row for every clip."""

    noisy: Tensor  # [B,T,C,h,w]
    picture: Tensor  # [B,T,C,h,w]: the condition picture's latent, zeros after the first frame
    times: Tensor  # [B] int64
    texts: list[str]
    faces: Tensor  # [B,3,S,S] in 0..1
    vertices: Tensor  # [B,V,3] metres
    keeps_identity: Tensor  # [B] bool
    keeps_face: Tensor  # [B] bool
    keeps_vertices: Tensor  # [B] bool


class Denoiser(nn.Module):
    """Transformer, adapter and the two encoders. Frozen parts stay in evaluation mode.

    When the face is left out, its features are zeros. When the vertices are left out, they are the mean shape of the
    topology. When the identity is left out, nothing is added to the clip's rows of the hidden states.
    """

    def __init__(
        self, transformer: nn.Module, adapter: IdentityAdapter, text_encoder: nn.Module, face_encoder: nn.Module
    ):
        super().__init__()
        self.transformer = transformer
        self.adapter = adapter
        self.text_encoder = text_encoder
        self.face_encoder = face_encoder
        self.register_buffer("mean_shape", adapter.topology.template.clone(), persistent=False)
        self._sizes = diffusers_host.transformer_sizes(transformer)
        self.tokens: Tensor | None = None  # [B,Nid,Cid] of the last forward
        self._injector, self._keeps = None, None
        self._hook_blocks()

    def train(self, mode: bool = True) -> Denoiser:
        super().train(mode)
        for part in (self.transformer, self.adapter, self.text_encoder, self.face_encoder):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def forward(self, seen: Seen) -> Tensor:  # -> v [B,T,C,h,w]
        texts = self.text_encoder(seen.texts)  # [B, text, C]
        feats = self.face_encoder(seen.faces)  # [B, P, C]
        feats = torch.where(_column(seen.keeps_face), feats, torch.zeros_like(feats))
        vertices = torch.where(_column(seen.keeps_vertices), seen.vertices, self.mean_shape.to(seen.vertices))
        self.tokens = self.adapter.encode(feats, vertices)
        # They stay until the next forward: gradient checkpointing runs the blocks again in the backward pass.
        self._injector, self._keeps = self.adapter.injector(self.tokens), _column(seen.keeps_identity)
        weight = self.transformer.patch_embed.proj.weight
        channels = self._sizes.in_channels - self._sizes.out_channels
        inputs = torch.cat([seen.noisy, seen.picture], dim=2) if channels else seen.noisy
        return self.transformer(
            inputs.to(weight.dtype),
            texts.to(weight.dtype),
            seen.times,
            image_rotary_emb=self._rotary(inputs),
            return_dict=False,
        )[0].float()

    def _rotary(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the model's table for the latent frames that there are, which may be fewer than its own."""
        height, width = self._sizes.frame_grid
        tokens = inputs.shape[1] * height * width
        cosines, sines = diffusers_host.rotary_table(self._sizes, inputs.device)
        return cosines[:tokens], sines[:tokens]

    def _hook_blocks(self) -> None:
        """Adds lasting hooks that use the current injector; the hooks of `attach` would be gone in the backward
        pass."""
        config, blocks = self.adapter.config, self.transformer.transformer_blocks
        check_dit_width(config.dit_width, self._sizes.width)
        check_grid(config.grid if config.is_paper else None, self._sizes.frame_grid)
        for block, layer in layers_by_block(config.injected_layers, config.interval, len(blocks)).items():
            blocks[block].register_forward_hook(self._adding(layer))

    def _adding(self, layer: int):
        def add_identity(_module, _inputs, output):
            hidden, text = output  # [B, N, D], [B, text, D]
            delta = self._injector(layer, hidden).to(hidden.dtype)
            return torch.addcmul(hidden, delta, self._keeps.to(hidden.dtype)), text

        return add_identity


def _column(keeps: Tensor) -> Tensor:  # [B] -> [B,1,1]
    return keeps[:, None, None]

"""Identity branch of the paper variant (paper section 3.2), in the order of the data flow.

    vertices  -> SpiralEncoder: SpiralNet++ and depth code -> X_V [314] ─┐
    vit_feats -> FaceAbstractor -> MLP ---------------------> X_I [36]  ─┴-> fusion of 6 layers -> ResConv1D -> [350]

Unlike the release, this network passes the fusion's face tokens on, and its output is as wide as the transformer.
`use_face` and `use_vertices` leave out X_I and X_V for the ablations of the paper's Table 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from ...config import AdapterConfig
from ...shape.topology.topology import Topology
from .abstractor import FaceAbstractor
from .depth_vertices import NarrowingMLP
from .frame_filter import FilteredAttention, RepeatedLayer
from .fusion import FusionLayer, FusionTransformer
from .reducer import ResidualConv1d, VertexReducer
from .spiral_vertices import SpiralEncoder

_TABLE_SCALE = 0.02
_LAYER_SHARE = 0.3


class PaperEncoder(nn.Module):
    """[B, P, vit_width] features and [B, V, 3] vertices -> [B, Nid, id_width] tokens, those of the face first."""

    def __init__(self, config: AdapterConfig, topology: Topology, operations=nn):
        super().__init__()
        self.vertex_encoder = SpiralEncoder(config, topology, operations) if config.use_vertices else None
        self.face_abstractor = _abstractor(config, operations) if config.use_face else None
        self.face_mlp = NarrowingMLP(config.vit_width, config.vertex_width, operations) if config.use_face else None
        # Without it the face tokens become larger, and in the reducer's group norms they dominate the vertex tokens.
        self.balance = operations.LayerNorm(config.vertex_width)
        self.fusion = FusionTransformer(config, operations)
        self.reducer = VertexReducer(config, operations)
        keep_variance(self)
        with torch.no_grad():  # the residual stream carries the person; layers add to it little by little
            for layer in cast(Iterable[FusionLayer], self.fusion):
                layer.to_out.weight.mul_(_LAYER_SHARE)
                layer.mlp_out.weight.mul_(_LAYER_SHARE)

    @property
    def telling_matrix(self) -> Tensor:
        """Weights that tell one adapter from another."""
        return cast(ResidualConv1d, self.reducer[0]).conv_in.conv.weight

    def forward(self, vit_feats: Tensor, vertices: Tensor) -> Tensor:
        parts = []
        if self.vertex_encoder is not None:
            parts.append(self.vertex_encoder(vertices))  # X_V
        if self.face_abstractor is not None and self.face_mlp is not None:
            parts.append(self.face_mlp(self.face_abstractor(vit_feats)))  # X_I
        fused = self.fusion(self.balance(torch.cat(parts, dim=1)))
        tokens = self.reducer(fused.transpose(1, 2)).transpose(1, 2)
        # Attention does not depend on the order; in the output of both variants, face tokens come first.
        return torch.cat(tokens.split([part.shape[1] for part in parts], dim=1)[::-1], dim=1)


def keep_variance(module: nn.Module) -> None:
    """Initialises linear weights so that outputs have the variance of their inputs, and biases with zero.

    PyTorch's default has a standard deviation of 1 / sqrt(3 n) for n inputs. With it, every linear layer shrinks the
    differences between people to 58 %, and its bias adds what is equal for all, until the video model ignores them.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) and layer.weight is not None:
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _abstractor(config: AdapterConfig, operations) -> FaceAbstractor:
    abstractor = FaceAbstractor(config, operations, config.vit_width, second_position=False)
    nn.init.normal_(abstractor.position, std=_TABLE_SCALE)
    nn.init.normal_(abstractor.projection, std=config.vit_width**-0.5)
    return abstractor


def paper_layers(config: AdapterConfig, operations=nn) -> nn.ModuleList | RepeatedLayer:
    """The injection of every layer, or the one that all share."""
    if config.shared_injection:
        return RepeatedLayer(FilteredAttention(config, operations), config.injected_layers)
    return nn.ModuleList(FilteredAttention(config, operations) for _ in range(config.injected_layers))

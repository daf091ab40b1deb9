"""Identity branch of the released weights, in the order of the data flow.

    vit_feats -> FaceAbstractor --------------------------> face tokens [36] ─────────────┐
    vertices  -> DepthEncoder (fused with the face tokens) -> reducer -> vertex tokens [79] ┴-> identity tokens [115]

Unlike in the paper (`paper`), only the depth of a coarse mesh is read, and the fusion's face tokens do not go on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...config import AdapterConfig
from ...shape.topology.topology import Topology
from .abstractor import FaceAbstractor
from .attention import LayerAttention
from .depth_vertices import DepthEncoder
from .reducer import VertexReducer


class ReleaseEncoder(nn.Module):
    """[B, P, vit_width] features and [B, V, 3] vertices -> [B, Nid, id_width] tokens."""

    def __init__(self, config: AdapterConfig, topology: Topology, operations=nn):
        super().__init__()
        self.face_abstractor = FaceAbstractor(config, operations)
        self.vertex_encoder = DepthEncoder(config, topology, operations)
        self.vertex_reducer = VertexReducer(config, operations)

    @property
    def telling_matrix(self) -> Tensor:
        """Weights that tell one adapter from another."""
        return self.face_abstractor.projection

    def forward(self, vit_feats: Tensor, vertices: Tensor) -> Tensor:
        face_tokens = self.face_abstractor(vit_feats)  # [B, Nf, Cid]
        return torch.cat([face_tokens, self.vertex_tokens(vertices, face_tokens)], dim=1)

    def vertex_tokens(self, vertices: Tensor, face_tokens: Tensor) -> Tensor:  # -> [B, Nv, Cid]
        descriptors = self.vertex_encoder(vertices, face_tokens)  # [B, V, C]
        return self.vertex_reducer(descriptors.transpose(1, 2)).transpose(1, 2)


def release_layers(config: AdapterConfig, operations=nn) -> nn.ModuleList:
    """The attention of every injected layer."""
    return nn.ModuleList(LayerAttention(config, operations) for _ in range(config.injected_layers))

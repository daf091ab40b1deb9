"""Vertex encoder of the *release*: 5023 FLAME vertices and the face tokens -> one descriptor per vertex.

It computes less than the paper describes (section 3.2). The vertices are pooled to the coarsest mesh level, and only
their depth z is read, as a sine code that is added to learned queries. x and y have no effect at all. The encoder that
the paper describes is in `spiral_vertices`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig
from ...shape.topology.topology import Topology, pool
from .fusion import FusionTransformer

_DEPTH_TEMPERATURE = 10000.0


class DepthEncoder(nn.Module):
    """[B, V, 3] vertices and [B, Nf, id_width] face tokens -> [B, V, vertex_width] descriptors."""

    def __init__(self, config: AdapterConfig, topology: Topology, operations=nn):
        super().__init__()
        width = config.vertex_width
        self.topology = topology
        self.query = nn.Parameter(torch.zeros(1, config.vertex_counts[-1], width))
        self.face_narrowing = nn.Sequential(
            *(NarrowingMLP(2 * half, half, operations) for half in _halvings(config.id_width, width))
        )
        self.fusion = FusionTransformer(config, operations)
        levels = len(config.vertex_counts) - 1
        # From the coarsest level to the finest, and once more on the finest without an activation.
        self.upsampling = nn.ModuleList(
            SpiralConv(width, topology.spirals[level], operations) for level in reversed(range(levels))
        )
        self.finest = SpiralConv(width, topology.spirals[0], operations)
        self.head = operations.Linear(width, width)

    def forward(self, vertices: Tensor, face_tokens: Tensor) -> Tensor:
        tokens = self.fuse(vertices, face_tokens)
        for conv, up in zip(self.upsampling, reversed(self.topology.up), strict=True):
            tokens = F.elu(conv(pool(tokens, up)))
        return self.head(self.finest(tokens))

    def fuse(self, vertices: Tensor, face_tokens: Tensor) -> Tensor:
        """Vertex tokens of the coarsest level after the fusion transformer: [B, vertex_counts[-1], width]."""
        coarse = vertices
        for down in self.topology.down:
            coarse = pool(coarse, down)
        depth = 0.5 * coarse[:, :, 2:] + 0.5
        code = depth_code(depth, self.query.shape[-1])
        queries = self.query.to(face_tokens) + code.to(face_tokens)
        # The face tokens come last; only the vertex tokens go on.
        tokens = torch.cat([queries, self.face_narrowing(face_tokens)], dim=1)
        return self.fusion(tokens)[:, : queries.shape[1]]


def depth_code(depth: Tensor, width: int) -> Tensor:  # [B, V, 1] -> [B, V, width]
    """Sine code of a depth in 0..1 (one turn), temperature 10000; even entries sine, odd ones cosine."""
    index = torch.arange(width, dtype=depth.dtype, device=depth.device)
    wavelength = _DEPTH_TEMPERATURE ** (2 * (index // 2) / width)
    phase = depth * (2 * math.pi) / wavelength
    return torch.stack([phase[..., 0::2].sin(), phase[..., 1::2].cos()], dim=-1).flatten(-2)


class SpiralConv(nn.Module):
    """SpiralNet++ convolution: a linear layer on the features along each vertex's spiral."""

    def __init__(self, width: int, spirals: Tensor, operations=nn, width_out: int | None = None):
        super().__init__()
        self.spirals = spirals  # [V, length]; belongs to the topology, not to the checkpoint
        self.layer = operations.Linear(width * spirals.shape[1], width_out or width)

    def forward(self, x: Tensor) -> Tensor:  # [B, V, width] -> [B, V, width_out]
        along = x[:, self.spirals.to(x.device)]  # [B, V, length, C]
        return self.layer(along.flatten(2))


class NarrowingMLP(nn.Module):
    """Linear of the same width, GELU, linear to `width`."""

    def __init__(self, width_in: int, width: int, operations=nn):
        super().__init__()
        self.fc1 = operations.Linear(width_in, width_in)
        self.fc2 = operations.Linear(width_in, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def _halvings(start: int, end: int) -> list[int]:
    """start/2, start/4, ..., end."""
    steps = round(math.log2(start / end))
    if end * 2**steps != start:
        raise ValueError(f"id_width must be vertex_width times a power of two, got {start} and {end}.")
    return [start // 2 ** (step + 1) for step in range(steps)]

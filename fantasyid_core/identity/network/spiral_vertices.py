"""Vertex encoder of the paper variant (paper section 3.2): x, y, z of all vertices -> one token per coarse vertex.

SpiralNet++ (Gong et al. 2019, arXiv 1911.05856): spiral convolution, ELU, pooling to the next coarser mesh, for
every level; then a linear layer to the width of the fusion. Two codes are added: E_dep, the sine code of the depth of
the coarse vertices, and, as in the release, a learned table with one row per coarse vertex. The table is needed because
coordinates that are standardised per vertex no longer say which vertex they belong to. It is initialised with a code of
the vertex's position on the head: without it, the two sides of a widened face cancel in the attention's average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig
from ...shape.topology.topology import Topology, Transform, pool
from .depth_vertices import SpiralConv, depth_code

_UNIT = 0.05  # of the head's radius: about how far people's vertices lie apart (5 mm)
_SMALLEST_SPREAD = 0.1  # of the mean spread; less is noise, which division would blow up
_SMALLEST_COMPONENT = 1e-3  # of the largest; less is the rounding of float32


class Standardisation(nn.Module):
    """Standardises each vertex by its own mean and standard deviation; [B, V, 3] -> [B, V, 3].

    With `components`, each shape is first projected onto the principal components of people's shapes: an edited mesh
    may be deformed as no person is, and an encoder responds little to shapes unlike its training data. This is not part
    of the paper.

    Means and deviations are buffers, relative to the template and to a unit of the head's size, so that they stay
    exact enough in half precision. Before `fit`, the means are the template, the deviations are one unit, and no shape
    is projected.
    """

    offset: Tensor
    spread: Tensor
    components: Tensor
    within: Tensor

    def __init__(self, template: Tensor, components: int = 0):  # [V, 3]
        super().__init__()
        self.template = template  # belongs to the topology, not to the checkpoint
        self.unit = _UNIT * float((template - template.mean(0)).square().sum(1).mean().sqrt())
        if self.unit == 0 or template[:, 2].min() == template[:, 2].max():
            raise ValueError("Expected a mesh topology whose template has a depth, got a flat one. Use a head's.")
        self.register_buffer("offset", torch.zeros(template.shape))
        self.register_buffer("spread", torch.ones(template.shape))
        if components:
            self.register_buffer("components", torch.zeros(components, template.numel()))
            self.register_buffer("within", torch.zeros(1))  # 1: only what the components reach is seen

    def forward(self, vertices: Tensor) -> Tensor:
        with torch.autocast(vertices.device.type, enabled=False):  # differences of millimetres need all their digits
            return self._standard(vertices)

    def _standard(self, vertices: Tensor) -> Tensor:
        from_template = (vertices - self.template.to(vertices)) / self.unit
        standard = (from_template - self.offset.to(vertices)) / self.spread.to(vertices)
        if "components" not in self._buffers:
            return standard
        components, flat = self.components.to(vertices), standard.flatten(-2)
        return standard.lerp((flat @ components.T @ components).view_as(standard), self.within.to(vertices))

    @torch.no_grad()
    def fit(self, vertices: Tensor) -> None:
        """Takes mean, standard deviation and principal components from many heads [n, V, 3].

        Raises ValueError for fewer than two heads, another mesh, values that are not finite, and equal heads.
        """
        if vertices.ndim != 3 or len(vertices) < 2 or vertices.shape[1:] != self.template.shape:
            raise ValueError(
                f"Expected vertices of at least 2 heads [n, {len(self.template)}, 3], got {list(vertices.shape)}."
            )
        distance = (vertices.double() - self.template.to(vertices.device, torch.float64)) / self.unit
        spread, mean = torch.std_mean(distance, 0)
        typical = spread.square().mean().sqrt()
        if not torch.isfinite(mean).all() or not 1e-6 < typical < float("inf"):
            raise ValueError(
                "Expected finite vertices of heads that differ, got NaN, infinite or equal ones. Check the data."
            )
        self.offset.copy_(mean)
        self.spread.copy_(spread.clamp(min=_SMALLEST_SPREAD * typical))
        if "components" in self._buffers:
            self._fit_components(((distance - mean) / self.spread).flatten(1))

    def _fit_components(self, standard: Tensor) -> None:  # [n, V*3]
        _, sizes, axes = torch.linalg.svd(standard, full_matrices=False)
        found = axes[sizes > _SMALLEST_COMPONENT * sizes[0]][: len(self.components)]
        self.components.zero_()[: len(found)] = found.to(self.components)
        self.within.fill_(1)


class SpiralEncoder(nn.Module):
    """[B, V, 3] vertices -> [B, vertex_counts[-1], vertex_width] tokens."""

    def __init__(self, config: AdapterConfig, topology: Topology, operations=nn):
        super().__init__()
        self.topology = topology
        self.standardisation = Standardisation(topology.template, config.shape_components)
        widths = (3, *config.spiral_widths)
        convolutions = nn.ModuleList(
            SpiralConv(width_in, spirals, operations, width_out)
            for width_in, width_out, spirals in zip(widths, widths[1:], topology.spirals, strict=False)
        )
        self.convolutions = cast(Sequence[SpiralConv], convolutions)
        self.projection = operations.Linear(widths[-1], config.vertex_width)
        places = place_code(self._coarse(topology.template), config.vertex_width)
        self.table = nn.Parameter(torch.empty(1, *places.shape).copy_(places))  # on "meta", where weights are loaded

    def forward(self, vertices: Tensor) -> Tensor:
        features = self.standardisation(vertices).to(self.table.dtype)
        for convolution, down in zip(self.convolutions, self.topology.down, strict=True):
            kept = kept_vertices(down)
            along = convolution.spirals if kept is None else convolution.spirals[kept]
            features = F.elu(convolution.layer(features[:, along.to(features.device)].flatten(2)))
            features = pool(features, down) if kept is None else features
        tokens = self.projection(features)
        code = depth_code(self.depth(vertices), tokens.shape[-1])
        return tokens + code.to(tokens) + self.table.to(tokens)

    def depth(self, vertices: Tensor) -> Tensor:
        """Depth of the coarse vertices [B, V', 1], from 0 at the back of the template to 1 at its front.

        Depth is orthographic, as in DECA's camera. With the release's own scale (half a turn per metre), nose and ears
        would differ by only a twentieth of a turn.
        """
        far, near = self.topology.template[:, 2].aminmax()
        return (self._coarse(vertices)[:, :, 2:] - far.to(vertices)) / (near - far).to(vertices)

    def _coarse(self, vertices: Tensor) -> Tensor:  # [..., V, 3] -> [..., V', 3]
        batched = vertices.reshape(-1, *vertices.shape[-2:])
        for down in self.topology.down:
            batched = pool(batched, down)
        return batched.reshape(*vertices.shape[:-2], *batched.shape[-2:])


def place_code(places: Tensor, width: int) -> Tensor:
    """Sine and cosine code of the positions of points on a head: [N, 3] -> [N, width], equal for equal positions.

    Phases turn by half a radian to four per standard deviation; channels beyond a multiple of six are zero.
    """
    standard = (places - places.mean(0)) / places.std(0).clamp_min(1e-12)
    rates = 2.0 ** torch.linspace(-1, 2, max(width // 6, 1), dtype=places.dtype, device=places.device)
    phases = (standard[:, :, None] * rates).flatten(1)  # [N, 3 * count]
    code = torch.cat([phases.sin(), phases.cos()], dim=1)[:, :width]
    return F.pad(code, (0, width - code.shape[1]))


def kept_vertices(down: Transform) -> Tensor | None:  # -> int64 [V']
    """Indices of the fine vertices that a pooling keeps, as on FLAME's mesh and on ours; None where it averages
    vertices.

    The convolution need not be computed for the others.
    """
    neighbours, weights = down.padded
    return neighbours[:, 0] if neighbours.shape[1] == 1 and bool((weights == 1).all()) else None

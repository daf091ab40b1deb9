"""The adapter: everything FantasyID adds to CogVideoX, of either variant, behind one interface.

The identity branch (`encoder`, 62 M parameters) is needed once per person, the injection (`layers`,
21 M per layer) in every step: two modules, so that a host can keep only one of them on the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import AdapterConfig
from ..shape.faceshape import FaceShape
from ..shape.order import check_shape_order
from ..shape.topology.topology import Topology
from .injector import Injector
from .network.fit import check_grid
from .network.frame_filter import RepeatedLayer
from .network.paper import PaperEncoder, paper_layers
from .network.release import ReleaseEncoder, release_layers


def make_encoder(config: AdapterConfig, topology: Topology, operations=nn) -> ReleaseEncoder | PaperEncoder:
    """The identity branch of the configured variant. Raises ValueError for the topology of another mesh."""
    if topology.vertex_counts != config.vertex_counts:
        raise ValueError(
            f"The adapter is made for a mesh of {config.vertex_counts} vertices per level, the mesh topology has "
            f"{topology.vertex_counts}. Use the topology that belongs to the adapter."
        )
    return (PaperEncoder if config.is_paper else ReleaseEncoder)(config, topology, operations)


def make_layers(config: AdapterConfig, operations=nn) -> nn.ModuleList | RepeatedLayer:
    """The injected layers of the configured variant."""
    return (paper_layers if config.is_paper else release_layers)(config, operations)


class IdentityAdapter(nn.Module):
    """FantasyID's own weights; `state_dict()` is the checkpoint.

    Loaded by `load_adapter`; made anew, the release variant is empty, the paper variant ready for training.
    """

    def __init__(self, config: AdapterConfig, topology: Topology, operations=nn):
        super().__init__()
        self.config = config
        self.topology = topology
        self.encoder = make_encoder(config, topology, operations)
        self.layers = make_layers(config, operations)

    def encode(self, vit_feats: Tensor, vertices: Tensor | FaceShape, branch: nn.Module | None = None) -> Tensor:
        """Identity tokens [B, Nid, Cid] of ViT features [B, P, vit_width] and vertices [B, V, 3] in metres.

        The one door for both hosts. A missing batch dimension is added; a `FaceShape` is trusted for what was proven
        when it was made. branch: a copy of `encoder` to compute with, where a host manages the memory of one.
        Raises ValueError for other sizes, values that are not finite, and a shape in another order; and, without
        gradients, for tokens that are not finite.
        """
        # A host's copy computes in float32 whatever it stores; the adapter's own computes in what it stores.
        weight = self.encoder.telling_matrix if branch is None else branch.telling_matrix
        dtype = weight.dtype if branch is None else torch.float32
        vit_feats, vertices = self._check(vit_feats, vertices, weight.device, dtype)
        tokens = (branch or self.encoder)(vit_feats, vertices)
        if not torch.is_grad_enabled() and not tokens.isfinite().all():
            raise ValueError(
                "Expected finite identity tokens, got NaN or infinite values: the weights of the adapter or of the face "
                "encoder are damaged, or they overflow in their precision. Load both with dtype fp32, or get them again."
            )
        return tokens

    def check_shape(self, shape: FaceShape) -> None:
        """Raises ValueError unless the 3D face has this adapter's mesh, its vertices in the same order."""
        expected = self.config.vertex_counts[0]
        if len(shape.vertices) != expected:
            raise ValueError(
                f"Expected a 3D face of {expected} vertices, got {len(shape.vertices)}. Use a head of the mesh that the "
                "adapter was trained with (FLAME for the released one)."
            )
        check_shape_order(shape, self.topology.template.numpy())

    def forward(self, vit_feats: Tensor, vertices: Tensor) -> Tensor:
        return self.encode(vit_feats, vertices)

    def injector(
        self, tokens: Tensor, strength: float = 1.0, layer_weights: Sequence[float] | None = None
    ) -> Injector:
        """K and V of all layers for `tokens` [B, Nid, Cid]; see `Injector`. Raises ValueError for another width."""
        self.check_tokens(tokens)
        weight = self.layers[0].to_kv.weight
        return Injector(self.layers, tokens.to(weight), strength, layer_weights, self.config.interval)

    def fit_vertices(self, vertices: Tensor) -> None:
        """Takes the mean and spread of each vertex from many heads [n, V, 3] in metres, before training.

        Raises ValueError for heads that give none. Nothing to do without vertices, and in the release.
        """
        if self.config.is_paper and self.config.use_vertices:
            self.encoder.vertex_encoder.standardisation.fit(vertices)

    def check_tokens(self, tokens: Tensor) -> None:
        """Raises ValueError unless `tokens` are [B, Nid, Cid] of this adapter's width."""
        if tokens.ndim != 3 or tokens.shape[-1] != self.config.id_width:
            raise ValueError(
                f"Expected identity tokens [B, {self.config.id_tokens}, {self.config.id_width}], got "
                f"{list(tokens.shape)}. Encode the identity again with this adapter."
            )

    def check_grid(self, height: int, width: int) -> None:
        """Raises ValueError unless the adapter suits latent frames of height x width video tokens."""
        check_grid(self.config.grid if self.config.is_paper else None, (height, width))

    def _check(
        self, vit_feats: Tensor, vertices: Tensor | FaceShape, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        vit_feats = _batched(vit_feats, "Face features", (self.config.vit_tokens, self.config.vit_width))
        if isinstance(vertices, FaceShape):
            self.check_shape(vertices)
            vertices = vertices.vertices[None]
        else:
            vertices = _batched(vertices, "Vertices", (self.config.vertex_counts[0], 3))
        if vit_feats.shape[0] != vertices.shape[0] and 1 not in (vit_feats.shape[0], vertices.shape[0]):
            raise ValueError(
                f"Got {vit_feats.shape[0]} face features but {vertices.shape[0]} shapes; give as many."
            )
        batch = max(vit_feats.shape[0], vertices.shape[0])
        # Depth stays in float32: its sine code loses the face's relief in half precision.
        vertices = vertices.to(device, torch.promote_types(dtype, torch.float32))
        return vit_feats.to(device, dtype).expand(batch, -1, -1), vertices.expand(batch, -1, -1)


def _batched(x: Tensor, what: str, size: tuple[int, int]) -> Tensor:
    x = x.unsqueeze(0) if x.ndim == 2 else x
    if x.ndim != 3 or tuple(x.shape[1:]) != size:
        raise ValueError(
            f"{what}: expected [B, {size[0]}, {size[1]}], got {list(x.shape)}. Use the face encoder and the 3D face that "
            "belong to this adapter."
        )
    if not torch.isfinite(x).all():
        raise ValueError(f"{what}: expected finite numbers, got NaN or infinite values.")
    return x

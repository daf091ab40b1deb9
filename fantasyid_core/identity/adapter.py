"""The adapter: everything that FantasyID or ConsisID adds to CogVideoX, in every variant, behind one interface.

The identity branch (`encoder`, 62 M parameters) is needed once per person, the injection (`layers`,
21 M per layer) in every step: two modules, so that a host can keep only one of them on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..config import AdapterConfig
from ..face.features import FaceFeatures
from ..shape.faceshape import FaceShape
from ..shape.order import check_shape_order
from ..shape.topology.topology import Topology
from .injector import Injector
from .inputs import IGNORED, consisid_inputs, fantasyid_inputs
from .network.attention import LayerAttention
from .network.consisid import LocalFacialExtractor
from .network.fit import check_grid
from .network.paper import PaperEncoder, paper_layers
from .network.release import ReleaseEncoder, release_layers

Encoder = ReleaseEncoder | PaperEncoder | LocalFacialExtractor


def make_encoder(config: AdapterConfig, topology: Topology | None, operations=nn) -> Encoder:
    """The identity branch of the configured variant. Raises ValueError for the topology of another mesh."""
    if config.is_consisid:
        return LocalFacialExtractor(config, operations)
    if topology is None or topology.vertex_counts != config.vertex_counts:
        raise ValueError(
            f"The adapter is made for a mesh of {config.vertex_counts} vertices per level, the mesh topology has "
            f"{topology and topology.vertex_counts}. Use the topology that belongs to the adapter."
        )
    return (PaperEncoder if config.is_paper else ReleaseEncoder)(config, topology, operations)


def make_layers(config: AdapterConfig, operations=nn) -> Sequence[LayerAttention]:
    """The injected layers of the configured variant: a module that is used like a list."""
    layers = (paper_layers if config.is_paper else release_layers)(config, operations)
    return cast(Sequence[LayerAttention], layers)


class IdentityAdapter(nn.Module):
    """The method's own weights; `state_dict()` is the checkpoint.

    Loaded by `load_adapter`; made anew, the release variant is empty, the paper variant ready for training.
    topology: None for a variant that reads no 3D face. transformer: `transformer_fingerprint` of the video model that
    the adapter belongs to, "" when it is not known.
    """

    def __init__(self, config: AdapterConfig, topology: Topology | None = None, operations=nn, transformer: str = ""):
        super().__init__()
        self.config = config
        self.topology = topology
        self.transformer = transformer
        self.encoder = make_encoder(config, topology, operations)
        self.layers = make_layers(config, operations)

    def encode(
        self,
        face: Tensor | FaceFeatures,
        vertices: Tensor | FaceShape | None = None,
        branch: nn.Module | None = None,
    ) -> Tensor:
        """Identity tokens [B, Nid, Cid] of a face and, for a variant that reads one, its 3D face.

        face: ViT features [B, P, vit_width], or `FaceFeatures`; ConsisID needs the latter, with as many states as it
        reads and a vector. vertices: [B, V, 3] in metres; None for a variant that reads none, and refuses others.

        The one door for both hosts. A missing batch dimension is added; a `FaceShape` is trusted for what was proven
        when it was made. branch: a copy of `encoder` to compute with, where a host manages the memory of one.
        Raises ValueError for other sizes, values that are not finite, and a shape in another order; and, without
        gradients, for tokens that are not finite.
        """
        # A host's copy computes in float32 whatever it stores; the adapter's own computes in what it stores.
        weight = cast(Tensor, (branch or self.encoder).telling_matrix)
        like = weight.new_empty(0, dtype=weight.dtype if branch is None else torch.float32)
        tokens = (branch or self.encoder)(*self._inputs(face, vertices, like))
        if not torch.is_grad_enabled() and not tokens.isfinite().all():
            raise ValueError(
                "Expected finite identity tokens, got NaN or infinite values: the weights of the adapter or of the "
                "face encoder are damaged, or they overflow in their precision. Load both with dtype fp32, or get "
                "them again."
            )
        return tokens

    def check_needs(self, shape: object) -> None:
        """Raises ValueError for a shape (of whatever kind, None for none) that would be ignored."""
        if shape is not None and self.config.is_consisid:
            raise ValueError(IGNORED)

    def check_shape(self, shape: FaceShape | None) -> None:
        """Raises ValueError unless the 3D face has this adapter's mesh, its vertices in the same order.

        None is for a variant that reads no 3D face, which takes no other.
        """
        self.check_needs(shape)
        if not self.config.reads_shape:
            return
        if shape is None:
            raise ValueError(
                f"Expected a 3D face, got none: the identity of the {self.config.variant} variant depends on it. "
                "Connect the shape of Reconstruct Face or Load Shape."
            )
        expected = self.config.vertex_counts[0]
        if len(shape.vertices) != expected:
            raise ValueError(
                f"Expected a 3D face of {expected} vertices, got {len(shape.vertices)}. Use a head of the mesh "
                "that the adapter was trained with (FLAME for the released one)."
            )
        if self.topology is not None:
            check_shape_order(shape, self.topology.template.numpy())

    def forward(self, face: Tensor | FaceFeatures, vertices: Tensor | FaceShape | None = None) -> Tensor:
        return self.encode(face, vertices)

    def injector(self, tokens: Tensor, strength: float = 1.0, layer_weights: Sequence[float] | None = None) -> Injector:
        """K and V of all layers for `tokens` [B, Nid, Cid]; see `Injector`. Raises ValueError for another width."""
        self.check_tokens(tokens)
        weight = self.layers[0].to_kv.weight
        strength = strength * self.config.local_face_scale
        injector = Injector(self.layers, tokens.to(weight), strength, layer_weights, self.config.interval)
        injector.transformer = self.transformer
        return injector

    def fit_vertices(self, vertices: Tensor) -> None:
        """Takes the mean and spread of each vertex from many heads [n, V, 3] in metres, before training.

        Raises ValueError for heads that give none. Nothing to do without vertices, and in the release.
        """
        if isinstance(self.encoder, PaperEncoder) and self.encoder.vertex_encoder is not None:
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

    def _inputs(self, face: Tensor | FaceFeatures, vertices: Tensor | FaceShape | None, like: Tensor) -> tuple:
        """The inputs of the identity branch, in the type and on the device of `like`."""
        if self.config.is_consisid:
            return consisid_inputs(self.config, like, face, vertices)
        if isinstance(vertices, FaceShape):
            self.check_shape(vertices)
            vertices = vertices.vertices[None]
        return fantasyid_inputs(self.config, like, face, vertices)

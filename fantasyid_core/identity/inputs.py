"""The inputs of an identity branch: checked, and moved to the type and the device of its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import AdapterConfig
from ..face.features import FaceFeatures
from ..shape.faceshape import FaceShape

IGNORED = (
    "ConsisID reads no 3D face, so a shape would be ignored: expected none, got one. Disconnect it. To change the face "
    "all the same, edit the shape and let the picture follow it (Warp Face)."
)


def consisid_inputs(
    config: AdapterConfig, like: Tensor, face: Tensor | FaceFeatures, vertices: Tensor | FaceShape | None
) -> tuple[tuple[Tensor, ...], Tensor]:
    """States, each [B, P, vit_width], and vectors [B, vector_width] of the same B; ValueError for others."""
    if vertices is not None:
        raise ValueError(IGNORED)
    if not isinstance(face, FaceFeatures) or face.vector is None or len(face.states) != config.identity_states:
        got = f"{len(face.states)} states" if isinstance(face, FaceFeatures) else "the features of one state"
        got += "" if isinstance(face, FaceFeatures) and face.vector is not None else " and no vector"
        raise ValueError(
            f"ConsisID reads {config.identity_states} states of the face encoder and a vector of {config.vector_width} "
            f"numbers, got {got}. Use a face encoder of all 24 blocks with its head, and FaceFeatures."
        )
    size = config.vit_tokens or face.states[0].shape[-2], config.vit_width
    states = [batched(state, "Face features", size).to(like) for state in face.states]
    vector = face.vector.unsqueeze(0) if face.vector.ndim == 1 else face.vector
    if vector.ndim != 2 or vector.shape[1] != config.vector_width:
        raise ValueError(
            f"Identity vector: expected [B, {config.vector_width}], the raw ArcFace vector and then the CLIP vector, "
            f"got {list(vector.shape)}."
        )
    if not torch.isfinite(vector).all():
        raise ValueError("Identity vector: expected finite numbers, got NaN or infinite values.")
    batch = max(len(vector), *map(len, states))
    if any(len(each) not in (1, batch) for each in (vector, *states)):
        raise ValueError(f"Got states of {len(states[0])} faces but {len(vector)} vectors; give as many.")
    return tuple(state.expand(batch, -1, -1) for state in states), vector.to(like).expand(batch, -1)


def fantasyid_inputs(
    config: AdapterConfig, like: Tensor, face: Tensor | FaceFeatures, vertices: Tensor | None
) -> tuple[Tensor, Tensor]:
    """ViT features [B, P, vit_width] and vertices [B, V, 3] of the same B; ValueError for others."""
    vit_feats = face.states[-1] if isinstance(face, FaceFeatures) else face
    vit_feats = batched(vit_feats, "Face features", (config.vit_tokens, config.vit_width))
    if vertices is None:
        if config.reads_shape:
            raise ValueError(
                f"Expected vertices [B, {config.vertex_counts[0]}, 3] of a 3D face, got none: the identity of the "
                f"{config.variant} variant depends on them. Give the person's 3D face."
            )
        vertices = vit_feats.new_zeros(config.vertex_counts[0], 3)
    vertices = batched(vertices, "Vertices", (config.vertex_counts[0], 3))
    if vit_feats.shape[0] != vertices.shape[0] and 1 not in (vit_feats.shape[0], vertices.shape[0]):
        raise ValueError(f"Got {vit_feats.shape[0]} face features but {vertices.shape[0]} shapes; give as many.")
    batch = max(vit_feats.shape[0], vertices.shape[0])
    # Depth stays in float32: its sine code loses the face's relief in half precision.
    vertices = vertices.to(like.device, torch.promote_types(like.dtype, torch.float32))
    return vit_feats.to(like).expand(batch, -1, -1), vertices.expand(batch, -1, -1)


def batched(x: Tensor, what: str, size: tuple[int, int]) -> Tensor:
    """`x` [B, *size], with the batch dimension added where it is missing; ValueError for others."""
    x = x.unsqueeze(0) if x.ndim == 2 else x
    if x.ndim != 3 or tuple(x.shape[1:]) != size:
        raise ValueError(
            f"{what}: expected [B, {size[0]}, {size[1]}], got {list(x.shape)}. Use the face encoder and the 3D face "
            "that belong to this adapter."
        )
    if not torch.isfinite(x).all():
        raise ValueError(f"{what}: expected finite numbers, got NaN or infinite values.")
    return x

"""Linear blend skinning: a mesh follows the rotations of its joints.

Written from the published mathematics: SMPL (Loper et al. 2015, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rotation_matrices(
    axis_angle: Tensor,  # [..., 3] rotation vectors in radians
) -> Tensor:  # [..., 3, 3]
    """exp(K), K the matrix of the cross product with the rotation vector; differentiable at a rotation of zero, too."""
    cross = _cross_product_matrices(axis_angle).to("cpu", torch.float64)  # which some graphics cards cannot do
    return torch.linalg.matrix_exp(cross).to(axis_angle)


def skin(
    vertices: Tensor,  # [B, V, 3] at rest
    joints: Tensor,  # [B, K, 3] at rest
    rotations: Tensor,  # [B, K, 3, 3] of every joint, seen from its parent
    parents: Sequence[int],  # of every joint, each before its children; -1 for the root, which comes first
    weights: Tensor,  # [V, K], every row adds up to 1
) -> Tensor:  # [B, V, 3]
    """Moves every vertex with the weighted mean of the rigid motions of its joints."""
    turned, moved = [rotations[:, 0]], [joints[:, 0]]  # every joint's rotation and place in the world
    for joint, parent in enumerate(parents[1:], start=1):
        bone = joints[:, joint] - joints[:, parent]
        moved.append(moved[parent] + _apply(turned[parent], bone))
        turned.append(turned[parent] @ rotations[:, joint])
    rotation = torch.stack(turned, dim=1)  # [B, K, 3, 3]
    shift = torch.stack(moved, dim=1) - _apply(rotation, joints)  # [B, K, 3]
    blended = torch.einsum("vk,bkij->bvij", weights, rotation)
    return _apply(blended, vertices) + torch.einsum("vk,bki->bvi", weights, shift)


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[..., None])[..., 0]


def _cross_product_matrices(vectors: Tensor) -> Tensor:
    x, y, z = vectors.unbind(dim=-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))

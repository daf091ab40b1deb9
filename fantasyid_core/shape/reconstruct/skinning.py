"""Linear blend skinning: a mesh follows the rotations of its joints.

Written from the published mathematics: SMPL (Loper et al. 2015, section 3) and Rodrigues' formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_SMALL = 1e-2  # squared angle below which the series are exact to the last digit of a float64
_SINE = (1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880)  # sin(a) / a in powers of a**2
_COSINE = (1 / 2, -1 / 24, 1 / 720, -1 / 40320, 1 / 3628800)  # (1 - cos(a)) / a**2


def rotation_matrices(
    axis_angle: Tensor,  # [..., 3] rotation vectors in radians
) -> Tensor:  # [..., 3, 3]
    """Rodrigues' formula, with all derivatives finite and right at a rotation of zero.

    R = I + sin(a)/a K + (1 - cos(a))/a**2 K**2, where K is the cross product with the rotation vector.
    """
    squared = (axis_angle**2).sum(dim=-1)[..., None, None]
    small = squared < _SMALL
    # Both branches of `where` are differentiated, so the one not taken must not divide by zero.
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    half = (angle / 2).sin() / angle
    first = torch.where(small, _polynomial(_SINE, squared), angle.sin() / angle)
    second = torch.where(small, _polynomial(_COSINE, squared), 2 * half**2)
    cross = _cross_product_matrices(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + first * cross + second * (cross @ cross)


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


def _polynomial(coefficients: Sequence[float], value: Tensor) -> Tensor:
    result = torch.full_like(value, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * value + coefficient
    return result


def _cross_product_matrices(vectors: Tensor) -> Tensor:
    x, y, z = vectors.unbind(dim=-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))

"""Measures how much a control changes the identity tokens, through the 3D face alone and through the warped picture.

The released weights read only the depth of a coarse mesh, so many controls have no effect through the 3D face. The
editor shows this to the artist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...face.align import FaceCrop
from .controls import face_controls
from .edit import edit_shape
from .warp import warp_face

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from ..reconstruct.flame import FlameModel

NONE = 1e-6
"""Relative changes below it are rounding."""


class Effect(NamedTuple):
    """Of one control: the relative change |tokens after - tokens before| / |tokens before| of the identity tokens.

    vertices: by the 3D face alone. picture: by the picture alone, changed along with it; None when there is no mesh
    to change the picture by.
    """

    name: str
    vertices: float
    picture: float | None


def control_effects(
    see: Callable[[FaceCrop], Tensor],
    encode: Callable[[Tensor, Tensor], Tensor],
    face: FaceCrop,
    vertices: Tensor,  # [V,3]
    faces: ArrayLike | None = None,  # [F,3]
    seen: np.ndarray | None = None,  # [V,3]
    names: Iterable[str] | None = None,
    amount: float = 1.0,
    flame: FlameModel | None = None,
) -> Iterator[Effect]:
    """The effect of each control at the value `amount`, one after the other, as every one takes two encodings.

    see: a crop -> ViT features [1,P,C], such as `lambda face: encoder.encode(face.pixels())`. encode: ViT features
    and vertices [1,V,3] -> tokens, such as `adapter.encode`. names: some of the controls; by default all of this head.
    faces and seen: as for `warp.warp_face`; without faces the picture is not measured.

    Raises ValueError for unknown names, and what `edit_shape` and `warp_face` raise.
    """
    known = face_controls(vertices, flame).controls
    chosen = list(known) if names is None else list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"Unknown controls: {', '.join(unknown[:5])}. There are: {', '.join(known)}.")
    return _effects(see, encode, face, vertices, faces, seen, chosen, amount, flame)


def _effects(see, encode, face, vertices, faces, seen, names, amount, flame) -> Iterator[Effect]:
    with torch.no_grad():
        feats = see(face)
        before = encode(feats, vertices[None])
    for name in names:
        edited = edit_shape(vertices, {name: amount}, flame)
        with torch.no_grad():
            by_vertices = relative_change(encode(feats, edited[None]), before)
            by_picture = None
            if faces is not None:
                warped = warp_face(face, vertices, edited, faces, seen)
                by_picture = relative_change(encode(see(warped), vertices[None]), before)
        yield Effect(name, by_vertices, by_picture)


def relative_change(after: Tensor, before: Tensor) -> float:
    """|after - before| / |before| over all entries, in float64. Raises ValueError for different shapes."""
    if after.shape != before.shape:
        raise ValueError(f"Expected tokens of one shape, got {list(after.shape)} and {list(before.shape)}.")
    before = before.double()
    return float((after.double() - before).norm() / before.norm().clamp_min(1e-30))


_READING = {
    "release": "the released weights read only the depth of a coarse version of the 3D face, which this hardly changes",
    "consisid": "ConsisID reads no 3D face",
}


def without_effect(effect: Effect, variant: str) -> str:
    """Why a control should be greyed, or works by the picture only, as a sentence; "" when the 3D face has an effect.

    variant: of the adapter's config, "release", "paper" or "consisid".
    """
    if effect.vertices >= NONE:
        return ""
    reading = _READING.get(variant, "the adapter does not see this change of the 3D face")
    if effect.picture is None:
        return f"Without effect: {reading}, and without a mesh the picture cannot follow. Connect a shape with faces."
    if effect.picture < NONE:
        return f"Without effect: {reading}, and it changes nothing that is seen in the picture."
    return f"Works only by the picture, so connect the node Warp Face: {reading}."

"""One person's 3D face. It is checked once, when it is made; later steps trust it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .mesh import check_finite

if TYPE_CHECKING:
    import torch

VERTEX_COUNT = 5023
"""Vertices of a FLAME head (2017, 2020 and 2023 alike)."""


class Proof(NamedTuple):
    """vertices: the very tensor that was found to be finite. order: of which mesh its vertices were found to be in the
    order (see `order.order_of`), or ""; an edit moves vertices and keeps their order."""

    vertices: torch.Tensor
    order: str = ""


@dataclass(frozen=True, eq=False)
class FaceShape:
    """One head, most often of FLAME's vertices.

    vertices: torch.float32 [V,3], metres. faces: np.int64 [F,3], or None for a cloud of points.
    name: where it comes from, for people. note: what was changed when it was read, "" if nothing.
    seen: where the head lies in the photo it was made from, as np.float64 [V,3]: x and y in pixels of the photo, and
    depth in the same pixels, larger is nearer; None when there is no such photo. An edit leaves it as it is.
    edit: the sliders' state that made it, as JSON (see `editstate`), or "".
    proof: what is known of the vertices already; whoever makes a shape of new vertices leaves it out.

    Raises ValueError for another shape of the tensor, and for NaN or infinite coordinates.
    """

    vertices: torch.Tensor
    faces: np.ndarray | None = None
    name: str = ""
    note: str = ""
    seen: np.ndarray | None = None
    edit: str = ""
    proof: Proof | None = field(default=None, repr=False)

    def __post_init__(self):
        if self.proof is not None and self.proof.vertices is self.vertices:
            return
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise ValueError(f"Expected the vertices of one head [V,3], got {list(self.vertices.shape)}.")
        check_finite(self.vertices.detach().cpu().numpy(), self.name or "The 3D face")
        order = "" if self.proof is None else self.proof.order
        object.__setattr__(self, "proof", Proof(self.vertices, order))

"""The pack's own types of connections between nodes. All other types are the host's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfy_api.latest import io

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CATEGORY = "FantasyID"

AdapterType = io.Custom("FANTASYID_ADAPTER")  # identity.adapter.IdentityAdapter
FaceEncoderType = io.Custom("FANTASYID_FACE_ENCODER")  # host.comfy.encode.HostedFaceEncoder
FaceType = io.Custom("FANTASYID_FACE")  # face.align.FaceCrop
ShapeType = io.Custom("FANTASYID_SHAPE")  # shape.faceshape.FaceShape
IdentityType = io.Custom("FANTASYID_IDENTITY")  # Identity


@dataclass(frozen=True, eq=False)
class Identity:
    """An encoded person: the value of the type FANTASYID_IDENTITY.

    tokens: float32 [B, Nid, Cid]. adapter: fingerprint of the adapter that made them.
    thumbnail: np.uint8 [S, S, 3] RGB of the face. shape_name: where the 3D face came from. vertices: float32
    [V, 3] of the 3D face in metres, or None. edit: the 3D face's sliders as JSON, or "". transformer: fingerprint of
    the video model that the adapter belongs to, or "". approximate: what is missing in the tokens, or "".
    """

    tokens: Tensor
    adapter: str
    thumbnail: np.ndarray
    shape_name: str = ""
    vertices: Tensor | None = None
    edit: str = ""
    transformer: str = ""
    approximate: str = ""

    def check_adapter(self, fingerprint: str) -> None:
        """Raises ValueError unless the adapter with this fingerprint made the identity."""
        if fingerprint != self.adapter:
            raise ValueError(
                f"Expected an identity made with this adapter ({fingerprint}), got one made with another "
                f"({self.adapter}). Encode the identity again with the adapter that is connected here."
            )

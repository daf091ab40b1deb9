"""The input of an identity branch: hidden states of the face encoder and, for ConsisID, an identity vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class FaceFeatures:
    """The features of one picture (B = 1) or of several.

    states: outputs of some blocks of the face encoder, in their order, each [B, P, C], class token first. FantasyID
    reads only the last one, ConsisID all five.
    vector: [B, Cv], for ConsisID the raw ArcFace vector (512 numbers) and then the CLIP vector (768) of length one;
    None where there is none.
    """

    states: tuple[Tensor, ...]
    vector: Tensor | None = None

    def __post_init__(self):
        object.__setattr__(self, "states", tuple(self.states))
        if not self.states:
            raise ValueError("Expected at least one state of the face encoder, got none.")

    def to(self, device: torch.device | str) -> FaceFeatures:
        """The same on another device."""
        vector = None if self.vector is None else self.vector.to(device)
        return FaceFeatures(tuple(state.to(device) for state in self.states), vector)

"""The three small networks together, and the VAE with the trainer's interface of a codec."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..files.network import kind_of, load_network, save_network
from .face import FaceConfig, TinyFaceEncoder
from .gridface import GridFaceConfig, GridFaceEncoder
from .loading import SHIPPED, load_vae, save_vae
from .text import TextConfig, TextEncoder
from .vae import DECODER_PARTS, TinyVae

_FACES = {"tiny_face": (TinyFaceEncoder, FaceConfig), "tiny_grid_face": (GridFaceEncoder, GridFaceConfig)}
VAE_FILE, TEXT_FILE, FACE_FILE = "vae.safetensors", "text_encoder.safetensors", "face_encoder.safetensors"


@dataclass(eq=False)
class TinyModels:
    """vae: trained and frozen. text_encoder, face_encoder: they learn with the DiT."""

    vae: TinyVae
    text_encoder: TextEncoder
    face_encoder: TinyFaceEncoder | GridFaceEncoder


def tiny_models(weights: str | os.PathLike | None = None, seed: int = 0, text_embed: int | None = None) -> TinyModels:
    """The VAE, the text and the face encoder of FantasyID-Tiny in float32.

    weights: a folder that `save_tiny_models` wrote (default: the one that comes along). The VAE must be in it; an
    encoder that is not there is a new one with the values of `seed`, and `text_embed` channels (default: 128).

    Raises FileNotFoundError, and ValueError for damaged files, those of other networks, and encoders of another
    width than `text_embed`.
    """
    folder = Path(weights or SHIPPED)
    if weights is not None and not folder.is_dir():
        raise FileNotFoundError(f"Expected a folder with {VAE_FILE}, got {folder}. Give the folder of the weights.")
    text = _text_encoder(folder / TEXT_FILE, seed, text_embed)
    face = folder / FACE_FILE
    return TinyModels(
        vae=load_vae(folder / VAE_FILE),
        text_encoder=text,
        face_encoder=load_face(face) if face.is_file() else TinyFaceEncoder(seed=seed),
    )


def save_tiny_models(
    models: TinyModels, folder: str | os.PathLike, dtype: torch.dtype = torch.bfloat16
) -> tuple[Path, ...]:
    """Writes one .safetensors per network, each with its sizes in the metadata, and returns their paths."""
    paths = tuple(Path(folder) / name for name in (VAE_FILE, TEXT_FILE, FACE_FILE))
    save_vae(models.vae, paths[0], dtype)
    save_network(models.text_encoder, paths[1], "tiny_text", dtype)
    save_network(models.face_encoder, paths[2], _face_kind(models.face_encoder), dtype)
    return paths


def load_text(path: str | os.PathLike, dtype: torch.dtype = torch.float32) -> TextEncoder:
    """A text encoder that `save_tiny_models` wrote; frozen, in evaluation mode. Errors as `load_vae`."""
    return load_network(TextEncoder, TextConfig, path, "tiny_text", dtype)


def load_face(path: str | os.PathLike, dtype: torch.dtype = torch.float32) -> TinyFaceEncoder | GridFaceEncoder:
    """A face encoder of either kind that `save_tiny_models` wrote; frozen, in evaluation mode. Errors as `load_vae`."""
    kind = kind_of(path)
    kind = kind if kind in _FACES else "tiny_face"
    return load_network(*_FACES[kind], path, kind, dtype)


def _face_kind(encoder: torch.nn.Module) -> str:
    return next(kind for kind, (make, _) in _FACES.items() if isinstance(encoder, make))


def _text_encoder(path: Path, seed: int, embed: int | None) -> TextEncoder:
    if not path.is_file():
        return TextEncoder(TextConfig.current(**({"embed": embed} if embed else {})), seed)
    encoder = load_text(path)
    if embed not in (None, encoder.config.embed):
        raise ValueError(
            f"Expected a text encoder of {embed} channels, {path} has {encoder.config.embed}. Leave text_embed out."
        )
    return encoder


class TinyCodec:
    """`TinyVae` as the trainer's `VideoCodec`: pixels in -1..1, time before channels, frozen."""

    def __init__(self, vae: TinyVae):
        self.vae = vae.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pixels: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """[B,3,T,H,W] in -1..1 -> the mean latents [B,L,C,h,w] float32. `noise` changes nothing: there is no spread."""
        return self.vae.encode(pixels.add(1).div(2)).float().transpose(1, 2)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """[B,L,C,h,w] -> [B,T,H,W,3] in 0..1, float32."""
        return self.vae.decode(latents.transpose(1, 2)).float().permute(0, 2, 3, 4, 1)

    def to(self, device: torch.device) -> TinyCodec:
        self.vae.to(device)
        return self

    @property
    def fingerprint(self) -> str:
        """Tells encoders apart; another decoder of the same latents changes nothing."""
        encodes = (value for name, value in self.vae.state_dict().items() if not name.startswith(DECODER_PARTS))
        total = sum(float(value.double().abs().sum()) for value in encodes)
        return f"tiny-vae-{total:.12g}"

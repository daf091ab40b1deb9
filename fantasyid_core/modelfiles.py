"""The model files that the user brings: what each is for, where it comes from and where it belongs.

One table drives install.py, the loaders' error texts and the README. Only the standard library is
used and nothing of the package is imported, so that install.py can load this file on a bare Python.
Nothing here downloads or opens a model file.

Licences and sources: the official repository's README and model cards (FantasyID, arXiv 2502.13995).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

DEFAULT_COMFYUI = "~/comfy/ComfyUI"  # where comfy-cli puts the host


@dataclass(frozen=True)
class ModelFile:
    """One row of the table. Folders are written with "/" and are relative to ComfyUI's models folder."""

    name: str
    purpose: str
    licence: str
    sources: tuple[str, ...]  # official addresses, the first one is shown first
    belongs: str  # where to put it; other names are found too, see patterns
    patterns: tuple[str, ...]  # what counts as this file, in lower case; the first match is taken
    in_release: str  # the same thing inside a FantasyID release folder
    without: str  # what does not work as long as it is missing
    required: bool = True
    size: int | None = None  # bytes of the official file, where known

    def advice(self) -> str:
        """One sentence: where the file belongs, where to get it, and under which licence."""
        return f"put it in models/{self.belongs}; get it from {' or '.join(self.sources)} ({self.licence})"

    def size_problem(self, path: Path) -> str | None:
        """Why the file at `path` cannot be complete, or None when its size is right or not known.

        Converted files have other names and sizes than the official one, so they are not judged.
        """
        official = path.name.lower() == self.belongs.rsplit("/")[-1].lower()
        if self.size is None or not official or path.stat().st_size == self.size:
            return None
        return (
            f"expected {self.size} bytes, got {path.stat().st_size}: "
            "the download is probably incomplete, so fetch it again"
        )


COGVIDEOX = "https://huggingface.co/THUDM/CogVideoX-5b-I2V"

MODEL_FILES = (
    ModelFile(
        name="FantasyID weights",
        purpose="the video model together with the identity networks",
        licence="tagged Apache-2.0; based on CogVideoX-5B: own licence, register for commercial use",
        sources=(
            "https://huggingface.co/acvlab/FantasyID",
            "https://www.modelscope.cn/models/amap_cvlab/FantasyID",
        ),
        belongs="fantasyid/<release folder>/transformer",
        patterns=tuple(
            f"fantasyid/*/{folder}/*.{suffix}"
            for suffix in ("safetensors", "bin", "pt")
            for folder in ("transformer_ema", "transformer")
        )
        + ("fantasyid/*adapter*.safetensors",),
        in_release="transformer or transformer_ema",
        without="no video can be made",
    ),
    ModelFile(
        name="CogVideoX VAE",
        purpose="turns pictures into latents and latents into the video",
        licence="CogVideoX licence",
        sources=(f"{COGVIDEOX}/tree/main/vae",),
        belongs="vae/cogvideox_vae.safetensors",
        patterns=(
            "vae/*cogvideo*.safetensors",
            "vae/*cogvideo*/*.safetensors",
            "fantasyid/*/vae/*.safetensors",
        ),
        in_release="vae",
        without="no video can be made",
    ),
    ModelFile(
        name="T5-XXL text encoder",
        purpose="reads the prompt",
        licence="Apache-2.0",
        sources=(
            f"{COGVIDEOX}/tree/main/text_encoder",
            "https://huggingface.co/comfyanonymous/flux_text_encoders",
        ),
        belongs="text_encoders/t5xxl_fp16.safetensors",
        # Not "*t5*xxl*": that would take UMT5-XXL, the encoder of another video model, for it.
        patterns=tuple(
            f"{folder}/{name}"
            for folder in ("text_encoders", "clip")
            for name in ("t5*xxl*.safetensors", "*[-_]t5*xxl*.safetensors", "t5*xxl*/*.safetensors")
        )
        + ("fantasyid/*/text_encoder/*.safetensors",),
        in_release="text_encoder",
        without="prompts cannot be read",
    ),
    ModelFile(
        name="EVA02_CLIP_L_336_psz14_s6B.pt",
        purpose="sees the face: picture to features",
        licence="MIT",
        sources=("https://huggingface.co/QuanSun/EVA-CLIP",),
        belongs="clip_vision/EVA02_CLIP_L_336_psz14_s6B.pt",
        patterns=(
            "clip_vision/eva02_clip_l_336_psz14_s6b.*",
            "clip_vision/*/eva02_clip_l_336_psz14_s6b.*",
            "fantasyid/*/face_encoder/eva02_clip_l_336_psz14_s6b.*",
        ),
        in_release="face_encoder",
        without="no face can be encoded",
    ),
    ModelFile(
        name="transform.pkl",
        purpose="the levels of the FLAME mesh: which vertices belong together",
        licence="Apache-2.0",
        sources=("https://github.com/Fantasy-AMAP/fantasy-id/blob/main/assets/transform.pkl",),
        belongs="fantasyid/transform.pkl",
        patterns=(
            "fantasyid/transform.pkl",
            "fantasyid/*/transform.pkl",
            "fantasyid/*/assets/transform.pkl",
            "fantasyid/topology*.safetensors",
            "fantasyid/*/topology*.safetensors",
        ),
        in_release="transform.pkl or assets/transform.pkl",
        without="the 3D face cannot be encoded",
        size=873404,
    ),
)


def find_model_files(models_folder: str | os.PathLike | None) -> list[tuple[ModelFile, Path | None]]:
    """Every row of the table with the path at which it was found below `models_folder`, or None.

    `models_folder` None, or one that does not exist, gives a table of missing files. Upper and lower
    case are alike; only the folders that a row names are read, links are followed.
    """
    if models_folder is None:
        return [(row, None) for row in MODEL_FILES]
    return [(row, _first_match(Path(models_folder), row.patterns)) for row in MODEL_FILES]


def find_models_folder(pack: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """ComfyUI's models folder: beside custom_nodes when `pack` lies in it, else that of the host found.

    `pack` is the folder of this repository. None when there is no ComfyUI to be seen.
    """
    if pack.parent.name == "custom_nodes" and (pack.parent.parent / "models").is_dir():
        return pack.parent.parent / "models"
    host = find_comfyui(environment)
    return host / "models" if host else None


def find_comfyui(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of the real ComfyUI: COMFYUI_PATH, or comfy-cli's default when that is unset, or None."""
    host = Path(environment.get("COMFYUI_PATH") or DEFAULT_COMFYUI).expanduser()
    return host if (host / "main.py").is_file() else None


def _first_match(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    return next((path for pattern in patterns for path in _matches(folder, pattern)), None)


def _matches(folder: Path, pattern: str) -> list[Path]:
    found = [folder]
    for part in pattern.split("/"):
        found = [
            entry
            for parent in found
            if parent.is_dir()
            for entry in sorted(parent.iterdir())
            if fnmatchcase(entry.name.lower(), part)
        ]
    return [path for path in found if path.is_file()]

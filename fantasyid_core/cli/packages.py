"""Which packages each command needs, checked by name before it begins."""

from __future__ import annotations

_NETWORKS = ("torch", "numpy", "einops", "safetensors")
_PHOTOS = ("PIL", "cv2")
_DIFFUSERS = ("diffusers", "transformers")
_SHAPES = ("trimesh",)

NEEDS: dict[str, tuple[str, ...]] = {
    "generate": (*_NETWORKS, *_PHOTOS, *_DIFFUSERS, *_SHAPES, "open_clip", "timm", "av", "tqdm"),
    "reconstruct": ("torch", "torchvision", "numpy", "safetensors", *_PHOTOS, *_SHAPES),
    "reshape": ("torch", "numpy", "safetensors", "av", "tqdm", *_PHOTOS, *_SHAPES),
    "inspect": ("torch", "safetensors"),
    "convert": ("torch", "numpy", "safetensors", "tqdm"),
    "doctor": (),
    "download": ("tqdm",),
    "bench": (*_NETWORKS,),
    "demo": (*_NETWORKS, *_PHOTOS, *_DIFFUSERS, "av", "tqdm", "numba"),
    "prepare": ("torch", "numpy", "av", "pyarrow", *_PHOTOS),
    "train": (*_NETWORKS, *_DIFFUSERS, "yaml"),
    "evaluate": ("torch", "numpy", "av", *_PHOTOS),
    "compare": (
        *_NETWORKS,
        *_PHOTOS,
        *_DIFFUSERS,
        *_SHAPES,
        "open_clip",
        "timm",
        "av",
        "tqdm",
        "accelerate",
        "scipy",
    ),  # fmt: skip
}
"""Command -> modules; what only some of its options need is asked for where they are."""
OFFLOAD = {"sequential": ("accelerate",)}
"""Further modules of a way to offload."""


def needs(command: str, arguments) -> tuple[str, ...]:
    """The modules that a command needs with these arguments."""
    return (*NEEDS[command], *OFFLOAD.get(getattr(arguments, "offload", ""), ()))

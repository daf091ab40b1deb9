"""Face crop -> the ViT features that the face abstractor was trained on, and the encoder's files.

The release uses one state of EVA02-CLIP-L-14-336 (Hugging Face QuanSun/EVA-CLIP): the input of block
index 20. `load_face_encoder` reads only what that state needs, from the official file, from open_clip's
or timm's files of the same model, or from a file written by `save_face_encoder`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.writing import is_tar, write_aside
from ..modelfiles import model_file
from .eva import Eva, EvaConfig, rename_key

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

KIND = "face_encoder"
_ROW = model_file("eva_clip")
OFFICIAL_FILE = _ROW.name
ORIGIN = (
    f"Download {OFFICIAL_FILE} from {_ROW.sources[0]} ({_ROW.licence} licence) and put it into "
    f"ComfyUI as models/{_ROW.belongs}, or into the {_ROW.in_release} folder of the FantasyID release."
)
# Wrappers and prefixes under which the image tower is published, in the order they are tried.
WRAPPERS = ("model_ema", "model", "module", "state_dict")
PREFIXES = ("module.visual.trunk.", "visual.trunk.", "module.visual.", "visual.", "module.", "")
# What torch.load raises for damaged or foreign files, found by changing random bytes of good ones.
UNREADABLE = (
    *(pickle.UnpicklingError, struct.error, RuntimeError, ValueError, EOFError, LookupError),
    *(AssertionError, AttributeError, OSError, TypeError),
)
LOOKS_LIKE = (
    ("lora", "a LoRA"),
    ("visual.transformer.resblocks.", "a CLIP model without EVA"),
    ("vision_model.", "a CLIP model without EVA"),
    ("layer_attention.", "a FantasyID model"),
    ("transformer_blocks.", "a video model"),
    ("decoder.up", "a VAE"),
)


class FaceEncoder(nn.Module):
    """EVA-CLIP up to the block that FantasyID reads; `operations` as in ComfyUI (torch.nn by default)."""

    def __init__(self, config: EvaConfig | None = None, operations=nn):
        super().__init__()
        self.config = config or EvaConfig()
        self.trunk = Eva(self.config, operations)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def image_size(self) -> int:
        """Side of the square picture the tower sees, in pixels."""
        return self.config.image_size

    @property
    def width(self) -> int:
        """Channels of each token."""
        return self.config.width

    @property
    def tokens(self) -> int:
        """Number of tokens, the class token included."""
        return 1 + self.config.grid**2

    def encode(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, P, C]
        """ViT features of RGB face crops in 0..1 of any square size (official: 512), class token first.

        They have the parameters' dtype and device. Raises ValueError as `prepare_pixels` does.
        """
        weight = self.trunk.pos_embed
        return self.trunk(prepare_pixels(pixels, self.image_size, weight.dtype).to(weight.device))

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, P, C]
        return self.encode(pixels)


def prepare_pixels(pixels: Tensor, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """RGB crops in 0..1 [B, 3, S, S] -> normalised [B, 3, size, size], as the official pipeline does it.

    Bicubic with antialiasing (torchvision's tensor resize, overshoot kept), then CLIP's mean and standard
    deviation, both in float32; `dtype` is applied last. A little overshoot around 0..1 from an earlier
    resizing is accepted.

    Raises ValueError for another layout, for a picture that is not square and for values that are not 0..1.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.shape[2] != pixels.shape[3] or not pixels.numel():
        raise ValueError(
            f"Expected square RGB face crops of shape [B, 3, S, S], got {list(pixels.shape)}. "
            "Crop the face to a square and drop any alpha channel first."
        )
    if not pixels.is_floating_point():
        raise ValueError(f"Expected floats in 0..1, got {pixels.dtype}. Divide 8-bit pixels by 255.")
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= -0.1 and high <= 1.1):  # written so that NaN is refused too
        raise ValueError(
            f"Expected face crops with values in 0..1, got {low:g}..{high:g}. "
            "Divide 8-bit pixels by 255; do not normalise them before encoding."
        )
    pixels = pixels.float()
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", align_corners=False, antialias=True)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return ((pixels - mean) / std).to(dtype)


def random_face_encoder(seed: int = 0, width: int = 64, image_size: int = 56, depth: int = 2) -> FaceEncoder:
    """A small untrained encoder, the same for the same seed; the global random state is untouched."""
    encoder = _empty_encoder(EvaConfig.tiny(width, image_size, depth))
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, parameter in encoder.trunk.published_state().items():
        if parameter.ndim > 1:
            noise = torch.randn(parameter.shape, generator=generator)
            state[name] = noise * parameter[0].numel() ** -0.5
        else:
            state[name] = torch.full(parameter.shape, float("norm" in name and name.endswith("weight")))
    encoder.trunk.load_published_state(state.items())
    return encoder.eval()


def save_face_encoder(encoder: FaceEncoder, path: str | os.PathLike) -> None:
    """Writes a .safetensors file that `load_face_encoder` reads, with the architecture in its metadata.

    Raises OSError when the file cannot be written; an older file at `path` is then unchanged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    metadata = {"fantasyid": json.dumps({"kind": KIND, **asdict(encoder.config)})}
    tensors = {name: t.detach().contiguous() for name, t in encoder.trunk.published_state().items()}
    with write_aside(path) as aside:
        try:
            save_file(tensors, aside, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_face_encoder(
    path: str | os.PathLike, dtype: torch.dtype = torch.float32, config: EvaConfig | None = None
) -> FaceEncoder:
    """Reads the encoder's live part, and nothing else, from a .pt, .bin or .safetensors file.

    Pickles are read with `weights_only`, so no code in them runs. `config` describes a tower other than the
    official one in a file that does not say so itself.

    Raises FileNotFoundError (naming the source of the file) when it is absent and ValueError when it is
    damaged, is another kind of model, or lacks, adds or reshapes any parameter (the first five are named).
    """
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"Expected float32, bfloat16 or float16 as the face encoder's dtype, got {dtype}.")
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"Expected the face encoder's weights at {path}, got {found}. {ORIGIN}")
    with _open_tensors(path) as (tensors, metadata):
        config = _own_config(path, metadata) or config or EvaConfig()
        names = _tower_names(path, tensors)
        encoder = _empty_encoder(config)
        expected = encoder.trunk.published_state()
        _check_names(path, config, names, expected)
        _check_shapes(path, config, names, expected, tensors)
        encoder.trunk.load_published_state(
            (name, _take(path, tensors, names[name], dtype)) for name in expected
        )
    return encoder.to(dtype).eval()


def _empty_encoder(config: EvaConfig) -> FaceEncoder:
    """An encoder whose parameters take no memory until `load_published_state` supplies them."""
    with torch.device("meta"):
        return FaceEncoder(config)


class _SafetensorsFile(Mapping):
    """Tensors of an open .safetensors file, each read when it is asked for."""

    def __init__(self, handle):
        self.handle, self.names = handle, tuple(handle.keys())

    def __getitem__(self, name: str) -> Tensor:
        return self.handle.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@contextmanager
def _open_tensors(path: Path) -> Iterator[tuple[Mapping[str, Tensor], Mapping[str, str]]]:
    """The tensors of a file, without reading them, and its metadata."""
    if path.suffix.lower() != ".safetensors":
        yield _unpickle(path), {}
        return
    from safetensors import SafetensorError, safe_open

    try:
        handle = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(
            f"Expected an intact .safetensors file, got {path}, truncated or damaged ({error}). {ORIGIN}"
        ) from error
    with handle:
        yield _SafetensorsFile(handle), handle.metadata() or {}


def _unpickle(path: Path) -> Mapping[str, Tensor]:
    if is_tar(path):
        raise ValueError(f"Expected EVA-CLIP weights, got {path}, a tar archive. Unpack it. {ORIGIN}")
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\3\4"
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UNREADABLE as error:
        reason = _why_unreadable(str(error))
        raise ValueError(f"Expected EVA-CLIP weights, got {path}, {reason}. {ORIGIN}") from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping):
        found = type(loaded).__name__
        raise ValueError(f"Expected a file of named tensors, got {path} with a {found}. {ORIGIN}")
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def _why_unreadable(reason: str) -> str:
    if "TorchScript" in reason:
        return "which is a TorchScript program (such as OpenAI's CLIP files), not a file of weights"
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    if named:
        return f"which wants to run code when it is opened ({named[1]}); this was refused and nothing was run"
    return "which is damaged or not a weights file at all"


def _own_config(path: Path, metadata: Mapping[str, str]) -> EvaConfig | None:
    if "fantasyid" not in metadata:
        return None
    try:
        described = json.loads(metadata["fantasyid"])
        kind = described.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"Expected a description of a face encoder in {path}, got unreadable metadata. {ORIGIN}"
        ) from error
    if kind != KIND:
        raise ValueError(f"Expected a FantasyID file of kind {KIND!r}, got {path} of kind {kind!r}. {ORIGIN}")
    try:
        return EvaConfig(**described)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a description of a face encoder in {path}, got {described}: {error} {ORIGIN}"
        ) from error


def _tower_names(path: Path, tensors: Iterable[str]) -> dict[str, str]:
    """timm's name of every parameter of the image tower -> its name in the file."""
    keys = list(tensors)
    for prefix in PREFIXES:
        marks = (prefix + "cls_token", prefix + "patch_embed.proj.weight")
        if all(mark in keys for mark in marks):
            return {rename_key(key[len(prefix) :]): key for key in keys if key.startswith(prefix)}
    guesses = (f" It looks like {what}." for part, what in LOOKS_LIKE if any(part in key for key in keys))
    raise ValueError(
        "Expected the image tower of EVA02-CLIP-L-14-336 (visual.cls_token, visual.patch_embed.proj.weight, "
        f"...), got {path} with {len(keys)} tensors: {_first_five(keys)}.{next(guesses, '')} {ORIGIN}"
    )


def _check_names(path: Path, config: EvaConfig, names: Iterable[str], expected: Iterable[str]) -> None:
    missing = [name for name in expected if name not in names]
    unexpected = [name for name in names if name not in expected and not _is_unused(name, config)]
    for problem, keys in (("missing", missing), ("unexpected", unexpected)):
        if keys:
            raise ValueError(
                f"Expected the parameters of {config.name} in {path}, got {len(keys)} {problem}: "
                f"{_first_five(keys)}. It is another EVA model or an incomplete file. {ORIGIN}"
            )


def _is_unused(name: str, config: EvaConfig) -> bool:
    """True for what comes after the last block that is read, and for tables that are computed instead."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if block and int(block[1]) >= config.depth:
        return True
    return re.search(r"(^(fc_)?norm\.)|(^head\.)|(^mask_token$)|((^|\.)rope\.)", name) is not None


def _check_shapes(path: Path, config: EvaConfig, names, expected: Mapping[str, Tensor], tensors) -> None:
    wrong = []
    for name, parameter in expected.items():
        tensor = tensors[names[name]]
        if tensor.shape != parameter.shape or not tensor.is_floating_point():
            wrong.append(
                f"{names[name]} {list(tensor.shape)} {tensor.dtype} instead of {list(parameter.shape)} floats"
            )
    if wrong:
        raise ValueError(
            f"Expected the shapes of {config.name} in {path}, got {len(wrong)} wrong ones: "
            f"{_first_five(wrong)}. It is another EVA model. {ORIGIN}"
        )


def _take(path: Path, tensors: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Tensor:
    # A copy, because the tensor is a view of the file: it must survive the file being moved or replaced.
    tensor = tensors[name].to(dtype, copy=True)
    if not tensor.isfinite().all():
        raise ValueError(f"Expected finite weights in {path}, got NaN or infinite values in {name}. {ORIGIN}")
    return tensor


def _first_five(words: Iterable[str]) -> str:
    words = list(words)
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")

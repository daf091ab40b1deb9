"""Face crop -> the ViT features that the face abstractor was trained on, and the encoder's files.

The release uses one state of EVA02-CLIP-L-14-336 (Hugging Face QuanSun/EVA-CLIP): the output of block index 19, before
any final norm. EVA-02 (arXiv 2303.11331, EVA-CLIP: arXiv 2303.15389) is a pre-norm ViT with a class token, learned and
rotary positions, SwiGLU, and one more LayerNorm inside the attention and the MLP. open_clip builds it with timm's
tower, on the meta device and without the text tower; timm prunes what is not read. `load_face_encoder` reads what is
left, and nothing else, from the official file, from open_clip's or timm's files of the same model, or from a file that
`save_face_encoder` wrote.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..files.checkpoint import Checkpoint, open_file
from ..files.strict import first_five, mismatch, not_finite
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..modelfiles import model_file
from ..running.packages import pip_command
from .eva import PREFIXES, rename_key

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

KIND = "face_encoder"
_OPEN_CLIP = "EVA02-L-14-336"  # open_clip's name of the tower
_ROW = model_file("eva_clip")
OFFICIAL_FILE = _ROW.name
ORIGIN = (
    f"Download {OFFICIAL_FILE} from {_ROW.sources[0]} ({_ROW.licence} licence) and put it into "
    f"ComfyUI as models/{_ROW.belongs}, or into the {_ROW.in_release} folder of the FantasyID release."
)
LOOKS_LIKE = (
    ("lora", "a LoRA"),
    ("visual.transformer.resblocks.", "a CLIP model without EVA"),
    ("vision_model.", "a CLIP model without EVA"),
    ("layer_attention.", "a FantasyID model"),
    ("transformer_blocks.", "a video model"),
    ("decoder.up", "a VAE"),
)


@dataclass(frozen=True)
class EvaConfig:
    """The shape of the tower and what is read of it; by default what FantasyID reads of EVA02-CLIP-L-14-336.

    depth: number of blocks that exist here. rope_grid: patches per side in the pre-training, whose angles are stretched
    over the image. states: indices of the blocks whose outputs are features; () means the last block. vector: length
    of the picture's CLIP vector, which needs all blocks of the published tower; 0 leaves out norm and head.
    ConsisID reads depth=24, states=(3, 7, 11, 15, 19), vector=768.
    """

    name: str = "EVA02-CLIP-L-14-336"
    image_size: int = 336
    patch_size: int = 14
    width: int = 1024
    depth: int = 20
    heads: int = 16
    hidden: int = 2730
    rope_grid: int = 16
    states: tuple[int, ...] = ()
    vector: int = 0

    def __post_init__(self):
        numbers = self.sizes | {"depth": self.depth}
        if any(type(value) is not int or value < 1 for value in numbers.values()):
            raise ValueError(f"Expected positive whole numbers to describe the encoder, got {numbers}.")
        if self.image_size % self.patch_size or self.width % (4 * self.heads):
            raise ValueError(
                "Expected an image_size that is a multiple of patch_size and a width that is a multiple of "
                f"4 * heads, got image_size {self.image_size}, patch_size {self.patch_size}, "
                f"width {self.width}, heads {self.heads}."
            )
        object.__setattr__(self, "states", tuple(self.states) or (self.depth - 1,))
        if any(type(state) is not int or not 0 <= state < self.depth for state in self.states):
            raise ValueError(f"Expected states among the {self.depth} blocks of the encoder, got {self.states}.")
        if type(self.vector) is not int or self.vector < 0:
            raise ValueError(f"Expected the length of the CLIP vector as vector, or 0, got {self.vector}.")

    @classmethod
    def tiny(cls, width: int = 64, image_size: int = 56, depth: int = 2) -> EvaConfig:
        """A small tower with every feature of the large one, for tests and the demo."""
        heads, hidden = max(1, width // 32), width * 8 // 3
        return cls(f"tiny-{width}-{image_size}", image_size, 14, width, depth, heads, hidden)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the tower itself, without the selection of features that are read."""
        return {key: value for key, value in vars(self).items() if key not in ("name", "depth", "states", "vector")}

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch_size


class FaceEncoder(nn.Module):
    """EVA-CLIP up to the block that is read; its weights are on the meta device until they are loaded."""

    def __init__(self, config: EvaConfig | None = None):
        super().__init__()
        self.config = config or EvaConfig()
        self.trunk = _empty_trunk(self.config)

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

    def features(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The states [B, P, C] of `config.states`, class token first, and the CLIP vector [B, Cv], None without one.

        pixels: RGB face crops [B, 3, S, S] in 0..1 of any square size (official: 512). The results have the
        parameters' dtype and device. Raises ValueError as `prepare_pixels` does.
        """
        weight, with_vector = self.trunk.pos_embed, self.config.vector > 0
        found = self.trunk.forward_intermediates(
            prepare_pixels(pixels, self.image_size, weight.dtype).to(weight.device),
            indices=list(self.config.states), return_prefix_tokens=True, output_fmt="NLC",
            intermediates_only=not with_vector,
        )  # fmt: skip
        last, pairs = found if with_vector else (None, found)
        states = tuple(torch.cat([prefix, patches], dim=1) for patches, prefix in pairs)
        return states, self.trunk.forward_head(last) if with_vector else None

    def encode(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, P, C]
        """The last of the states that `features` gives."""
        return self.features(pixels)[0][-1]

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, P, C]
        return self.encode(pixels)


def _empty_trunk(config: EvaConfig) -> nn.Module:
    """timm's tower without weights, pruned to the blocks that are read; RuntimeError when a package is missing."""
    try:
        import open_clip
        import timm
        from open_clip.timm_model import TimmModel
    except ImportError as error:
        raise RuntimeError(
            f"The face encoder needs open_clip ({error}). Run: {pip_command(['open_clip_torch', 'timm'])}"
        ) from error
    described = open_clip.get_model_config(_OPEN_CLIP)
    vision = described["vision_cfg"]
    name, pool = vision["timm_model_name"], vision["timm_pool"]
    with torch.device("meta"), _NothingWritten():
        if config.sizes == EvaConfig().sizes:
            trunk = TimmModel(name, described["embed_dim"], vision["image_size"], pool, vision["timm_proj"]).trunk
        else:
            trunk = timm.create_model(name, num_classes=config.vector, global_pool=pool, **_timm_sizes(config))
    trunk.prune_intermediate_layers([config.depth - 1], prune_norm=not config.vector, prune_head=not config.vector)
    # The table of angles is computed, not loaded, so it cannot stay on the meta device.
    trunk.rope.to_empty(device="cpu").init_non_persistent_buffers()
    return trunk


class _NothingWritten(TorchFunctionMode):
    """Leaves out what timm writes into parameters without memory: it is lost, takes a second and loads a compiler."""

    WRITES = frozenset({"uniform_", "erfinv_", "mul_", "add_", "clamp_", "div_", "zero_", "fill_"})

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.WRITES:
            written = next(iter((*args, *kwargs.values())))
            if written.is_meta:
                return written
        return func(*args, **kwargs)


def _timm_sizes(config: EvaConfig) -> dict:
    return {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": (config.hidden + 0.5) / config.width,  # timm cuts the product to a whole number
        "ref_feat_shape": (config.rope_grid, config.rope_grid),
    }


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


def random_face_encoder(seed: int = 0, width: int = 64, image_size: int = 56, depth: int = 2, **read) -> FaceEncoder:
    """A small untrained encoder, the same for the same seed; the global random state is untouched.

    read: `states` and `vector` of `EvaConfig`.
    """
    encoder = FaceEncoder(replace(EvaConfig.tiny(width, image_size, depth), **read))
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, parameter in encoder.trunk.state_dict().items():
        if parameter.ndim > 1:
            noise = torch.randn(parameter.shape, generator=generator)
            state[name] = noise * parameter[0].numel() ** -0.5
        else:
            state[name] = torch.full(parameter.shape, float("norm" in name and name.endswith("weight")))
    encoder.trunk.load_state_dict(state, assign=True)
    return encoder.eval()


def save_face_encoder(encoder: FaceEncoder, path: str | os.PathLike) -> None:
    """Writes a .safetensors file that `load_face_encoder` reads, with the architecture in its metadata.

    Raises OSError when the file cannot be written; an older file at `path` is then unchanged.
    """
    metadata = {"fantasyid": json.dumps({"kind": KIND, **asdict(encoder.config)})}
    with write_aside(path) as aside:
        write_tensors(aside, encoder.trunk.state_dict(), metadata)


def load_face_encoder(
    path: str | os.PathLike, dtype: torch.dtype = torch.float32, config: EvaConfig | None = None
) -> FaceEncoder:
    """Reads the encoder's live part, and nothing else, from a .pt, .bin or .safetensors file.

    Pickles are read with `weights_only`, so no code in them runs. `config` says what is read of the tower (FantasyID's
    state without it), and describes a tower other than the official one in a file that does not say so itself.

    Raises FileNotFoundError (naming the source of the file) when it is absent and ValueError when it is
    damaged, is another kind of model, or lacks, adds or reshapes any parameter (the first five are named).
    """
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"Expected float32, bfloat16 or float16 as the face encoder's dtype, got {dtype}.")
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"Expected the face encoder's weights at {path}, got {found}. {ORIGIN}")
    try:
        checkpoint = open_file(path)
    except ValueError as error:  # it names the file and the fault
        raise ValueError(f"{error} {ORIGIN}") from error
    config = _described(path, checkpoint.metadata, config)
    encoder = FaceEncoder(config)
    encoder.trunk.load_state_dict(_tower(checkpoint, config, encoder.trunk.state_dict(), dtype), assign=True)
    return encoder.eval()


def _described(path: Path, metadata: Mapping[str, str], wanted: EvaConfig | None) -> EvaConfig:
    """The tower's sizes from the file's metadata, with the `wanted` states and vector."""
    if "fantasyid" not in metadata:
        return wanted or EvaConfig()
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
        own = EvaConfig(**described)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a description of a face encoder in {path}, got {described}: {error} {ORIGIN}"
        ) from error
    return replace(own, depth=wanted.depth, states=wanted.states, vector=wanted.vector) if wanted else own


def _tower(
    checkpoint: Checkpoint, config: EvaConfig, expected: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, Tensor]:
    """The parameters that are read, under timm's names; ValueError unless they are exactly those `expected`."""
    names = {own: key for own, key in _tower_names(checkpoint).items() if not _is_unused(own, config)}
    wrong = mismatch(
        {own: checkpoint.tensors[key] for own, key in names.items()},
        {own: tuple(parameter.shape) for own, parameter in expected.items()},
        f"parameters of {config.name}",
        lambda own: names.get(own, own),
    )
    if wrong:
        raise ValueError(f"{checkpoint.name}: {wrong}. It is another EVA model or an incomplete file. {ORIGIN}")
    tensors = {own: checkpoint.read(names[own], dtype) for own in expected}
    broken = not_finite({names[own]: tensor for own, tensor in tensors.items()}, "parameters")
    if broken:
        raise ValueError(f"{checkpoint.name}: {broken}. The file is damaged. {ORIGIN}")
    return tensors


def _tower_names(checkpoint: Checkpoint) -> dict[str, str]:
    """timm's name of every parameter of the image tower -> its name in the file."""
    keys = list(checkpoint)
    for prefix in PREFIXES:
        if {f"{prefix}cls_token", f"{prefix}patch_embed.proj.weight"} <= set(keys):
            return {rename_key(key[len(prefix) :]): key for key in keys if key.startswith(prefix)}
    guesses = (f" It looks like {what}." for part, what in LOOKS_LIKE if any(part in key for key in keys))
    raise ValueError(
        "Expected the image tower of EVA02-CLIP-L-14-336 (visual.cls_token, visual.patch_embed.proj.weight, "
        f"...), got {checkpoint.name} with {len(keys)} tensors: {first_five(keys)}.{next(guesses, '')} {ORIGIN}"
    )


def _is_unused(name: str, config: EvaConfig) -> bool:
    """True for what comes after the last thing that is read, and for tables that are computed instead."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if block and int(block[1]) >= config.depth:
        return True
    after = "" if config.vector else r"|(^norm\.)|(^head\.)"
    return re.search(rf"(^fc_norm\.)|(^mask_token$)|((^|\.)rope\.){after}", name) is not None

"""LoRA files for CogVideoX in their common naming conventions, read as layers with the ComfyUI host's names.

A LoRA adds strength * alpha / rank * up @ down to a weight (Hu et al., arXiv 2106.09685). The reader knows the names of
diffusers and PEFT (`transformer.transformer_blocks.0.attn1.to_q.lora_A.weight`, `base_model.model...`), of kohya's
scripts and CogVideoX-Fun (`lora_unet_transformer_blocks_0_attn1_to_q.lora_down.weight`), the older
`.lora.down.weight`, and the host's own. alpha comes from the file's tensors, or else from PEFT's settings beside or
inside the file. Without either, the scale is 1, as in diffusers.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..files.checkpoint import Checkpoint, open_checkpoint
from ..files.keymaps import diffusers_name
from .adapter import describe_family

DOWN, UP, ALPHA = "down", "up", "alpha"
_KEY = re.compile(
    r"(?P<module>.+?)[._](?:"
    r"(?P<down>lora_A(?:\.\w+)?\.weight|lora_A|lora_down\.weight|lora\.down\.weight|lora_linear_layer\.down\.weight)|"
    r"(?P<up>lora_B(?:\.\w+)?\.weight|lora_B|lora_up\.weight|lora\.up\.weight|lora_linear_layer\.up\.weight)|"
    r"(?P<alpha>alpha))"
)
_WRAPPER = re.compile(
    r"_*(base_model|diffusion_model|lora_unet|lora_transformer|lycoris|transformer|orig_mod|module|model|unet|dit|pipe)_+"
)
_PEFT_METADATA = "lora_adapter_metadata"  # diffusers writes PEFT's settings under this key
_FAMILIES = (
    ("query_key_value", "CogVideoX in the naming of its first training code; convert it to diffusers' naming"),
    ("double_blocks", "Flux or HunyuanVideo"),
    ("single_transformer_blocks", "Flux"),
    ("self_attn", "Wan"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("down_blocks", "Stable Diffusion"),
    ("input_blocks", "Stable Diffusion"),
    ("text_encoder", "a text encoder"),
    ("lora_te", "a text encoder"),
)

_KINDS = (
    ("lokr_", "LoKr"),
    ("hada_", "LoHa"),
    ("dora_scale", "DoRA"),
    ("magnitude_vector", "DoRA"),
    ("oft_", "OFT"),
    ("ia3_", "IA3"),
    ("vera_", "VeRA"),
    (".diff", "differences of whole weights"),
    ("bias", "changed biases"),
)
"""Part of a name -> what changes a weight in another way than a LoRA."""


@dataclass(frozen=True, eq=False)
class LoraLayer:
    """What is added to one weight: alpha / rank * up @ down."""

    module: str  # the host's name, such as blocks.0.q
    down: Tensor  # [rank, in, ...]
    up: Tensor  # [out, rank, ...]
    alpha: float | None  # None: equal to the rank


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA that fits the model, and the names in its file that this model has no use for."""

    name: str
    layers: tuple[LoraLayer, ...]
    unused: tuple[str, ...]


def read_lora(source, shapes: Mapping[str, tuple[int, ...]]) -> Lora:
    """The LoRA in a .safetensors, .bin or .pt file, or a state dict, for a model of these `shapes`.

    shapes: the host's name of every module with a weight -> its shape. Raises FileNotFoundError for a missing
    file; ValueError for damaged files, LoRAs for another model or another size of CogVideoX (both with names),
    incomplete pairs, values that are not finite, and kinds other than LoRA (DoRA, LoHa, LoKr ...).
    """
    checkpoint = open_checkpoint(source)
    name = _short_name(checkpoint)
    find = _module_finder(shapes)
    parts, unused = _sort_keys(checkpoint, find)
    _check_kinds(name, unused, find)
    if not parts:
        raise ValueError(
            f"{name} is no LoRA for this model: none of its {len(checkpoint.tensors)} names is CogVideoX's, such as "
            f"{', '.join(list(checkpoint)[:3])}; it looks like {_family(checkpoint)}. Choose a LoRA that was trained "
            "for CogVideoX."
        )
    _check_pairs(name, parts)
    _check_sizes(name, parts, checkpoint, shapes)
    alpha_of = _alpha_reader(checkpoint)
    layers = tuple(_layer(name, module, keys, checkpoint, alpha_of) for module, keys in parts.items())
    return Lora(name, layers, tuple(unused))


def _short_name(checkpoint: Checkpoint) -> str:
    return checkpoint.files[0].name if len(checkpoint.files) == 1 else checkpoint.name


def _module_finder(shapes: Mapping[str, tuple]) -> Callable[[str], str | None]:
    """A function from a module's name in a file to the host's name, with any block number; None for foreign names."""
    known = {}
    for module in shapes:
        theirs = (diffusers_name(f"{module}.weight") or f"{module}.weight").removesuffix(".weight")
        for alias in (module, theirs, theirs.removesuffix(".0")):
            known[_numberless(_flat(alias))[0]] = _numberless(module)[0]

    def find(name: str) -> str | None:
        name = _flat(name)
        while True:
            template, number = _numberless(name)
            if template in known:
                return known[template].replace("#", number)
            wrapper = _WRAPPER.match(name)
            if not wrapper:
                return None
            name = name[wrapper.end() :]

    return find


def _flat(name: str) -> str:
    """Dots and underscores made alike: kohya's names have underscores only."""
    return re.sub(r"[._]+", "_", name)


def _numberless(name: str) -> tuple[str, str]:
    """The name with the number of the block as #, and that number ("" where there is none)."""
    match = re.search(r"(?<=blocks[._])\d+(?=[._])", name)
    return (name[: match.start()] + "#" + name[match.end() :], match[0]) if match else (name, "")


def _sort_keys(checkpoint: Iterable[str], find: Callable) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Host module -> part -> key, and the keys that belong to none."""
    parts, unused = defaultdict(dict), []
    for key in checkpoint:
        match = _KEY.fullmatch(key)
        module = find(match["module"]) if match else None
        if match is None or module is None:
            unused.append(key)
            continue
        part = match.lastgroup
        if part in parts[module]:
            raise ValueError(f"{key} and {parts[module][part]} are both for {module}: expected one LoRA in the file.")
        parts[module][part] = key
    return parts, unused


def _check_kinds(name: str, unused: list[str], find: Callable) -> None:
    """Raises ValueError when a layer of this model is changed by something that is no LoRA."""
    other = [key for key in unused if any(find(key.rsplit(".", cut)[0]) for cut in (1, 2, 3) if key.count(".") >= cut)]
    if not other:
        return
    kind = next((kind for mark, kind in _KINDS if any(mark in key for key in other)), "more than a LoRA")
    weights = f"{len(other)} weight{'s' if len(other) > 1 else ''}"
    raise ValueError(
        f"{name} holds {kind} for {weights} of this model, such as {', '.join(other[:3])}, which is not "
        "supported: expected LoRA alone, lora_A and lora_B (or down and up) with alpha. Choose another file, or one "
        "that was saved as a plain LoRA."
    )


def _check_pairs(name: str, parts: Mapping[str, Mapping[str, str]]) -> None:
    single = [keys.get(DOWN) or keys.get(UP) or keys[ALPHA] for keys in parts.values() if not {DOWN, UP} <= set(keys)]
    if single:
        raise ValueError(
            f"{name} is incomplete: {len(single)} of {len(parts)} layers lack one half of lora_A and lora_B, such as "
            f"{', '.join(single[:3])}. Download it again."
        )


def _check_sizes(name: str, parts: Mapping, checkpoint: Checkpoint, shapes: Mapping[str, tuple]) -> None:
    wrong = []
    for module, keys in parts.items():
        down, up = checkpoint.tensors[keys[DOWN]].shape, checkpoint.tensors[keys[UP]].shape
        if module not in shapes:
            wrong.append(f"{keys[DOWN]} (this model has no {module})")
        elif not _fits(down, up, shapes[module]):
            wrong.append(f"{keys[DOWN]} ({list(up)} x {list(down)}, this model's weight is {list(shapes[module])})")
    if wrong:
        raise ValueError(
            f"{name} was made for another model or another size of CogVideoX: {len(wrong)} of {len(parts)} layers do "
            f"not fit, such as {', '.join(wrong[:3])}. Choose a LoRA that was trained for this model."
        )


def _fits(down: tuple, up: tuple, weight: tuple) -> bool:
    if min(len(down), len(up), len(weight)) < 2:
        return False
    fits_in = torch.Size(down[1:]).numel() == torch.Size(weight[1:]).numel()
    return fits_in and up[0] == weight[0] and torch.Size(up[1:]).numel() == down[0] > 0


def _layer(name: str, module: str, keys: Mapping[str, str], checkpoint: Checkpoint, alpha_of: Callable) -> LoraLayer:
    down, up = checkpoint.read(keys[DOWN]), checkpoint.read(keys[UP])
    alpha = checkpoint.read(keys[ALPHA]) if ALPHA in keys else torch.tensor(0.0)
    for key, value in ((keys[DOWN], down), (keys[UP], up), (keys.get(ALPHA), alpha)):
        if not value.float().isfinite().all():
            raise ValueError(f"{name} is damaged: {key} holds NaN or infinite values. Download it again.")
    if alpha.numel() != 1:
        raise ValueError(f"{name}: expected {keys[ALPHA]} as one number, got {list(alpha.shape)}.")
    return LoraLayer(module, down, up, alpha.item() if ALPHA in keys else alpha_of(module, len(down)))


def _alpha_reader(checkpoint: Checkpoint) -> Callable[[str, int], float | None]:
    """alpha of a module and rank after PEFT's settings in the file or beside it, None where there are none."""
    settings = _peft_settings(checkpoint)
    if "lora_alpha" not in settings:
        return lambda module, rank: None

    def alpha_of(module: str, rank: int) -> float:
        theirs = (diffusers_name(f"{module}.weight") or "").removesuffix(".weight")
        patterns = settings.get("alpha_pattern") or {}
        own = (value for pattern, value in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", theirs))
        alpha = float(next(own, settings["lora_alpha"]))
        return alpha * rank**0.5 if settings.get("use_rslora") else alpha

    return alpha_of


def _peft_settings(checkpoint: Checkpoint) -> dict:
    beside = [path.parent / "adapter_config.json" for path in checkpoint.files if path.stem == "adapter_model"]
    try:
        text = checkpoint.metadata.get(_PEFT_METADATA)
        text = text or next((path.read_text(encoding="utf-8-sig") for path in beside if path.is_file()), "{}")
        settings = {key.removeprefix("transformer."): value for key, value in json.loads(text).items()}
        settings = {key: value for key, value in settings.items() if value is not None}
        patterns = settings.get("alpha_pattern", {})
        for alpha in (settings.get("lora_alpha", 1), *patterns.values()):
            if not math.isfinite(float(alpha)):
                raise ValueError(f"alpha is {alpha}")
        for pattern in patterns:
            re.compile(pattern)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, re.error) as error:
        raise ValueError(
            f"{_short_name(checkpoint)}: its settings (lora_alpha and others, as PEFT writes them) cannot be read: "
            f"{error}. Download it again."
        ) from error
    return settings


def _family(checkpoint: Checkpoint) -> str:
    if not any(_KEY.fullmatch(key) for key in checkpoint):
        return describe_family(checkpoint).removeprefix("it looks like ")
    return next((f"a LoRA for {what}" for mark, what in _FAMILIES if any(mark in key for key in checkpoint)), "a LoRA")

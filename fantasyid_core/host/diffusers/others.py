"""The other networks of a release folder, from diffusers and transformers: VAE, T5, tokenizer, schedule.

Everything is read from the folder given; nothing is ever downloaded.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...sampling import alphas_cumprod

# The schedule that the sampler computes; a model with another one needs another sampler.
_SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
    "num_train_timesteps": 1000,
    "clip_sample": False,
}
_UNTRAINED_VAE = {
    "block_out_channels": (8, 8, 8, 8),  # three halvings: eight pixels per latent
    "norm_num_groups": 4,
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
    "layers_per_block": 1,
    "latent_channels": 16,
    "temporal_compression_ratio": 4,
}


def load_vae(folder: Path, dtype: torch.dtype = torch.float32):
    """AutoencoderKLCogVideoX of the release folder `folder` (in vae/).

    Raises FileNotFoundError when it is absent, ValueError when it is damaged, incomplete or another VAE.
    """
    from diffusers import AutoencoderKLCogVideoX

    place = _part(folder, "vae", "config.json")
    vae = _read(place, lambda: AutoencoderKLCogVideoX.from_pretrained(place, torch_dtype=dtype, **_COMPLETE))
    if getattr(vae.config, "invert_scale_latents", False):
        raise ValueError(
            f"{place} is the VAE of CogVideoX 1.5 (invert_scale_latents is set). FantasyID needs that of "
            "CogVideoX-5B-I2V 1.0."
        )
    return vae


def load_text_encoder(folder: Path, dtype: torch.dtype = torch.float32):
    """T5EncoderModel of the release folder `folder` (in text_encoder/); errors as `load_vae`."""
    from transformers import T5EncoderModel

    place = _part(folder, "text_encoder", "config.json")
    encoder = _read(place, lambda: T5EncoderModel.from_pretrained(place, torch_dtype=dtype, **_COMPLETE))
    return encoder.requires_grad_(False).eval()


def load_tokenizer(folder: Path):
    """Tokenizer of the release folder `folder` (in tokenizer/); errors as `load_vae`."""
    from transformers import AutoTokenizer

    place = _part(folder, "tokenizer", "tokenizer_config.json")
    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=True)
    except Exception as error:  # the tokenizers' own parsers raise bare Exception
        raise _damaged(place, error) from error


def prompt_ids(tokenizer, texts: list[str], length: int) -> Tensor:
    """Token ids [B, length] of the texts, padded; longer ones are cut with a warning that shows what is lost."""
    for text in texts:
        whole = tokenizer(text).input_ids
        if len(whole) > length:
            removed = tokenizer.decode(whole[length - 1 : -1])
            warnings.warn(
                f"The prompt has {len(whole)} tokens, the model reads {length}; this part is left out: {removed}",
                stacklevel=2,
            )
    return tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids


def stretch(crop: np.ndarray, width: int, height: int) -> Tensor:
    """np.uint8 [S,S,3] -> pixels [1,3,height,width] in -1..1: PIL's Lanczos, the sides scaled apart (official)."""
    from PIL import Image

    resized = Image.fromarray(crop).resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].float() / 255 * 2 - 1


def as_pixels(frames: np.ndarray) -> Tensor:
    """np.uint8 [T,H,W,3] -> pixels [1,3,T,H,W] in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float() / 255 * 2 - 1


def load_schedule(folder: Path) -> Tensor:
    """Alpha-bar of the 1000 training timesteps as scheduler/scheduler_config.json says; official without one.

    Raises ValueError for a schedule of another kind than CogVideoX's.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        return alphas_cumprod()
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig"))
        wrong = [
            f"{key} is {stated[key]!r} instead of {value!r}"
            for key, value in _SCHEDULE.items()
            if stated.get(key, value) != value
        ]
        numbers = [float(stated.get(key, value)) for key, value in _NUMBERS.items()]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a scheduler config ({error}). Download it again.") from error
    if wrong:
        raise ValueError(f"{path}: {'; '.join(wrong)}. Use the scheduler folder of CogVideoX-5B-I2V 1.0.")
    return alphas_cumprod(*numbers, zero_snr=bool(stated.get("rescale_betas_zero_snr", True)))


def enable_tiling(vae) -> None:
    """Lets `vae` decode in overlapping tiles of a quarter of the picture, as diffusers does for the real size.

    diffusers' overlap is a fraction of the tile; here it is whole latents, or small tiles would not add up.
    """
    vae.enable_tiling()
    for side in ("height", "width"):
        tile, name = getattr(vae, f"tile_latent_min_{side}"), f"tile_overlap_factor_{side}"
        setattr(vae, name, max(1, round(tile * getattr(vae, name))) / tile)


def stream_blocks(module, device: torch.device, streams: bool = True) -> None:
    """Keeps the weights of `module` in main memory; they visit `device` only while they compute.

    The transformer's go block by block, on a GPU the next one while the last one computes (`streams`); those of other
    networks layer by layer.
    """
    from diffusers.hooks import apply_group_offloading

    by_block = hasattr(module, "transformer_blocks")
    kind = {"offload_type": "block_level", "num_blocks_per_group": 1} if by_block else {"offload_type": "leaf_level"}
    if by_block and streams and torch.device(device).type == "cuda":
        kind |= {"use_stream": True, "record_stream": True}
    apply_group_offloading(module, onload_device=device, offload_device=torch.device("cpu"), **kind)


def hush_libraries() -> None:
    """Turns off the libraries' own progress bars and notices, for programs that have their own."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def write_untrained_vae(folder: Path, sample_height: int, sample_width: int, seed: int = 0) -> None:
    """Writes a small AutoencoderKLCogVideoX with random weights (4 x 8 x 8 compression, 16 channels)."""
    from diffusers import AutoencoderKLCogVideoX

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKLCogVideoX(**_UNTRAINED_VAE, sample_height=sample_height, sample_width=sample_width)
    vae.save_pretrained(folder)


def empty_vae(**config):
    """AutoencoderKLCogVideoX without memory for its weights, of the official sizes where `config` names no others."""
    from diffusers import AutoencoderKLCogVideoX

    with torch.device("meta"):
        return AutoencoderKLCogVideoX(**config)


def write_tokenizer(folder: Path) -> int:
    """Writes a tokenizer that reads bytes, the one T5 tokenizer that needs no vocabulary file; its number of tokens."""
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


_COMPLETE = {"local_files_only": True, "output_loading_info": True}
_NUMBERS = {"beta_start": 0.00085, "beta_end": 0.012, "snr_shift_scale": 1.0}


def _part(folder: Path, name: str, needed: str) -> Path:
    place = Path(folder) / name
    if (place / needed).is_file():
        return place
    found = f"{name}/ without {needed}" if place.is_dir() else f"no {name}/"
    raise FileNotFoundError(
        f"Expected {name}/{needed} in the release folder {folder}, got {found}. Copy the {name} folder of "
        "CogVideoX-5B-I2V (or of the FantasyID download) into it."
    )


def _read(place: Path, load: Callable):
    """What `load` returns. Raises when tensors are missing, for which the libraries would use random ones."""
    from safetensors import SafetensorError

    try:
        model, info = load()
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(place, error) from error
    wrong = [*info["missing_keys"], *(str(key) for key in info.get("mismatched_keys", ()))]
    if wrong:
        raise ValueError(
            f"{place}: {len(wrong)} tensors are missing or of the wrong shape: "
            f"{', '.join(sorted(wrong)[:5])}. Download this folder again."
        )
    return model.eval()


def _damaged(place: Path, error: Exception) -> ValueError:
    reason = (str(error) or type(error).__name__).strip().splitlines()[0]
    return ValueError(f"{place} could not be loaded ({reason}): it is damaged or incomplete. Get it again.")

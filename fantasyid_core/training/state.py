"""The content of a checkpoint: everything that a resumed run needs to equal an uninterrupted one.

    weights.safetensors     what learns, as it is          average.safetensors   the same, averaged
    optimizer.safetensors   AdamW's moments                state.json            step, config, mesh, settings of AdamW
    random-<process>.json   the global random states of torch, numpy and python

Noise, timesteps, left-out conditions, order and views of the clips follow from seed and step, so they need no state.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as distributed

from ..files.checkpoint import open_file
from ..files.tensorfile import write_tensors
from .config import TrainingConfig, config_to_dict, differences
from .ema import Average

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ..shape.topology.topology import Topology

FORMAT = 1
WEIGHTS, AVERAGE, OPTIMIZER, STATE = "weights", "average", "optimizer", "state.json"
_DEEPSPEED = "deepspeed"
# Parts that sharding and gradient checkpointing add to the names of parameters.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")
# Settings that a resumed run may change without changing the result.
_FREE = ("output", "device", "log_every", "checkpoints", "validation")


class Progress:
    """The step that comes next (0 is the first) and the micro-batch that comes next."""

    def __init__(self, step: int = 0, micro_batch: int = 0):
        self.step, self.micro_batch = step, micro_batch


def write_state(
    folder: Path,
    accelerator: Accelerator,
    denoiser: nn.Module,
    optimizer,
    average: Average,
    progress: Progress,
    about: dict,
) -> None:
    """Writes the state into `folder`. Every process has to call it; the main one writes what is common.

    about: config and mesh, see `describe_run`. Raises OSError when the disk is full.
    """
    accelerator.wait_for_everyone()  # the folder is there now
    is_main = accelerator.is_main_process
    _write_random(folder / f"random-{accelerator.process_index}.json")
    _write_weights(denoiser, folder / f"{WEIGHTS}.safetensors", is_main)
    if average.decay:
        with average.applied():
            _write_weights(denoiser, folder / f"{AVERAGE}.safetensors", is_main)
    groups = None
    if _uses_deepspeed(accelerator):
        denoiser.save_checkpoint(str(folder / _DEEPSPEED))
    else:
        tensors, groups = _optimizer_tensors(denoiser, optimizer)
        if is_main:
            write_tensors(folder / f"{OPTIMIZER}.safetensors", tensors)
    if is_main:
        content = {
            "format": FORMAT,
            "step": progress.step,
            "micro_batch": progress.micro_batch,
            "average_updates": average.updates,
            "groups": groups,
            **about,
        }
        (folder / STATE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    accelerator.wait_for_everyone()


def read_state(folder: Path, accelerator: Accelerator, denoiser: nn.Module, optimizer, average: Average) -> Progress:
    """Brings everything back as `write_state` found it; `check_resumable` comes first."""
    content = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if average.decay:
        _load_weights(denoiser, folder / f"{AVERAGE}.safetensors")
        average.copy_from(denoiser)
        average.updates = content["average_updates"]
    _load_weights(denoiser, folder / f"{WEIGHTS}.safetensors")
    if _uses_deepspeed(accelerator):
        denoiser.load_checkpoint(str(folder / _DEEPSPEED))
    else:
        _load_optimizer(denoiser, optimizer, folder / f"{OPTIMIZER}.safetensors", content["groups"])
    _read_random(folder / f"random-{accelerator.process_index}.json")
    return Progress(content["step"], content["micro_batch"])


def describe_run(config: TrainingConfig, variant: str, topology: Topology, processes: int) -> dict:
    """What must be equal for a resumed run: config, variant and mesh of the adapter, number of processes."""
    mesh = topology.faces.cpu().numpy().tobytes() + topology.template.cpu().numpy().tobytes()
    return {
        "config": config_to_dict(config),
        "variant": variant,
        "mesh": {
            "vertices": len(topology.template),
            "fingerprint": hashlib.sha256(mesh).hexdigest()[:16],
            "levels": topology.fingerprint,
        },
        "processes": processes,
    }


def check_resumable(folder: Path, about: dict) -> None:
    """Raises ValueError unless the checkpoint `folder` belongs to the run `about`, naming what differs."""
    try:
        theirs = json.loads((folder / STATE).read_text(encoding="utf-8"))
        mesh, variant, config = theirs["mesh"], theirs["variant"], theirs["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no checkpoint of a training ({error}). Give a folder step-....") from error
    if theirs.get("format") != FORMAT:
        raise ValueError(f"{folder} was written by another version (format {theirs.get('format')}, not {FORMAT}).")
    if variant != about["variant"]:
        raise ValueError(
            f"{folder} holds an adapter of variant {variant!r}, the config asks for {about['variant']!r}. Set "
            f"model.variant to {variant}, or choose another output folder and --resume none."
        )
    if "levels" not in mesh and config["model"]["kind"] == "tiny" and not config["model"]["topology"]:
        raise ValueError(
            f"{folder} was written by a version whose mesh had other coarse levels on every machine and does not say "
            "which. Go on with that version on that machine, or choose another output folder and --resume none."
        )
    if {"levels": about["mesh"]["levels"], **mesh} != about["mesh"]:
        raise ValueError(
            f"{folder} was trained with another mesh ({_named(mesh)}; this run's has {_named(about['mesh'])}). Give "
            "the same topology, or another output folder and --resume none."
        )
    keep = lambda each: {key: value for key, value in each.items() if key not in _FREE}  # noqa: E731
    changed = differences(keep(about["config"]), keep(config))
    if theirs["processes"] != about["processes"]:
        changed.append(f"processes: {about['processes']} instead of {theirs['processes']}")
    if changed:
        raise ValueError(
            f"{folder} belongs to a run with other settings: {'; '.join(changed[:5])}. Go on with the settings of the "
            "checkpoint, or choose another output folder and --resume none."
        )


def _named(mesh: dict) -> str:
    return f"{mesh['vertices']} vertices, {mesh['fingerprint']}, levels {mesh.get('levels', 'not told')}"


def learned_weights(denoiser: nn.Module) -> dict[str, Tensor]:
    """The trained weights by name, whole and on the CPU; on processes other than the main one they may be missing.

    Where nothing is spread over devices these are the weights themselves, not copies.
    """
    state = distributed.get_model_state_dict(denoiser, options=_options(ignore_frozen_params=True))
    learns = {_WRAPPERS.sub("", name) for name, value in denoiser.named_parameters() if value.requires_grad}
    return {name: value for name, value in state.items() if name in learns}  # buffers of frozen parts are there, too


def _write_weights(denoiser: nn.Module, path: Path, is_main: bool) -> None:
    weights = learned_weights(denoiser)  # every process takes part in gathering them
    if is_main:
        write_tensors(path, weights)


def _load_weights(denoiser: nn.Module, path: Path) -> None:
    result = distributed.set_model_state_dict(denoiser, _tensors_in(path), options=_options(strict=False))
    if result is not None and result.unexpected_keys:
        raise ValueError(f"{path} holds weights that this run has not: {', '.join(result.unexpected_keys[:5])}.")


def _optimizer_tensors(denoiser: nn.Module, optimizer) -> tuple[dict[str, Tensor], list]:
    state = distributed.get_optimizer_state_dict(denoiser, _bare(optimizer), options=_options())
    tensors = {
        f"{name}/{key}": value if torch.is_tensor(value) else torch.tensor(value, dtype=torch.float32)
        for name, values in state.get("state", {}).items()
        for key, value in values.items()
    }
    return tensors, state.get("param_groups")


def _load_optimizer(denoiser: nn.Module, optimizer, path: Path, groups: list) -> None:
    state: dict[str, dict[str, Tensor]] = {}
    for name, value in _tensors_in(path).items():
        parameter, key = name.rsplit("/", 1)
        state.setdefault(parameter, {})[key] = value
    content = {"state": state, "param_groups": groups}
    distributed.set_optimizer_state_dict(denoiser, _bare(optimizer), content, options=_options())
    _lay_out_as_weights(_bare(optimizer).state)


def _lay_out_as_weights(states: dict) -> None:
    """Files hold rows one after another. Kernels may lie in memory otherwise (`channels_last`), and PyTorch's fused
    AdamW takes moments and weights in the order of the memory."""
    for parameter, values in states.items():
        for key, value in values.items():
            if torch.is_tensor(value) and value.shape == parameter.shape and value.stride() != parameter.stride():
                values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _tensors_in(path: Path) -> dict[str, Tensor]:
    checkpoint = open_file(path)
    return {name: checkpoint.read(name) for name in checkpoint}


def _options(**choices) -> distributed.StateDictOptions:
    return distributed.StateDictOptions(full_state_dict=True, cpu_offload=True, **choices)


def _bare(optimizer) -> torch.optim.Optimizer:
    return getattr(optimizer, "optimizer", optimizer)


def _uses_deepspeed(accelerator: Accelerator) -> bool:
    return accelerator.distributed_type.value == "DEEPSPEED"


def _write_random(path: Path) -> None:
    kind, keys, *rest = np.random.get_state()
    content = {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), *rest],
        "torch": _to_text(torch.get_rng_state()),
        "cuda": [_to_text(state) for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }
    path.write_text(json.dumps(content), encoding="utf-8")


def _read_random(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    version, words, gauss = content["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = content["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(_from_text(content["torch"]))
    if content["cuda"] and len(content["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_from_text(state) for state in content["cuda"]])


def _to_text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _from_text(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)

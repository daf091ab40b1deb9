"""The device that a user names."""

from __future__ import annotations

import torch

EXAMPLES = "cpu, cuda, cuda:1 or mps"


def named_device(name: str | None) -> torch.device:
    """The device of this name, tried out; CUDA where there is one, else the CPU, without a name.

    Raises ValueError for a word that is no device, and for a device that this machine has not.
    """
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:  # its text lists devices that nobody has
        raise ValueError(
            f"Expected a device such as {EXAMPLES}, got {name!r}. Leave --device out to choose."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"Expected a device of this machine, got {name}: PyTorch finds no CUDA. Use cpu.")
    try:
        works = device.type != "meta" and torch.zeros(1, device=device).item() == 0
    except (RuntimeError, AssertionError, NotImplementedError):
        works = False
    if not works:
        raise ValueError(
            f"Expected a device of this machine, such as {EXAMPLES}, got {name}, which PyTorch cannot use here."
        )
    return device

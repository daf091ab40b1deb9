"""What all face detectors that are networks share: their packages and their files."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ...modelfiles import origin


def missing_packages(names: tuple[str, ...]) -> list[str]:
    """Those of the packages that are not installed; nothing is imported."""
    missing = []
    for name in names:
        try:
            if find_spec(name) is None:
                missing.append(name)
        except ValueError:  # a module that was blocked or replaced by hand has no spec
            missing.append(name)
    return missing


def import_installed(module: str, package: str):
    """A module of an installed package; RuntimeError with the pip command when it cannot be imported."""
    try:
        return import_module(module)
    except Exception as error:  # compiled parts and clashing versions fail in too many ways to name
        raise RuntimeError(
            f"{package} is installed but {module} cannot be imported ({first_line(error)}). Run `pip install "
            f"--upgrade --force-reinstall {package}` in the environment of this program."
        ) from error


def load_weights(network, path: Path, key: str, prefix: str = ""):
    """Puts the state dict in a PyTorch file into `network`; `prefix` is taken off the names that have it.

    Pickled code is not executed. Returns the network in evaluation mode, without gradients. Raises ValueError
    for a damaged file and for one of another network.
    """
    from torch import Tensor

    from ...files.checkpoint import load_pickle

    try:
        content = load_pickle(path)
    except ValueError as error:
        raise ValueError(f"{error} For this detector, {origin(key)}.") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(
            f"{path} holds {type(content).__name__}: expected the weights of a face detector, tensors by name. "
            f"It is another file: {origin(key)}."
        )
    state = {str(name).removeprefix(prefix): tensor.float() for name, tensor in content.items()}
    _check_names(state, network.state_dict(), path, key)
    network.load_state_dict(state, strict=False)  # the names were checked, apart from counters
    return network.eval().requires_grad_(False)


def _check_names(state: dict, expected: dict, path: Path, key: str) -> None:
    # Batch norms count their batches while training; files of before PyTorch 0.4.1 have no such counters.
    names = {name for name in expected if not name.endswith("num_batches_tracked")}
    missing, unknown = sorted(names - set(state)), sorted(set(state) - set(expected))
    if missing or unknown:
        first = [", ".join(some[:5]) or "none" for some in (missing, unknown)]
        raise ValueError(
            f"{path} is the file of another network: of {len(names)} expected tensors {len(missing)} are missing "
            f"({first[0]}), and {len(unknown)} are unknown ({first[1]}). For this detector, {origin(key)}."
        )
    for name in sorted(names):
        tensor = expected[name]
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{path} is the file of another network: expected {name} of shape {list(tensor.shape)}, got "
                f"{list(state[name].shape)}. For this detector, {origin(key)}."
            )


def first_line(error: Exception) -> str:
    """What an error says, in at most 200 characters of its first line."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

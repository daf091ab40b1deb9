"""Shared parts of the face detectors that are networks: checking packages and loading weights."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ...modelfiles import origin
from ...running.packages import REINSTALL, pip_command

_COUNTER = "num_batches_tracked"


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
            f"{package} is installed but {module} cannot be imported ({first_line(error)}). Run: "
            f"{pip_command([package], REINSTALL)}"
        ) from error


def load_weights(network, path: Path, key: str, prefix: str = ""):
    """Puts the state dict in a PyTorch file into `network`; `prefix` is taken off the names that have it.

    Pickled code is not executed. Returns the network in evaluation mode, without gradients. Raises ValueError
    for a damaged file and for one of another network.
    """
    from ...files.checkpoint import open_file
    from ...files.strict import mismatch

    try:
        checkpoint = open_file(path)
    except ValueError as error:
        raise ValueError(f"{error} For this detector, {origin(key)}.") from error
    state = {name.removeprefix(prefix): checkpoint.read(name) for name in checkpoint}
    # Batch norms count their batches while training; files of before PyTorch 0.4.1 have no such counters.
    weights = {name: value.float() for name, value in state.items() if not name.endswith(_COUNTER)}
    own = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.endswith(_COUNTER)}
    wrong = mismatch(weights, own)
    if wrong:
        raise ValueError(f"{path} is the file of another network: {wrong}. For this detector, {origin(key)}.")
    network.load_state_dict(weights, strict=False)  # the names were checked, apart from counters
    return network.eval().requires_grad_(False)


def first_line(error: Exception) -> str:
    """The first line of an error's text, at most 200 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

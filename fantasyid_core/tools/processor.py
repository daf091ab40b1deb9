"""The processor's name and the libraries' versions: every time and every ratio of times is quoted with them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = "diffusers", "accelerate", "transformers"


def processor_name() -> str:
    """What the system calls its processor, such as "AMD EPYC"; its architecture where the system does not tell."""
    named = {"Linux": _linux, "Darwin": _macos}.get(platform.system(), platform.processor)()
    return " ".join(named.split()) or platform.machine()


def describe_machine(device) -> dict[str, object]:
    """The machine that figures are measured on: `device` (torch's) by name, processors, threads, versions."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {
        "device": name, "processors": os.cpu_count(), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "system": platform.system(), **libraries(),
    }  # fmt: skip


def machine_line(machine: dict) -> str:
    """`describe_machine` as part of a sentence."""
    versions = ", ".join(f"{name} {machine[name]}" for name in ("torch", *LIBRARIES))
    return f"{machine['device']}, {machine['threads']} of {machine['processors']} processors, {versions}"


def libraries() -> dict[str, str]:
    """Name -> version of the libraries that compute, beside PyTorch."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _linux(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        found = re.search(r"(?m)^model name\s*:(.*)$", cpuinfo.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def _macos() -> str:
    try:
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""

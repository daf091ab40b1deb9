"""Fixtures of the tests that need the real ComfyUI; they say why when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy_process import ROOT, ComfyProcess

from fantasyid_core.modelfiles import DEFAULT_COMFYUI, find_comfyui


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The folder of the real ComfyUI."""
    folder = find_comfyui()
    if folder is None:
        pytest.skip(f"ComfyUI is not at COMFYUI_PATH (default {DEFAULT_COMFYUI}): the real host is NOT tested")
    return folder


@pytest.fixture(scope="session")
def host(comfyui: Path, tmp_path_factory) -> ComfyProcess:
    """ComfyUI in this process, on the CPU, with its folders below a temporary one. The pack is not loaded yet.

    `host.load_pack()`; `host.run(api_prompt)` -> outputs or NodeError with the node's words; `host.models_dir`,
    `host.input_dir`, `host.output_dir`; `host.events`.
    """
    return ComfyProcess(comfyui, tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="session")
def pack(host: ComfyProcess):
    """The pack as the host has imported it (its `fantasyid_core` is another import than the tests' own)."""
    return host.load_pack(ROOT)

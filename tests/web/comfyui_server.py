"""The real ComfyUI as a server of its own, with this pack in it, for a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chromium import ROOT

from fantasyid_core.running.server import server_process

FLAGS = "--cpu --disable-api-nodes --disable-auto-launch --database-url sqlite:///:memory: --listen 127.0.0.1".split()
PARTS = "__init__.py fantasyid_core locales nodes people subgraphs web workflows".split()  # not tests and venv
PATIENCE = 300  # seconds until it answers; 7 to 20 are usual, on a busy machine minutes
SETTINGS = {  # what would cover or move a node, or ask questions
    "Comfy.TutorialCompleted": True,
    "Comfy.OnboardingCoachmarks.Seen": ["appMode"],
    "Comfy.Workflow.Persist": False,
    "Comfy.Appearance.DisableAnimations": True,
    "Comfy.EnableTooltips": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Window.UnloadConfirmation": False,
}


class Comfy:
    """A running server: its address, its folders, and its settings."""

    def __init__(self, base: Path, address: str):
        self.base, self.address = base, address

    def set(self, name: str, value: object) -> None:
        """Changes a setting; pages read it when they open."""
        request = urllib.request.Request(
            f"{self.address}/settings/{name}", json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def comfyui_server(comfyui: Path, base: Path) -> Iterator[Comfy]:
    """Starts ComfyUI with its folders below `base`, with this pack alone. RuntimeError with its log if it does not."""
    _prepare(base)
    port, log = _free_port(), base / "server.log"
    command = [sys.executable, "main.py", *FLAGS, "--base-directory", str(base), "--port", str(port)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    comfy = Comfy(base, f"http://127.0.0.1:{port}")
    with server_process(command, comfyui, log, environment) as process:
        _await(process, comfy.address, log)
        yield comfy


def _prepare(base: Path) -> None:
    user = base / "user" / "default"
    for folder in ("custom_nodes", "input", "output", "temp", "models", user / "workflows", user / "subgraphs"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    (user / "user.css").touch()
    (user / "comfy.templates.json").write_text("[]")
    (user / "comfy.settings.json").write_text(json.dumps(SETTINGS))
    pack = base / "custom_nodes" / "fantasyid"
    pack.mkdir()
    for name in PARTS:
        (pack / name).symlink_to(ROOT / name)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _await(process: subprocess.Popen, address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/system_stats", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"ComfyUI did not start within {PATIENCE} s. Its log ends:\n{log.read_text()[-3000:]}")


def give_input(comfy: Comfy, source: Path, name: str) -> None:
    """Puts a file into the server's input folder."""
    shutil.copyfile(source, comfy.base / "input" / name)

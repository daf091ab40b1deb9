"""Load Model in the real ComfyUI, started as a server of its own with this pack, measured from outside."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..running.server import server_process
from .full_size_points import GONE, SAMPLING, Recorder

_PACK = Path(__file__).resolve().parents[2]
_PARTS = "__init__.py fantasyid_core locales nodes people subgraphs web workflows".split()
_FLAGS = "--cpu --disable-api-nodes --disable-auto-launch --database-url sqlite:///:memory: --listen 127.0.0.1".split()
_NEAR = 32 * 2**20  # bytes
_PATIENCE = 600  # seconds for the server to answer, and for the node to load
_PROMPT = {
    "1": {"class_type": "FantasyID_LoadModel", "inputs": {"dtype": "default (file's own)"}},
    "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
}


def measure(comfyui: Path, folder: Path, base: Path) -> dict:
    """Points, and the largest resident memory, of a server below `base` that loads the model of `folder`."""
    with _server(comfyui, folder, base) as (address, pid), Recorder(pid, _say) as recorder:
        recorder.point("server")
        _load(address, folder.name)
        recorder.point("Load Model")
        recorder.point(SAMPLING)
        _post(address, "free", {"unload_models": True, "free_memory": True})
        _until(lambda: recorder.use().private < recorder.points[0].private + _NEAR, 30)  # it does so in its own time
        recorder.point(f"{GONE}model and adapter")
        return {"points": recorder.points, "most": recorder.use().most}


def _say(name: str) -> None:
    print(f"{name} ...", file=sys.stderr, flush=True)


def _load(address: str, model: str) -> None:
    """Runs Load Model; RuntimeError with ComfyUI's words when it fails."""
    prompt = {**_PROMPT, "1": {**_PROMPT["1"], "inputs": {**_PROMPT["1"]["inputs"], "model": model}}}
    number = _post(address, "prompt", {"prompt": prompt})["prompt_id"]
    _until(lambda: number in _get(address, f"history/{number}"), _PATIENCE)
    status = _get(address, f"history/{number}").get(number, {}).get("status", {})
    if status.get("status_str") != "success":
        raise RuntimeError(f"Expected ComfyUI to load {model}, got {json.dumps(status)[:2000]}. See the log beside it.")


@contextmanager
def _server(comfyui: Path, folder: Path, base: Path) -> Iterator[tuple[str, int]]:
    """A running ComfyUI with this pack and the model: its address and process."""
    for name in ("custom_nodes", "input", "output", "temp", "user", "models/fantasyid"):
        (base / name).mkdir(parents=True, exist_ok=True)
    pack = base / "custom_nodes" / "fantasyid"
    pack.mkdir(exist_ok=True)
    links = {pack / name: _PACK / name for name in _PARTS}
    links[base / "models" / "fantasyid" / folder.name] = folder.resolve()
    for place, target in links.items():
        place.unlink(missing_ok=True)
        place.symlink_to(target)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "main.py", *_FLAGS, "--base-directory", str(base), "--port", str(port)]
    log, address = base / "server.log", f"http://127.0.0.1:{port}"
    with server_process(command, comfyui, log, {**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        if not _until(lambda: process.poll() is not None or _answers(address), _PATIENCE) or process.poll() is not None:
            raise RuntimeError(f"Expected ComfyUI to start, got none. Its log ends:\n{log.read_text()[-2000:]}")
        yield address, process.pid


def _until(done, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.3)
    return False


def _answers(address: str) -> bool:
    try:
        return bool(_get(address, "system_stats"))
    except (urllib.error.URLError, OSError):
        return False


def _get(address: str, path: str) -> dict:
    with urllib.request.urlopen(f"{address}/{path}", timeout=20) as answer:
        return json.load(answer)


def _post(address: str, path: str, content: dict) -> dict:
    request = urllib.request.Request(
        f"{address}/{path}", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"Expected ComfyUI to take {path}, got {error.read().decode()[:2000]}.") from error

"""The real ComfyUI inside the test process: no socket, no server, the host's own validation and execution.

ComfyUI keeps its state in modules, so there is one `ComfyProcess` per test run. Its folders lie below a
temporary base directory. Its top-level modules have common names (`nodes`, `server`, ...), therefore the
host's folder must come first while they are imported.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import sys
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of comfy_extras; loading all of them takes seconds.
EXTRA_NODES = ("nodes_video", "nodes_images", "nodes_preview_any", "nodes_image_compare")


class NodeError(RuntimeError):
    """A prompt was refused or a node failed; the text is what the host shows to the user."""


class Interrupted(RuntimeError):
    """The host stopped the prompt because somebody asked for it."""


class ComfyProcess:
    """ComfyUI, started once; `load_pack`, then `run` prompts in API form."""

    def __init__(self, comfyui: Path, base: Path):
        self.base = base
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (base / name).mkdir(parents=True, exist_ok=True)
        self.models_dir = base / "models"
        self.input_dir = base / "input"
        self.output_dir = base / "output"
        self.events: list[tuple[str, object]] = []
        self.on_progress: Callable[[int, int, object], None] | None = None
        self._pack: object | None = None
        self._start(comfyui)

    def load_pack(self, folder: Path = ROOT):
        """Loads the pack as the host does and returns its module; RuntimeError with the host's words if it fails."""
        if self._pack is None:
            self._load(folder, "custom_nodes")
            self._pack = sys.modules[str(folder).replace(".", "_x_")]
        return self._pack

    @property
    def node_classes(self) -> dict[str, type]:
        """Node id -> class, of everything that is loaded."""
        return self._nodes.NODE_CLASS_MAPPINGS

    def object_info(self, node_id: str) -> dict:
        """What the frontend reads about a node."""
        kind = self.node_classes[node_id]
        if hasattr(kind, "GET_NODE_INFO_V1"):
            return kind.GET_NODE_INFO_V1()
        return {"input": kind.INPUT_TYPES()}

    def run(self, prompt: dict, cached: bool = False) -> dict:
        """Validates and executes `prompt`; node id -> its ui output. `cached` keeps the outputs of the last run.

        Raises NodeError with the messages of all failing inputs, or with the exception of the failing node,
        and Interrupted. `events` holds everything that was sent to the browser.
        """
        self.events.clear()
        prompt = copy.deepcopy(prompt)  # the host writes what it found out into it
        prompt_id = str(uuid.uuid4())
        valid, error, outputs, node_errors = asyncio.run(self._execution.validate_prompt(prompt_id, prompt, None))
        if not valid or node_errors:
            # The host runs the outputs that remain; a test wants to know.
            raise NodeError(_describe(error, node_errors))
        if not cached or self._executor is None:
            self._executor = self._new_executor()
        self._executor.execute(prompt, prompt_id, {"client_id": "test"}, outputs)
        for event, data in self._executor.status_messages:
            if event == "execution_error":
                raise NodeError(f"{data['node_type']}: {data['exception_message'].strip()}")
            if event == "execution_interrupted":
                raise Interrupted(f"stopped at node {data['node_id']}")
        return self._executor.history_result["outputs"]

    def validate(self, prompt: dict) -> str:
        """What the host says about `prompt` before running it, "" when it is valid."""
        _, error, _, node_errors = asyncio.run(self._execution.validate_prompt(str(uuid.uuid4()), prompt, None))
        return _describe(error, node_errors)

    def forget_models(self) -> None:
        """Unloads every model and drops cached outputs, as the host's Unload and Free buttons do."""
        import comfy.model_management

        self._executor = None
        comfy.model_management.unload_all_models()

    def _start(self, comfyui: Path) -> None:
        arguments = ["main.py", "--cpu", "--base-directory", str(self.base), "--disable-api-nodes"]
        with _first_on_path(comfyui), _arguments([*arguments, "--database-url", "sqlite:///:memory:"]):
            import comfy.options

            comfy.options.enable_args_parsing()
            import comfy.utils
            import execution
            import server

            import nodes
        self._execution, self._nodes = execution, nodes
        self._comfyui = comfyui
        self._server = server.PromptServer(asyncio.new_event_loop())
        self._server.client_id = None
        self._server.send_sync = lambda event, data, sid=None: self.events.append((event, data))
        comfy.utils.set_progress_bar_global_hook(self._progress)
        comfy.utils.PROGRESS_THROTTLE_MIN_INTERVAL = 0  # small models are faster than the host's ten reports a second
        asyncio.run(nodes.init_public_apis())
        for name in EXTRA_NODES:
            self._load(comfyui / "comfy_extras" / f"{name}.py", "comfy_extras")
        self._executor = None

    def _new_executor(self):
        execution = self._execution
        sizes = {"lru": 0, "ram": 0, "ram_inactive": 0}
        return execution.PromptExecutor(self._server, cache_type=execution.CacheType.CLASSIC, cache_args=sizes)

    def _load(self, path: Path, parent: str) -> None:
        with _log_records() as records:
            loaded = asyncio.run(self._nodes.load_custom_node(str(path), module_parent=parent))
        if not loaded:
            raise RuntimeError(f"ComfyUI could not load {path}:\n" + "\n".join(records))

    def _progress(self, value, total, preview=None, prompt_id=None, node_id=None) -> None:
        import comfy.model_management

        comfy.model_management.throw_exception_if_processing_interrupted()  # as the host's own hook does
        self.events.append(("progress", {"value": value, "max": total, "preview": preview}))
        if self.on_progress is not None:
            self.on_progress(value, total, preview)


def _describe(error: dict | None, node_errors: dict) -> str:
    lines = [f"{error['message']} {error.get('details', '')}".strip()] if error else []
    for node in node_errors.values():
        lines += [f"{node['class_type']}: {e['message']}: {e['details']}" for e in node["errors"]]
    return "\n".join(lines)


@contextmanager
def _first_on_path(folder: Path):
    sys.path.insert(0, str(folder))
    foreign = [name for name in ("nodes", "server", "execution") if not _lies_in(sys.modules.get(name), folder)]
    for name in foreign:
        sys.modules.pop(name, None)
    yield
    # It stays on the path, behind the project's own folders: the host imports lazily.
    sys.path.remove(str(folder))
    sys.path.append(str(folder))


def _lies_in(module, folder: Path) -> bool:
    return module is not None and Path(getattr(module, "__file__", None) or "/").is_relative_to(folder)


@contextmanager
def _arguments(values: list[str]):
    before, sys.argv = sys.argv, values
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _log_records():
    records: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(handler)

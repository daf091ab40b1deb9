"""As much of ComfyUI as the pack needs to be imported: what it declares is recorded, not interpreted.

With it the pack's declarations are tested on machines without ComfyUI; tests/host uses the real one.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
NAME = "fantasyid_pack_under_stub"


class Slot(SimpleNamespace):
    """An input or output as declared."""


class IoType:
    """io.Image, io.Int, io.Custom("X"): makes slots."""

    def __init__(self, name: str):
        self.name = name

    def Input(self, id, **options):
        return Slot(id=id, kind=self.name, optional=options.pop("optional", False), options=options)

    def Output(self, **options):
        return Slot(kind=self.name, options=options)


class Io(ModuleType):
    """comfy_api.latest.io"""

    ComfyNode = type("ComfyNode", (), {"hidden": None})
    Hidden = SimpleNamespace(unique_id="UNIQUE_ID")
    NumberDisplay = SimpleNamespace(slider="slider")
    Schema = type("Schema", (SimpleNamespace,), {})
    Custom = IoType
    NodeOutput = staticmethod(lambda *result, ui=None: SimpleNamespace(result=result, ui=ui))

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return IoType(name.upper())


def stub_folder_paths(base: Path) -> ModuleType:
    """folder_paths with models, input and output below `base`, following the host's rules (folder_paths.py)."""
    stub = ModuleType("folder_paths")
    stub.models_dir = str(base / "models")
    stub.folder_names_and_paths = {
        name: ([str(base / "models" / name)], {".safetensors", ".pt"}) for name in ("clip_vision", "loras")
    }

    def add_model_folder_path(name, path):
        paths, _ = stub.folder_names_and_paths.setdefault(name, ([], set()))
        if path not in paths:
            paths.append(path)

    def get_filename_list(name):
        folders, suffixes = stub.folder_names_and_paths[name]
        return sorted(path.name for folder in folders for path in Path(folder).glob("*") if path.suffix in suffixes)

    def get_save_image_path(prefix, folder):
        target = Path(folder) / Path(prefix).parent
        target.mkdir(parents=True, exist_ok=True)
        return str(target), Path(prefix).name, 1, str(Path(prefix).parent), prefix

    stub.add_model_folder_path = add_model_folder_path
    stub.get_filename_list = get_filename_list
    stub.get_save_image_path = get_save_image_path
    stub.get_folder_paths = lambda name: list(stub.folder_names_and_paths[name][0])
    stub.get_input_directory = lambda: str(base / "input")
    stub.get_output_directory = lambda: str(base / "output")
    places = {"input": base / "input", "output": base / "output"}

    def annotated_filepath(name):
        bare, _, place = name.removesuffix("]").rpartition(" [")
        return (bare, str(places[place])) if name.endswith("]") and place in places else (name, None)

    stub.annotated_filepath = annotated_filepath
    return stub


@contextmanager
def imported_pack(base: Path):
    """The pack's root module, imported beside stubs that stand for the host while it is."""
    io = Io("io")
    latest = ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = io, type("ComfyExtension", (), {})
    latest.ui = ModuleType("ui")
    stubs = {"comfy_api": ModuleType("comfy_api"), "comfy_api.latest": latest, "folder_paths": stub_folder_paths(base)}
    hidden = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    try:
        spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
        module.extension = asyncio.run(module.comfy_entrypoint())
        yield module
    finally:
        for name in [name for name in sys.modules if name == NAME or name.startswith(NAME + ".")]:
            del sys.modules[name]
        for name, real in hidden.items():
            sys.modules.pop(name, None)
            if real is not None:
                sys.modules[name] = real

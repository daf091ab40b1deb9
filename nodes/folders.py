"""Where files come from and go to: the host's model folders, its input folder, its output folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import folder_paths

MODELS = "fantasyid"
CLIP_VISION = "clip_vision"
LORAS = "loras"
TINY = "FantasyID-Tiny"  # the small model that comes along
IDENTITY_FORMAT = "fantasyid_identity"  # in the files that fantasyid_core.identity.identityfile writes
WEIGHTS = {".safetensors", ".sft", ".bin", ".pt"}
CONVERTED_TRANSFORMER, CONVERTED_ADAPTER = "*_dit_*.safetensors", "*_adapter_*.safetensors"
SHAPES = (".ply", ".obj", ".glb", ".stl", ".npy", ".npz")
AUTO = "auto"
SHARED_MODELS = ("insightface", "facedetection")  # registered by packs that use the same face detectors
FACE_MODELS = {"deca": {".tar", ".pt", ".pth"}, "flame": {".pkl", ".npz"}}
SHAPE_FOLDERS = ("", "3d")  # of the input folder; the host uploads 3D files into the second one


def register() -> None:
    """Tells the host about models/fantasyid, after whatever extra_model_paths.yaml already says."""
    folder_paths.add_model_folder_path(MODELS, os.path.join(folder_paths.models_dir, MODELS))
    # An empty set would offer every file, and a list from extra_model_paths.yaml comes with one.
    folder_paths.folder_names_and_paths[MODELS][1].update({*WEIGHTS, ".pkl"})


def model_roots() -> list[str]:
    """The folders that are registered for FantasyID; also searched for the mesh topology."""
    return folder_paths.get_folder_paths(MODELS)


def models_dirs() -> tuple[str, ...]:
    """The host's models folder and those that hold registered folders, for files found by their name."""
    known = folder_paths.folder_names_and_paths
    roots = (root for name in (MODELS, *SHARED_MODELS) if name in known for root in known[name][0])
    return tuple(dict.fromkeys([folder_paths.models_dir, *(str(Path(root).parent) for root in roots)]))


def topology_folders() -> list[str]:
    """Folders that may hold the mesh topology: the registered ones, and the release folders in them."""
    releases = (str(path) for root in model_roots() for path in _entries(Path(root)) if path.is_dir())
    return [*model_roots(), *releases]


def list_face_models(key: str) -> list[str]:
    """auto, and the files that may be DECA ("deca") or FLAME ("flame") in the folders for FantasyID."""
    found = {
        _relative(path, root)
        for root in model_roots()
        for path in Path(root).rglob("*")
        if path.suffix.lower() in FACE_MODELS[key] and key in path.as_posix().lower() + _flame_mark(path)
    }
    return [AUTO, *sorted(found)]


def find_face_model(name: str, key: str) -> Path | None:
    """The file `name` of `list_face_models`, for auto the one that is found by its name, or None."""
    from ..fantasyid_core.modelfiles import find_model_file

    if name != AUTO:
        return _find(name, model_roots(), key.upper())
    others = (_find(other, model_roots(), key.upper()) for other in list_face_models(key)[1:])
    return find_model_file(key, models_dirs()) or next(others, None)


def face_models_problem(deca: str | None, flame: str | None, method: str | None) -> str | bool:
    """True when the files that are asked for by name, or by the method deca, are there, else what to tell the user."""
    from ..fantasyid_core.modelfiles import missing_file
    from ..fantasyid_core.options import DECA, RECONSTRUCTIONS

    if method is not None and method not in RECONSTRUCTIONS:
        return f"Expected a method out of {', '.join(RECONSTRUCTIONS)}, got {method!r}. Choose one of them."
    if method != DECA:
        # Another method looks at these files only where they are named.
        deca, flame = (None if name == AUTO else name for name in (deca, flame))
    for name, key in ((deca, "deca"), (flame, "flame")):
        answer = problem(lambda name, key=key: find_face_model(name, key) or None, name)
        if answer is not True:
            return answer or missing_file(key)
    return True


def face_models_fingerprint(deca: str, flame: str) -> str:
    """Changes when one of the two files changes on disk."""
    from ..fantasyid_core.shape.topology.topology import find_topology

    mesh = find_topology(topology_folders())
    return repr([face_model_fingerprint(deca, "deca"), face_model_fingerprint(flame, "flame"), str(mesh)])


def face_model_fingerprint(name: str, key: str) -> str:
    """Changes when the file that `find_face_model` finds changes on disk."""
    path = find_face_model(name, key)
    return repr((str(path), path.stat().st_size, path.stat().st_mtime_ns)) if path else ""


def list_models() -> list[str]:
    """Release folders, and single weight files outside of them, relative to their registered folder; FantasyID-Tiny."""
    return [*sorted({_relative(path, root) for root in model_roots() for path in _models_in(Path(root))}), TINY]


def list_adapters() -> list[str]:
    """Safetensors files that may be adapters: those in no release folder, and what `convert` wrote."""
    loose = {name for name in list_models() if name.endswith(".safetensors")}
    converted = {_relative(path, root) for root in model_roots() for path in Path(root).rglob(CONVERTED_ADAPTER)}
    return sorted(loose | converted)


def list_face_encoders() -> list[str]:
    """Files in models/clip_vision, and in the face_encoder folder of every release folder."""
    in_release = (
        _relative(path, root)
        for root in model_roots()
        for path in sorted(Path(root).glob("*/face_encoder/*"))
        if path.suffix in WEIGHTS
    )
    return [*folder_paths.get_filename_list(CLIP_VISION), *dict.fromkeys(in_release)]


def list_shapes() -> list[str]:
    """3D files in the host's input folder."""
    root = Path(folder_paths.get_input_directory())
    found = (path for name in SHAPE_FOLDERS for path in _entries(root / name) if path.suffix.lower() in SHAPES)
    return sorted(_relative(path, root) for path in found if path.is_file())


def list_identities() -> list[str]:
    """What Save Identity wrote, in the input folder and, with " [output]" after its name, in the output folder."""
    places = ((folder_paths.get_input_directory(), ""), (folder_paths.get_output_directory(), " [output]"))
    return [
        _relative(path, folder) + mark
        for folder, mark in places
        for path in sorted(Path(folder).rglob("*.safetensors"))
        if _is_identity(path)
    ]


def find_identity(name: str) -> Path:
    """The identity file `name` of `list_identities`; ValueError when it is gone."""
    if not folder_paths.exists_annotated_filepath(name):
        raise ValueError(
            f"Expected a person saved by Save Identity, but there is no {name!r}. Put the file into "
            f"{folder_paths.get_input_directory()} and choose it."
        )
    return Path(folder_paths.get_annotated_filepath(name))


def list_loras() -> list[str]:
    """Files in the host's folders for LoRAs."""
    return folder_paths.get_filename_list(LORAS)


def find_lora(name: str) -> Path:
    """The file `name` of `list_loras`; ValueError when it is gone."""
    return _find(name, folder_paths.get_folder_paths(LORAS), "LoRA")


def find_model(name: str) -> Path:
    """The file or folder `name` of `list_models`; ValueError when it is gone."""
    if name == TINY:
        return tiny_folder()
    return _find(name, model_roots(), "model")


def tiny_folder() -> Path:
    """Where FantasyID-Tiny lies in this pack."""
    return Path(__file__).parents[1] / "fantasyid_core" / "tinymodel" / "weights"


def find_face_encoder(name: str) -> Path:
    """The file `name` of `list_face_encoders`; ValueError when it is gone."""
    return _find(name, [*folder_paths.get_folder_paths(CLIP_VISION), *model_roots()], "face encoder")


def find_shape(name: str) -> Path:
    """The 3D file `name`, also in the form "name [output]"; ValueError when it is not there."""
    if not folder_paths.exists_annotated_filepath(name):
        raise ValueError(
            f"Expected a 3D face in ComfyUI's input folder, but there is no {name!r}. Put a "
            f"{', '.join(SHAPES)} file into {folder_paths.get_input_directory()} and choose it."
        )
    return Path(folder_paths.get_annotated_filepath(name))


def problem(find, name: str | None) -> str | bool:
    """True when `find(name)` succeeds (or the name comes from another node), else what to tell the user."""
    try:
        return True if name is None else bool(find(name))
    except ValueError as error:
        return str(error)


def fingerprint(find, name: str) -> str:
    """Changes when the file, or a file in the folder, that `name` stands for changes on disk."""
    try:
        path = find(name)
    except ValueError:
        return f"{name} is missing"
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return repr([(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files])


def next_output(prefix: str, suffix: str) -> tuple[Path, dict[str, str]]:
    """A free path in the output folder, numbered as the host does, and how the browser is told about it."""
    if not prefix.strip() or prefix.strip().startswith(("/", "\\")) or Path(prefix).drive or ".." in Path(prefix).parts:
        raise ValueError(
            f"Expected a file name below ComfyUI's output folder, such as fantasyid/face, got {prefix!r}. "
            "Leave out drive, leading slash and '..'."
        )
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory()
    )
    while (path := Path(folder) / f"{name}_{counter:05}_{suffix}").exists():
        counter += 1
    return path, {"filename": path.name, "subfolder": subfolder, "type": "output"}


def _models_in(root: Path) -> Iterable[Path]:
    for path in _entries(root):
        if path.is_dir() and not path.name.startswith("."):
            yield from [path] if _is_release(path) else _models_in(path)
        elif path.suffix in WEIGHTS and not path.name.startswith((".", "topology")):
            yield path


def _is_release(folder: Path) -> bool:
    if any((folder / name).is_dir() for name in ("transformer", "transformer_ema")):
        return True
    if any(folder.glob(CONVERTED_TRANSFORMER)) and any(folder.glob(CONVERTED_ADAPTER)):
        return True
    return (folder / "config.json").is_file() and any(path.suffix in WEIGHTS for path in _entries(folder))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _find(name: str, roots: list[str], what: str) -> Path:
    for root in map(os.path.abspath, roots):
        path = Path(os.path.normpath(os.path.join(root, name)))  # links are followed, ".." is not
        if name and path.exists() and path.is_relative_to(root):
            return path
    raise ValueError(
        f"Expected the {what} {name!r} in {' or '.join(roots)}, but it is not there. "
        "Put the file there, press R in ComfyUI to refresh, and choose it."
    )


def _is_identity(path: Path) -> bool:
    from ..fantasyid_core.modelfiles.check import safetensors_metadata

    return safetensors_metadata(path).get("format") == IDENTITY_FORMAT


def _flame_mark(path: Path) -> str:
    return "flame" if path.stem.lower().startswith("generic_model") else ""  # FLAME 2020 has no name of its own


def _relative(path: Path, root: str | Path) -> str:
    return path.relative_to(root).as_posix()

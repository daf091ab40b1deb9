"""Finds and lists files in the host's folders for models, inputs and outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path

import folder_paths

MODELS = "fantasyid"
CLIP_VISION = "clip_vision"
LORAS = "loras"
TINY = "FantasyID-Tiny"  # the small model that comes with the pack
IDENTITY_FORMAT = "fantasyid_identity"  # in the files that fantasyid_core.identity.identityfile writes
WEIGHTS = {".safetensors", ".sft", ".bin", ".pt"}
CONVERTED_TRANSFORMER, CONVERTED_ADAPTER = "*_dit_*.safetensors", "*_adapter_*.safetensors"
SHAPES = (".ply", ".obj", ".glb", ".stl", ".npy", ".npz")
AUTO = "auto"
SHARED_MODELS = ("insightface", "facedetection")  # registered by packs that use the same face detectors
FACE_MODELS = {"deca": {".tar", ".pt", ".pth"}, "flame": {".pkl", ".npz"}}
LONGEST_NAME = 255  # bytes of a file's name, on the file systems of all three systems


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
    """Folders that may hold the mesh topology: the registered ones, and those below them that hold such a file."""
    holding = (str(path.parent) for root in model_roots() for path in _below(root) if _may_be_topology(path))
    return list(dict.fromkeys([*model_roots(), *holding]))


def list_face_models(key: str) -> list[str]:
    """auto, and the files that may be DECA ("deca") or FLAME ("flame") in the folders for FantasyID."""
    found = {
        name
        for root in model_roots()
        for path in _below(root)
        if path.suffix.lower() in FACE_MODELS[key]
        and key in (name := _relative(path, root)).lower() + _flame_mark(path)
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
    return repr(_stamp(path)) if path else ""


def list_models() -> list[str]:
    """Release folders, and single weight files outside of them, relative to their registered folder; FantasyID-Tiny."""
    return [*sorted({_relative(path, root) for root in model_roots() for path in _models_in(root)}), TINY]


def list_adapters() -> list[str]:
    """Safetensors files that may be adapters: those in no release folder, and what `convert` wrote."""
    loose = {name for name in list_models() if name.lower().endswith(".safetensors")}
    converted = {
        _relative(path, root)
        for root in model_roots()
        for path in _below(root)
        if fnmatch(path.name, CONVERTED_ADAPTER)
    }
    return sorted(loose | converted)


def list_face_encoders() -> list[str]:
    """Files in models/clip_vision, and in the face_encoder folder of every release folder."""
    in_release = (
        _relative(path, root)
        for root in model_roots()
        for path in _below(root)
        if path.parent.name == "face_encoder" and path.suffix.lower() in WEIGHTS
    )
    return [*_names_in(CLIP_VISION), *dict.fromkeys(in_release)]


def list_shapes() -> list[str]:
    """3D files in the host's input folder and the folders in it."""
    root = Path(folder_paths.get_input_directory())
    return sorted(_relative(path, root) for path in _below(root) if path.suffix.lower() in SHAPES)


def list_identities() -> list[str]:
    """What Save Identity wrote, in the input folder and, with " [output]" after its name, in the output folder."""
    places = ((folder_paths.get_input_directory(), ""), (folder_paths.get_output_directory(), " [output]"))
    return [
        _relative(path, folder) + mark
        for folder, mark in places
        for path in sorted(_below(folder))
        if path.suffix.lower() == ".safetensors" and _is_identity(path)
    ]


def find_identity(name: str) -> Path:
    """The identity file `name` of `list_identities`; ValueError when it is gone."""
    return _find_annotated(name, "a person saved by Save Identity", "the file")


def list_loras() -> list[str]:
    """Files in the host's folders for LoRAs."""
    return _names_in(LORAS)


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
    return _find_annotated(name, "a 3D face", f"a {', '.join(SHAPES)} file")


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
    files = [path] if path.is_file() else sorted(_below(path))
    return repr([_stamp(each) for each in files])


def next_output(prefix: str, suffix: str) -> tuple[Path, dict[str, str]]:
    """A free path in the output folder, numbered as the host does, and how the browser is told about it.

    Backslashes part folders as slashes do, whatever system the workflow was saved on. Raises ValueError for names that
    lead out of the output folder, and for names that the file system does not take.
    """
    prefix = prefix.replace("\\", "/")
    if not prefix.strip() or prefix.strip().startswith("/") or Path(prefix).drive or ".." in Path(prefix).parts:
        raise ValueError(
            f"Expected a file name below ComfyUI's output folder, such as fantasyid/face, got {prefix!r}. "
            "Leave out drive, leading slash and '..'."
        )
    if any(ord(letter) < 32 for letter in prefix):
        raise ValueError(f"Expected a file name of visible letters, got {prefix!r}. Choose another filename_prefix.")
    _check_length(prefix, suffix)
    output = folder_paths.get_output_directory()
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output)
        while (path := Path(folder) / f"{name}_{counter:05}_{suffix}").exists():
            counter += 1
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"Expected a name for a file below {output}, got {prefix!r}, which cannot be written there ({reason}). "
            "Choose another filename_prefix, or make the folder writable."
        ) from error
    return path, {"filename": path.name, "subfolder": subfolder, "type": "output"}


def _check_length(prefix: str, suffix: str) -> None:
    *parents, name = Path(prefix).parts
    added = len(f"_00000_{suffix}".encode())
    for part, longest in ((name, LONGEST_NAME - added), *((parent, LONGEST_NAME) for parent in parents)):
        if (length := len(os.fsencode(part))) > longest:
            raise ValueError(
                f"Expected a file name of at most {longest} bytes (a number is added to it), got {length} in "
                f"{part[:40] + '...'!r}. Shorten filename_prefix."
            )


def _models_in(root: str) -> Iterator[Path]:
    for path in _below(root, _is_release):
        if os.path.isdir(path) or (path.suffix.lower() in WEIGHTS and not path.name.startswith("topology")):
            yield path


def _is_release(folder: Path) -> bool:
    if any(os.path.isdir(folder / name) for name in ("transformer", "transformer_ema")):
        return True
    names = [path.name for path in _entries(folder)]
    if all(any(fnmatch(name, form) for name in names) for form in (CONVERTED_TRANSFORMER, CONVERTED_ADAPTER)):
        return True
    return "config.json" in names and any(Path(name).suffix.lower() in WEIGHTS for name in names)


def _entries(folder: Path) -> list[Path]:
    from ..fantasyid_core.modelfiles import entries

    return entries(folder)


def _below(root: str | os.PathLike, *is_one) -> Iterator[Path]:
    from ..fantasyid_core.modelfiles import files_below

    return files_below(root, *is_one)


def _names_in(key: str) -> list[str]:
    """The files in a list of the host, with slashes on every system."""
    roots, suffixes = folder_paths.get_folder_paths(key), folder_paths.folder_names_and_paths[key][1]
    fits = lambda path: not suffixes or path.suffix.lower() in suffixes  # noqa: E731
    return sorted({_relative(path, root) for root in roots for path in _below(root) if fits(path)})


def _find(name: str, roots: Iterable[str], what: str) -> Path:
    roots = list(roots)
    for place in (_place(each, root) for each in _spellings(name) for root in roots):
        if place is not None and os.path.exists(place):
            return place
    raise ValueError(
        f"Expected the {what} {name!r} in {' or '.join(roots)}, but it is not there. "
        "Put the file there, press R in ComfyUI to refresh, and choose it."
    )


def _find_annotated(name: str, what: str, file: str) -> Path:
    """The file `name` of the input folder, or of the folder that " [output]" or " [temp]" behind it names."""
    bare, folder = folder_paths.annotated_filepath(name)
    folder = folder or folder_paths.get_input_directory()
    for place in (_place(each, folder) for each in _spellings(bare)):
        if place is not None and os.path.isfile(place):
            return place
    raise ValueError(
        f"Expected {what} in {folder}, but there is no {bare!r}. Put {file} there, press R in ComfyUI to refresh, and "
        "choose it."
    )


def _spellings(name: str) -> tuple[str, ...]:
    """A name as it stands, and with the slashes of this system: workflows are shared between systems."""
    return tuple(dict.fromkeys((name, name.replace("\\", "/"))))


def _place(name: str, root: str) -> Path | None:
    """Where `name` lies below `root`; None where it leads out of it. Links are followed, ".." is not."""
    root = os.path.abspath(root)
    path = Path(os.path.normpath(os.path.join(root, name)))
    return path if name and path != Path(root) and path.is_relative_to(root) else None


def _stamp(path: Path) -> tuple:
    try:
        about = path.stat()
    except OSError:  # taken away since, or not to be read
        return str(path), None
    return str(path), about.st_size, about.st_mtime_ns


def _may_be_topology(path: Path) -> bool:
    return path.name == "transform.pkl" or fnmatch(path.name, "topology*.safetensors")


def _is_identity(path: Path) -> bool:
    from ..fantasyid_core.modelfiles.check import safetensors_metadata

    return safetensors_metadata(path).get("format") == IDENTITY_FORMAT


def _flame_mark(path: Path) -> str:
    return "flame" if path.stem.lower().startswith("generic_model") else ""  # FLAME 2020 has no name of its own


def _relative(path: Path, root: str | Path) -> str:
    return path.relative_to(root).as_posix()

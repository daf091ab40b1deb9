"""The model files that the user brings: what each is for, its source, its folder, and whether it is intact.

`row` says which facts there are, `table` holds them, `search` finds the files, `check` looks into them, `report` is
what install.py says of them. One table drives install.py, the commands doctor and download, the loaders' error texts
and the README. Only the standard library is used and nothing else of the package is imported, so that install.py can
load this folder on a bare Python. Nothing here downloads, unpickles or changes a file.
"""

from .check import file_problems, misplaced_files, sha256
from .listing import entries, files_below
from .report import found_and_missing
from .row import Download, ModelFile, OfficialFile
from .search import (
    DEFAULT_COMFYUI,
    default_folders,
    find_comfyui,
    find_model_file,
    find_models_folder,
    missing_file,
    model_file,
    origin,
)
from .table import MODEL_FILES

__all__ = [
    "DEFAULT_COMFYUI",
    "MODEL_FILES",
    "Download",
    "ModelFile",
    "OfficialFile",
    "default_folders",
    "entries",
    "file_problems",
    "files_below",
    "find_comfyui",
    "find_model_file",
    "find_models_folder",
    "found_and_missing",
    "misplaced_files",
    "missing_file",
    "model_file",
    "origin",
    "sha256",
]

"""Which model files install.py finds, and for each missing one where it belongs and comes from."""

from __future__ import annotations

from pathlib import Path

from .check import file_problems
from .row import ModelFile
from .search import default_folders, find_model_file
from .table import MODEL_FILES


def found_and_missing() -> list[str]:
    """The lines about the user's model files: those that are required, then the others."""
    folders = default_folders()
    lines = [
        f"Model files in {', '.join(map(str, folders))}:"
        if folders
        else "Model files: no ComfyUI found (this folder is not in its custom_nodes; see also COMFYUI_PATH)."
    ]
    for required, title in ((True, "Required"), (False, "Optional, each for what it says")):
        lines.append(f"  {title}:")
        for row in MODEL_FILES:
            if row.required == required:
                lines += _about(row, find_model_file(row.key))
    if any((folder.parent / "extra_model_paths.yaml").is_file() for folder in folders):
        lines.append("  Folders named in extra_model_paths.yaml are not searched here; ComfyUI itself does.")
    lines.append("More, and files in the wrong place: python -m fantasyid_core doctor (in this folder).")
    return lines


def _about(row: ModelFile, path: Path | None) -> list[str]:
    if path is None:
        return [f"    missing: {row.name} ({row.purpose}); without it {row.without}", f"      {row.advice()}"]
    if problems := file_problems(row, path):
        return [f"    damaged: {row.name}: {path}: {'; '.join(problems)}"]
    return [f"    found: {row.name}: {path}"]

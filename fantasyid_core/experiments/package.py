"""A finished training run of the preset "tiny" as the folder that the rest of the project loads.

    python -m fantasyid_core.experiments.package RUN FOLDER

FOLDER receives vae, text_encoder, face_encoder and adapter as .safetensors, and transformer/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..files.checkpoint import open_checkpoint
from ..files.network import load_strictly
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..tinymodel.face import TinyFaceEncoder
from ..tinymodel.loading import load_vae
from ..tinymodel.models import TinyModels, save_tiny_models
from ..tinymodel.sampler import ADAPTER_FILE, TRANSFORMER_FOLDER
from ..tinymodel.text import TextEncoder
from ..weights.adapter import load_adapter, save_adapter

LARGEST = 20e6  # bytes of all files together that come along with the project
_WEIGHTS = "diffusion_pytorch_model.safetensors"


def package(run: str | os.PathLike, folder: str | os.PathLike, dtype: torch.dtype = torch.bfloat16) -> int:
    """Writes the networks of `run`/final into `folder` and returns the bytes of all files there.

    Raises FileNotFoundError for a run that is not finished; ValueError for one of other networks, or of no preset.
    """
    final, folder = Path(run) / "final", Path(folder)
    if not (final / TRANSFORMER_FOLDER).is_dir():
        raise FileNotFoundError(f"Expected {final / TRANSFORMER_FOLDER} of a finished training of the preset tiny.")
    text = _with_weights(TextEncoder(), final / "text_encoder.safetensors")
    face = _with_weights(TinyFaceEncoder(), final / "face_encoder.safetensors")
    save_tiny_models(TinyModels(load_vae(), text, face), folder, dtype)
    save_adapter(load_adapter(final / ADAPTER_FILE), folder / ADAPTER_FILE, dtype)
    copy_transformer(final / TRANSFORMER_FOLDER, folder / TRANSFORMER_FOLDER, dtype)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _with_weights(network, path: Path):
    """A run leaves out an encoder that nothing reads: it is then the untrained one."""
    if path.is_file():
        checkpoint = open_checkpoint(path)
        load_strictly(network, {name: checkpoint.read(name) for name in checkpoint}, str(path))
    return network


def copy_transformer(source: Path, target: Path, dtype: torch.dtype) -> None:
    """The folder of a transformer, its weights as `dtype`. Raises OSError when it cannot be written."""
    checkpoint = open_checkpoint(source / _WEIGHTS)
    with write_aside(target / _WEIGHTS) as aside:
        write_tensors(aside, {name: checkpoint.read(name).to(dtype) for name in checkpoint}, {"format": "pt"})
    with write_aside(target / "config.json") as aside:
        content = json.loads((source / "config.json").read_text(encoding="utf-8"))
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written; 1: larger than the project may ship; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.package")
    parser.add_argument("run", type=Path, help="output folder of a finished training run")
    parser.add_argument("folder", type=Path, help="where the networks are written to")
    arguments = parser.parse_args(argv)
    try:
        size = package(arguments.run, arguments.folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.folder}: {size / 1e6:.1f} MB (at most {LARGEST / 1e6:.0f} may come along)")
    return 0 if size <= LARGEST else 1


if __name__ == "__main__":
    sys.exit(main())

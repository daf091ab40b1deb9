"""The plain path from the files to the first block, in a process of its own; prints the memory at every point.

python -m fantasyid_core.experiments.full_size_plain FOLDER
"""

from __future__ import annotations

import gc
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ..face.photo import FaceRequest
from ..identity.folded import FoldedLayer
from ..machine.memory import return_memory
from ..machine.networks import TRANSFORMER, VAE, Networks
from ..machine.settings import Settings
from ..options import NO_DETECTOR
from ..pipeline import Inputs, Run, make_latents
from ..request import PersonRequest
from ..shape.topology.topology import load_topology
from .full_size_points import GONE, SAMPLING, Recorder

_PAGE = 4096


class _Reached(Exception):
    """The first block has computed; nothing more is wanted."""


class _Watched(Networks):
    """Networks that are measured after each release."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def let_go(self, *names: str) -> None:
        super().let_go(*names)
        self.recorder.point(GONE + ", ".join(names), _folded_bytes())


def _folded_bytes() -> int:
    """Bytes of all layers that are folded for a person, wherever they are held."""
    folded = (each for each in gc.get_objects() if type(each) is FoldedLayer)  # asks no object anything
    return sum(value.nbytes for layer in folded for value in layer.parameters())


def measure(folder: Path) -> dict:
    """Points, and the largest resident memory, of a run in bfloat16 that ends after the first block."""
    say = lambda name: print(f"{name} ...", file=sys.stderr, flush=True)  # noqa: E731
    with Recorder(report=say) as recorder:
        recorder.point("imports")
        networks = _Watched(recorder)
        _until_the_first_block(_run(folder, recorder, networks), networks)
        recorder.point("the run has ended")
        _read_all(networks.get(TRANSFORMER, lambda: None))
        recorder.point("weights of all blocks read")
        for name in (TRANSFORMER, VAE):
            networks.let_go(name)
        return {"points": recorder.points, "most": recorder.use().most}


def _run(folder: Path, recorder: Recorder, networks: Networks) -> Run:
    rows, columns = np.mgrid[0:512, 0:512] // 2
    photo = np.stack([rows, columns, (rows + columns) % 256], axis=-1).astype(np.uint8)
    person = PersonRequest(photo, load_topology(folder).template, FaceRequest(NO_DETECTOR))
    settings = Settings("a person walks", steps=1, cfg=1, device="cpu", dtype=torch.bfloat16)

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "sampling":
            recorder.point(SAMPLING)
        elif done == total:
            recorder.point(stage)

    return Run(Inputs(folder, person), settings, progress, networks)


def _until_the_first_block(run: Run, networks: _Watched) -> None:
    """Runs the stages; the transformer stops after its first block."""
    mechanisms = run.mechanisms

    @contextmanager
    def stopping(transformer, injector):
        def stop(*_):
            networks.recorder.point("first block")
            raise _Reached

        with mechanisms(transformer, injector) as around:
            hook = transformer.transformer_blocks[0].register_forward_hook(stop)  # behind the identity's
            try:
                yield around
            finally:
                hook.remove()

    run.mechanisms = stopping  # type: ignore[method-assign]
    try:
        make_latents(run)
    except _Reached:
        pass
    return_memory()


def _read_all(transformer) -> None:
    """Reads a byte of every page of every weight, as computing all blocks would."""
    for value in transformer.parameters():
        value.view(torch.uint8).flatten()[::_PAGE].max()


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))

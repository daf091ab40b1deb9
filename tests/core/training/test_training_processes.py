"""Two processes on one machine: each has its share of the clips, and one checkpoint holds the state of both."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys

import pytest
import torch
from safetensors.torch import load_file
from trainingtools import NoiseSource, make_config, make_models, write_model

from fantasyid_core import load_adapter
from fantasyid_core.training.loop import train
from fantasyid_core.training.runlog import read_log

NOTHING_LEFT_OUT = dict.fromkeys(("null_text", "null_identity", "null_face", "null_vertices"), 0.0)


def take_part(rank, port, config, runs, output):
    """One of two processes, as a launcher would start it; trains `runs` times."""
    from accelerate.state import PartialState

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", ACCELERATE_USE_CPU="true")
    with open(output, "w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        sys.stderr = sys.stdout = stream
        PartialState._reset_state()
        torch.set_num_threads(1)
        for _ in range(runs):
            train(config, "auto", make_models(config), (NoiseSource(), NoiseSource()))


def test_two_processes_share_the_clips_and_save_one_checkpoint(tmp_path):
    torch.set_num_threads(1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    videos = {"every": 2, "clips": 1, "steps": 1, "cfg": 1.0}
    folder, run = write_model(tmp_path / "model"), tmp_path / "two"
    groups = {"steps": 2, "identity": NOTHING_LEFT_OUT, "optimizer": {"batch": 1}, "validation": videos}
    config = make_config(run, folder, **groups)
    context = multiprocessing.get_context("spawn")  # PyTorch may refuse to go backward in a fork
    outputs = [tmp_path / f"{rank}.txt" for rank in range(2)]
    parts = [context.Process(target=take_part, args=(rank, port, config, 2, outputs[rank])) for rank in range(2)]
    for part in parts:
        part.start()
    for part in parts:
        part.join(120)
    told = [path.read_text() for path in outputs]
    assert [part.exitcode for part in parts] == [0, 0], told
    assert "going on from" in told[0] and "step 2/2" in told[0] and "step" not in told[1]
    summary = next(each for each in read_log(run) if each["event"] == "summary")
    assert summary["processes"] == 2 and summary["clips_per_step"] == 4
    checkpoint = run / "checkpoints" / "step-00000002"
    assert {"random-0.json", "random-1.json"} < {path.name for path in checkpoint.iterdir()}
    assert json.loads((checkpoint / "state.json").read_text())["micro_batch"] == 4
    weights = load_file(checkpoint / "weights.safetensors")
    assert all(name.startswith("adapter.") for name in weights)
    adapter = load_adapter(run / "final" / "adapter.safetensors")
    average = load_file(checkpoint / "average.safetensors")
    assert all(torch.equal(value, average[f"adapter.{name}"]) for name, value in adapter.named_parameters())
    with pytest.raises(ValueError, match="processes: 1 instead of 2"):
        train(config, "auto", make_models(config), (NoiseSource(), NoiseSource()))

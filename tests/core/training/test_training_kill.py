"""Checkpoints outlive kills at any moment, full disks and NaN; what is damaged is passed over."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from trainingtools import NoiseSource, make_config, make_models, write_model

from fantasyid_core.files.tensorfile import write_tensors
from fantasyid_core.training import checkpoints, state
from fantasyid_core.training.checkpoints import (
    MANIFEST,
    find_damage,
    list_checkpoints,
    new_checkpoint,
    newest_good,
    prune,
    remove_leftovers,
)
from fantasyid_core.training.loop import FAILED_BATCH, train

KILLS = 16
forked = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def write(folder, step, numbers=200_000):
    with new_checkpoint(folder, step) as path:
        for name in ("weights", "average", "optimizer"):
            write_tensors(path / f"{name}.safetensors", {"x": torch.full((numbers,), float(step))})


def save_forever(folder, start, report):
    torch.set_num_threads(1)  # a forked process has none of its parent's threads, and would wait for them
    for step in range(start, start + 10_000):
        write(folder, step)
        report.send(step)
        prune(folder, 2, 0)


@forked
def test_a_kill_at_any_moment_of_saving_loses_nothing(tmp_path):
    context, moments = multiprocessing.get_context("fork"), random.Random(5)
    done, in_the_middle = 0, 0
    for _ in range(KILLS):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=save_forever, args=(tmp_path, done + 1, theirs))
        child.start()
        done = ours.recv()  # one more is finished, so the child is at work
        time.sleep(moments.uniform(0, 0.06))
        child.kill()
        child.join()
        while ours.poll():
            done = ours.recv()
        in_the_middle += any(path.name.startswith(".writing-") for path in tmp_path.iterdir())
        good = newest_good(tmp_path)
        step = checkpoints.step_of(good)
        assert step in (done, done + 1)  # it may have been put in place before it could be reported
        assert all((load_file(path)["x"] == step).all() for path in good.glob("*.safetensors"))
        assert not [path for path in list_checkpoints(tmp_path) if find_damage(path)]
        done = step
    assert in_the_middle >= 10
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class TwoSteps(NoiseSource):
    """Gives the four batches of two steps and then none, so that a training never ends before it is killed."""

    given = 0

    def batch(self, indices, rng):
        self.given += 1
        if self.given > 4:
            time.sleep(3600)
        return super().batch(indices, rng)


def train_quietly(config):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    torch.set_num_threads(1)
    train(config, "auto", make_models(config), (TwoSteps(), NoiseSource()))


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(model, tmp_path):
    torch.set_num_threads(1)
    whole = make_config(tmp_path / "whole", model, steps=6, checkpoints={"every": 1})
    train(whole, "auto", make_models(whole), (NoiseSource(), NoiseSource()))
    config = make_config(tmp_path / "killed", model, steps=6, checkpoints={"every": 1})
    folder = tmp_path / "killed" / "checkpoints"
    for wanted in (2, 4):
        # Not forked: PyTorch refuses to go backward in a fork of a process whose autograd has threads.
        child = multiprocessing.get_context("spawn").Process(target=train_quietly, args=(config,), daemon=True)
        child.start()
        for _ in range(60_000):  # not for ever, if the step never comes
            if not child.is_alive() or (folder / f"step-{wanted:08d}").exists():
                break
            time.sleep(0.005)
        child.kill()
        child.join()
        assert checkpoints.step_of(newest_good(folder)) >= wanted
    train(config, "auto", make_models(config), (NoiseSource(), NoiseSource()))
    end = "checkpoints/step-00000006/average.safetensors"
    ends = [load_file(tmp_path / name / end) for name in ("whole", "killed")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    lines = (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines].count("resume") == 2


@pytest.mark.parametrize("where", ["weights", "state"])
def test_a_full_disk_stops_the_training_and_leaves_the_last_good_checkpoint(model, tmp_path, monkeypatch, where):
    config = make_config(tmp_path / "run", model, steps=4)
    real, count = state.write_tensors, [0]

    def full(*arguments):
        count[0] += 1
        if count[0] > 4:  # three files of the first checkpoint, the first of the second
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    if where == "weights":
        monkeypatch.setattr(state, "write_tensors", full)
    else:
        monkeypatch.setattr(checkpoints, "_sync", full)
        count[0] = 4
    last = "The last good checkpoint is .*step-00000002" if where == "weights" else "There is no earlier checkpoint"
    with pytest.raises(OSError, match=f"(?s)checkpoint of step .*No space left.*{last}.*--resume auto"):
        train(config, "auto", make_models(config), (NoiseSource(), NoiseSource()))
    folder = tmp_path / "run" / "checkpoints"
    assert [path.name for path in folder.iterdir()] == (["step-00000002"] if where == "weights" else [])
    monkeypatch.undo()
    assert train(config, "auto", make_models(config), (NoiseSource(), NoiseSource())).is_file()


@forked
def test_a_file_that_the_system_will_not_let_grow_is_explained(tmp_path):
    write(tmp_path, 1)

    def child(report):
        import resource

        torch.set_num_threads(1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        try:
            write(tmp_path, 2)
        except OSError as error:
            report.send(str(error))

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(theirs,))
    process.start()
    text = ours.recv()
    process.join()
    assert "step 2" in text and "The last good checkpoint is" in text and "step-00000001" in text
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


class NanSource(NoiseSource):
    """A clip of NaN after some good ones."""

    def batch(self, indices, rng):
        batch = super().batch(indices, rng)
        if len(self.read) > 8:
            batch.latents[-1, 0] = np.nan
        return batch


def test_nan_stops_keeps_the_checkpoint_and_names_the_clips(model, tmp_path):
    config = make_config(tmp_path / "run", model, steps=4)
    source = NanSource()
    with pytest.raises(RuntimeError, match=r"(?s)loss is nan in step 3, .*clips clip \d, clip \d .*step-00000002"):
        train(config, "auto", make_models(config), (source, source))
    told = json.loads((tmp_path / "run" / FAILED_BATCH).read_text())
    assert told["step"] == 3 and told["clips"] == source.read[8:10]
    assert checkpoints.step_of(newest_good(tmp_path / "run" / "checkpoints")) == 2


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(model, tmp_path, monkeypatch):
    from fantasyid_core.training import loop

    config = make_config(tmp_path / "run", model, steps=2)
    models = make_models(config)
    before = {name: value.clone() for name, value in models.adapter.state_dict().items()}

    class Infinite(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * float("inf")

    real = loop.Task.losses
    monkeypatch.setattr(loop.Task, "losses", lambda self, *rest: Infinite.apply(real(self, *rest)))
    with pytest.raises(RuntimeError, match="gradient's norm is (nan|inf) in step 1"):
        train(config, "auto", models, (NoiseSource(), NoiseSource()))
    assert all(torch.equal(before[name], value) for name, value in models.adapter.state_dict().items())


def test_the_newest_good_checkpoint_is_found_behind_damaged_ones(tmp_path):
    for step in (1, 2, 3, 4, 5):
        write(tmp_path, step, 10)
    told = []
    paths = list_checkpoints(tmp_path)
    (paths[4] / "average.safetensors").unlink()
    content = (paths[3] / "weights.safetensors").read_bytes()
    (paths[3] / "weights.safetensors").write_bytes(content[:-1])
    (paths[2] / MANIFEST).write_text("{")
    assert newest_good(tmp_path, told.append) == paths[1]
    assert "average.safetensors is missing" in told[0]
    assert f"{len(content) - 1} bytes instead of {len(content)}" in told[1]
    assert "manifest.json cannot be read" in told[2]
    assert newest_good(tmp_path / "nowhere") is None


def test_the_last_and_every_mth_are_kept(tmp_path):
    for step in range(1, 11):
        write(tmp_path, step, 10)
        prune(tmp_path, 2, 4)
    assert [checkpoints.step_of(path) for path in list_checkpoints(tmp_path)] == [4, 8, 9, 10]


def test_a_step_that_is_saved_again_replaces_the_older_one(tmp_path):
    write(tmp_path, 3, 10)
    write(tmp_path, 3, 20)
    assert len(load_file(newest_good(tmp_path) / "weights.safetensors")["x"]) == 20

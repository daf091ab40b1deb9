"""A resumed run equals an uninterrupted one bit for bit; a checkpoint of another run is refused."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from trainingtools import NoiseSource, make_config, make_models, write_model

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.training.checkpoints import list_checkpoints
from fantasyid_core.training.loop import Run, train
from fantasyid_core.training.task import Task


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


class Interrupt(Exception):
    pass


class InterruptedSource(NoiseSource):
    """Fails at the `last`-th batch, as a machine that is switched off would."""

    def __init__(self, last):
        super().__init__()
        self.left = last

    def batch(self, indices, rng):
        self.left -= 1
        if self.left < 0:
            raise Interrupt
        return super().batch(indices, rng)


def run(config, source=None, resume="auto"):
    source = source or NoiseSource()
    run = Run(config, resume, make_models(config), (source, source))
    # Something that uses the global random numbers: they belong to the state.
    step = run._step

    def noisy_step(feed):
        drawn.append((random.random(), float(np.random.rand()), torch.rand(1).item()))
        return step(feed)

    drawn, run._step = [], noisy_step
    try:
        run.steps()
        run.finish()
    finally:
        run.log.close()
    return drawn


@pytest.mark.parametrize(("trains", "kind"), [("adapter", "adamw"), ("all", "adamw"), ("all", "muon")])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(model, tmp_path, trains, kind):
    groups = {"model": {"trains": trains, "gradient_checkpointing": trains == "all"}, "steps": 3}
    groups |= {"optimizer": {"kind": kind}, "stills": 2 if kind == "muon" else 0}
    random.seed(3), np.random.seed(3)
    whole = run(make_config(tmp_path / "whole", model, **groups))
    random.seed(3), np.random.seed(3)
    config = make_config(tmp_path / "parts", model, **groups)
    with pytest.raises(Interrupt):
        run(config, InterruptedSource(5))  # in the third step; the last checkpoint is of the second
    assert [path.name for path in list_checkpoints(tmp_path / "parts" / "checkpoints")][-1] == "step-00000002"
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    rest = run(config)
    assert len(rest) == 1 and rest == whole[2:]
    ends = [tmp_path / name / "checkpoints" / "step-00000003" for name in ("whole", "parts")]
    for name in ("weights", "average", "optimizer"):
        first, second = (load_file(end / f"{name}.safetensors") for end in ends)
        assert first.keys() == second.keys() and first
        assert all(torch.equal(first[key], second[key]) for key in first), name
    for name in ("random-0.json", "state.json"):
        first, second = (end.joinpath(name).read_text() for end in ends)
        assert first.replace("whole", "") == second.replace("parts", "")


def test_the_first_steps_learn_from_stills(model, tmp_path, monkeypatch):
    frames, losses = [], Task.losses

    def counted(task, denoiser, *rest):
        hook = denoiser.register_forward_pre_hook(lambda module, inputs: frames.append(inputs[0].noisy.shape[1]))
        try:
            return losses(task, denoiser, *rest)
        finally:
            hook.remove()

    monkeypatch.setattr(Task, "losses", counted)
    run(make_config(tmp_path / "run", model, steps=3, stills=2))
    each = len(frames) // 3
    assert frames == [1] * 2 * each + [3] * each


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory):
    """A folder with a finished run of two steps, in run/."""
    folder = tmp_path_factory.mktemp("finished")
    run(make_config(folder / "run", model, steps=2))
    return folder


def test_weights_average_and_optimizer_have_moved(model, finished):
    config = make_config(finished / "run", model, steps=2)
    end = finished / "run" / "checkpoints" / "step-00000002"
    start = {name: value for name, value in make_models(config).adapter.named_parameters()}
    weights, average, moments = (load_file(end / f"{n}.safetensors") for n in ("weights", "average", "optimizer"))
    assert weights.keys() == average.keys() == {f"adapter.{name}" for name in start}
    moved = [name for name, value in start.items() if not torch.equal(weights[f"adapter.{name}"], value)]
    assert len(moved) > 0.9 * len(start)
    assert any(not torch.equal(weights[name], average[name]) for name in weights)
    assert any(value.abs().max() > 0 for key, value in moments.items() if key.endswith("exp_avg_sq"))


def test_the_finished_adapter_is_the_average_and_loads_by_itself(finished):
    adapter = load_adapter(finished / "run" / "final" / "adapter.safetensors")
    average = load_file(finished / "run" / "checkpoints" / "step-00000002" / "average.safetensors")
    for name, value in adapter.named_parameters():
        assert torch.equal(value, average[f"adapter.{name}"]), name
    assert sorted(path.name for path in (finished / "run" / "final").iterdir()) == ["adapter.safetensors"]


def test_the_order_of_the_clips_goes_on_where_it_was(model, tmp_path):
    whole, second = NoiseSource(), NoiseSource()
    run(make_config(tmp_path / "whole", model, steps=2, checkpoints={"every": 1}), whole)
    config = make_config(tmp_path / "parts", model, steps=2, checkpoints={"every": 1})
    with pytest.raises(Interrupt):
        run(config, InterruptedSource(3))
    run(config, second)
    used = 2 * 2 * 2  # steps, micro-batches, clips
    assert second.read[: used // 2] == whole.read[used // 2 : used]
    assert len(set(whole.read[:6])) == 6  # an epoch has each clip once


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"optimizer": {"lr": 2e-2}}, r"optimizer\.lr: 0\.02 instead of 0\.01"),
        ({"seed": 5}, "seed: 5 instead of 0"),
        ({"identity": {"reference": "own frame"}}, "identity.reference"),
    ],
)
def test_a_run_with_other_settings_does_not_go_on(model, finished, change, expected):
    with pytest.raises(ValueError, match=f"(?s)other settings.*{expected}.*--resume none"):
        run(make_config(finished / "run", model, steps=2, **change))


def test_a_checkpoint_of_the_other_variant_or_mesh_is_refused(model, finished):
    config = make_config(finished / "run", model, steps=2)
    paper = {"variant": "paper", "sizes": {}}
    other = make_config(finished / "run", model, steps=2, model=paper)
    models = make_models(config)
    models.adapter = IdentityAdapter(AdapterConfig.paper_tiny(), models.adapter.topology)
    source = NoiseSource()
    with pytest.raises(ValueError, match="adapter of variant 'release', the config asks for 'paper'"):
        Run(other, "auto", models, (source, source))
    models = make_models(config)
    object.__setattr__(models.adapter.topology, "template", models.adapter.topology.template * 1.1)
    with pytest.raises(ValueError, match=r"another mesh \(642 vertices"):
        Run(config, "auto", models, (source, source))
    models = make_models(config)
    spirals = tuple(each.flip(1) for each in models.adapter.topology.spirals)  # the same mesh, other neighbourhoods
    object.__setattr__(models.adapter.topology, "spirals", spirals)
    with pytest.raises(ValueError, match=r"another mesh \(642 vertices.*levels"):
        Run(config, "auto", models, (source, source))


def test_settings_that_change_no_result_may_differ(model, finished):
    config = make_config(finished / "run", model, steps=2, log_every=7, checkpoints={"every": 1})
    assert train(config, "auto", make_models(config), (NoiseSource(), NoiseSource())).is_file()


def test_resume_none_leaves_an_earlier_run_alone_and_a_damaged_path_is_refused(model, finished, tmp_path):
    config = make_config(finished / "run", model, steps=2)
    with pytest.raises(ValueError, match="earlier run"):
        run(config, resume="none")
    with pytest.raises(FileNotFoundError, match="no checkpoint folder"):
        run(config, resume=str(tmp_path / "nowhere"))
    path = tmp_path / "step-00000002"
    shutil.copytree(finished / "run" / "checkpoints" / path.name, path)
    damaged = bytearray((path / "weights.safetensors").read_bytes())
    damaged[-1] ^= 1
    (path / "weights.safetensors").write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged .the content of weights.safetensors has changed"):
        run(config, resume=str(path))

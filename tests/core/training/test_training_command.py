"""`python -m fantasyid_core train`: own heads, the paper's adapter, cached latents, videos, log."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from fantasyid_core import load_adapter
from fantasyid_core.__main__ import main
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.people import clips as heads_clips
from fantasyid_core.people.clips import Clip
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.topology.spiral import spiral_indices
from fantasyid_core.shape.topology.topology import Topology, Transform
from fantasyid_core.tools.random_model import write_random_model
from fantasyid_core.training.runlog import RunLog, duration, read_log
from fantasyid_core.videofile import read_video

SIZES = {
    "vit_width": 32, "vit_tokens": 17, "abstractor_width": 16, "abstractor_depth": 1, "face_tokens": 4,
    "vertex_width": 32, "spiral_widths": [8, 16], "fusion_layers": 1, "fusion_heads": 2, "attention_heads": 2,
    "reducer_widths": [32, 32, 64, 192], "attention_head_dim": 16,
}  # fmt: skip


def heads_topology() -> Topology:
    """The heads' mesh with two coarser levels: every tenth vertex, and what is nearest to it."""
    mesh = head_mesh()
    points, faces = mesh.template.astype(np.float32), mesh.faces
    spirals, down, up = [], [], []
    for _ in range(2):
        kept = np.arange(0, len(points), 10)
        nearest = ((points[:, None] - points[kept]) ** 2).sum(-1).argmin(1)
        rings = np.zeros((len(points), 9)) if spirals else spiral_indices(faces, points, 9)
        spirals.append(torch.from_numpy(np.asarray(rings, np.int64)))
        down.append(selecting(np.arange(len(kept)), kept, (len(kept), len(points))))
        up.append(selecting(np.arange(len(points)), nearest, (len(points), len(kept))))
        points = points[kept]
    template = torch.from_numpy(mesh.template.astype(np.float32))
    return Topology(tuple(spirals), tuple(down), tuple(up), torch.from_numpy(np.array(faces)), template)


def selecting(rows, columns, shape):
    return Transform(torch.from_numpy(np.stack([rows, columns])), torch.ones(len(rows)), shape)


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    """A config for a small model on six clips of own people."""
    folder = tmp_path_factory.mktemp("command")
    topology = heads_topology()
    sizes = TransformerConfig.tiny(sample_width=8, sample_height=8, max_text_seq_length=16)
    adapter = AdapterConfig.tiny(vertex_counts=topology.vertex_counts)
    write_random_model(folder / "model", transformer=sizes, adapter=adapter, topology=topology)
    content = {
        "output": str(folder / "run"), "steps": 2, "precision": "bf16", "device": "cpu", "log_every": 1,
        "model": {"folder": str(folder / "model"), "variant": "paper", "sizes": SIZES},
        "data": {"kind": "heads", "cache": str(folder / "cache"), "clips": 6, "people": 6, "held_out": 2, "workers": 1},
        "condition": {"picture": "face"},
        "optimizer": {"lr": 1e-3, "batch": 2, "warmup": 0},
        "validation": {"every": 2, "clips": 1, "steps": 2, "cfg": 2.0},
    }  # fmt: skip
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module", autouse=True)
def flat_heads():
    """People of one colour: the renderer, which has tests of its own, takes long to compile."""

    def make(seed, number, frames, size, references, *_):
        colour = np.random.default_rng(seed).integers(0, 256, 3, np.uint8)
        pictures, views = (np.full((n, size, size, 3), colour, np.uint8) for n in (frames, references))
        vertices = head_mesh().template.astype(np.float32) * (1 + seed % 7 / 50)
        rest = np.zeros(24), np.zeros((frames, 15)), np.zeros((references, 15)), "blue", seed, number
        return Clip(pictures, views, "nods, blue background", vertices, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads_clips, "make_clip", make)
        yield


def test_the_command_trains_logs_samples_and_goes_on(config_file, capsys):
    assert main(["train", str(config_file)]) == 0
    told = capsys.readouterr()
    folder = config_file.parent / "run"
    assert told.out.strip() == str(folder / "final" / "adapter.safetensors")
    for words in ("rendering clips: 6 of 6", "encoding clips: 6 of 6", "step 2/2  loss", "s/step  peak", "speed"):
        assert words in told.err
    adapter = load_adapter(folder / "final" / "adapter.safetensors")
    assert adapter.config.variant == "paper" and adapter.config.grid == (4, 4)
    events = read_log(folder)
    assert [each["event"] for each in events] == [
        *("start", "step", "step", "checkpoint", "validation", "summary", "finished")
    ]
    step, summary = events[2], events[5]
    assert step["loss"] > 0 and step["lr"] > 0 and step["gradient"] > 0 and step["seconds"] > 0
    assert summary["clips_per_step"] == 2 and summary["peak_bytes"] > 10**8
    video = read_video(events[4]["videos"][0])
    assert video.shape == (9, 64, 64 + 2 + 64, 3)
    colour = np.random.default_rng(1_000_000_000).integers(0, 256, 3, np.uint8)
    assert np.abs(video[4, 20:40, 20:40].mean(axis=(0, 1)) - colour).max() < 12  # the reference, to the left
    assert main(["train", str(config_file), "steps=3"]) == 2
    assert "steps: 3 instead of 2" in capsys.readouterr().err
    assert main(["train", str(config_file), "--resume", "none"]) == 2
    checks = ["validation.every=0", "--check", "--resume", "auto", "log_every=2"]
    assert main(["train", str(config_file), *checks]) == main(["train", "--check", str(config_file)]) == 0
    assert capsys.readouterr().err.count("6 clips are fine") == 2


def test_a_mistake_is_explained_in_one_line(config_file, capsys):
    assert main(["train", str(config_file), "optimizer.lrr=1"]) == 2
    assert capsys.readouterr().err.strip().endswith("optimizer.lrr is no setting; did you mean optimizer.lr?")
    assert main(["train", "nothing"]) == 2
    assert "paper_5b, tiny" in capsys.readouterr().err


def test_a_line_of_the_log_that_was_cut_off_stays_alone(tmp_path):
    log = RunLog(tmp_path)
    log.write("step", 1, loss=0.5)
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"event": "st')
    RunLog(tmp_path).write("step", 2, loss=0.25)
    assert [(each["step"], each["loss"]) for each in read_log(tmp_path)] == [(1, 0.5), (2, 0.25)]
    RunLog(tmp_path / "other", is_main=False).write("step", 1)
    assert not (tmp_path / "other").exists()


def test_durations_are_hours_minutes_seconds():
    assert [duration(seconds) for seconds in (5, 65.4, 3725)] == ["0:00:05", "0:01:05", "1:02:05"]

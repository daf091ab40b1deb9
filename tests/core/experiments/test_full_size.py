"""The measurement at the full size, on a model of a few MB: the same files, the same processes, the same bounds."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest
import torch
from waiting import wait_for

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.experiments import full_size
from fantasyid_core.experiments.full_size_model import ModelSizes, make_topology, write_model
from fantasyid_core.experiments.full_size_points import GIB, GONE, SAMPLING, Bound, Point, Recorder, bounds, table
from fantasyid_core.files.checkpoint import open_checkpoint
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.machine.memory import memory_use

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc: memory at the full size is NOT tested here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("full_size") / "model", ModelSizes.small())


def test_the_folder_is_as_the_release_is(folder):
    shards = sorted(path.name for path in (folder / "transformer").glob("*.safetensors"))
    assert len(shards) > 2 and shards[0].endswith(f"-00001-of-{len(shards):05d}.safetensors")
    checkpoint = open_checkpoint(folder)
    assert {info.dtype for info in checkpoint.tensors.values()} == {torch.bfloat16}
    index = json.loads((folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == checkpoint.tensors.keys()
    assert load_adapter(folder).config == AdapterConfig.tiny()
    transformer = diffusers_host.load_transformer(folder, dtype=torch.bfloat16)
    assert diffusers_host.transformer_sizes(transformer) == TransformerConfig.tiny()
    assert all(value.isfinite().all() for value in transformer.parameters())


def test_without_small_the_sizes_are_those_of_the_release():
    """Counted, not written: 6,694.3 million without the 126.5 million that nobody reads."""
    from fantasyid_core.experiments.full_size_model import _transformer

    sizes = ModelSizes()
    shapes, config = _transformer(sizes, make_topology(sizes.adapter))
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == pytest.approx(6694.3e6 - 126.5e6, rel=1e-4)
    assert config["num_layers"] == 42 and sizes.shard == 5 * 10**9


def points(**changes) -> list[Point]:
    figures = {"adapter": 1, SAMPLING: 2, "first block": 5, f"{GONE}transformer": 0.5, **changes}
    return [Point(name, int(value * GIB), int(value * GIB), int(8 * GIB)) for name, value in figures.items()]


@pytest.mark.parametrize(
    ("changes", "most", "broken"),
    [
        ({}, 8, []),
        ({"adapter": 3.1}, 8, ["private memory before sampling begins"]),
        ({}, 16.1, ["resident memory at most"]),
        ({f"{GONE}transformer": 1.1}, 8, ["private memory after a release"]),
    ],
)
def test_every_bound_can_break(changes, most, broken, capsys):
    found = points(**changes)
    checked = bounds(found, int(most * GIB))
    assert [bound.what for bound in checked if not bound.holds] == broken
    assert full_size.show({"A part": {"points": found, "most": int(most * GIB)}}) == bool(broken)
    assert capsys.readouterr().out.count("IS BROKEN") == len(broken)


def test_what_is_held_for_the_person_is_no_leak():
    held = Point(f"{GONE}adapter", int(1.8 * GIB), 0, 0, kept=int(0.9 * GIB))
    (*_, bound) = bounds([Point(SAMPLING, 0, 0, 0), held], 0)
    assert bound == Bound("private memory after a release", int(1.8 * GIB) - int(0.9 * GIB), GIB) and bound.holds
    assert "1.80 (0.90 of it held for the person)" in "\n".join(table("A part", [held], [bound]))


@linux
def test_a_peak_between_points_is_seen():
    gc.collect()  # what other tests left must not be let go between the points
    with Recorder() as recorder:
        recorder.point("begin")
        before = recorder.points[0].private
        held = torch.ones(60, 2**20)  # 240 MiB
        wait_for(lambda: recorder._between - before > 200 * 2**20)
        del held
        recorder.point("end")
    begin, end = recorder.points
    assert end.between - begin.private > 200 * 2**20 > end.private - begin.private


@linux
def test_another_process_is_measured_and_a_missing_one_is_told():
    code = "print('begun', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()  # before it, the process may not have its memory yet
        found = memory_use(process.pid)
        process.communicate(b"\n")
    assert 0 < found.private < found.resident <= found.most
    with pytest.raises(RuntimeError, match="Expected Linux and a process that runs"):
        memory_use(2**22 + 1)


@linux
@pytest.mark.slow
def test_the_plain_path_is_measured_to_its_first_block(tmp_path, capsys):
    assert full_size.main([str(tmp_path / "model"), "--small", "--parts", "plain"]) == 0
    text = capsys.readouterr().out
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:]
    assert names[0] == "imports" and names[-1] == f"{GONE}VAE"
    assert names.index(f"{GONE}adapter") < names.index(SAMPLING) < names.index("first block")
    assert text.count("the bound holds") == 3
    assert not (tmp_path / "model").exists()  # it is deleted


@linux
@pytest.mark.slow
def test_load_model_is_measured_in_comfyui(folder, comfyui, tmp_path):
    from fantasyid_core.experiments.full_size_comfyui import measure

    found = measure(comfyui, folder, tmp_path / "base")
    assert [point.name for point in found["points"]] == ["server", "Load Model", SAMPLING, f"{GONE}model and adapter"]
    assert all(point.private > 10 * 2**20 for point in found["points"])
    assert found["most"] >= found["points"][0].resident


def test_mistakes_are_told_before_anything_is_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "other").mkdir()
    assert full_size.main([str(tmp_path / "other"), "--small", "--parts", "plain"]) == 2
    (tmp_path / "other" / "complete.txt").write_text("my own\n")
    assert full_size.main([str(tmp_path / "other"), "--small", "--parts", "plain"]) == 2
    assert capsys.readouterr().err.count("Expected a folder that does not exist yet") == 2
    assert (tmp_path / "other" / "complete.txt").read_text() == "my own\n"  # and nothing of it is deleted
    monkeypatch.setattr(full_size.shutil, "disk_usage", lambda place: full_size.shutil._ntuple_diskusage(9, 9, 9))
    assert full_size.main([str(tmp_path / "new"), "--parts", "plain"]) == 2
    assert "GB on the disk" in capsys.readouterr().err
    monkeypatch.setattr(full_size, "find_comfyui", lambda: None)
    assert full_size.main([str(tmp_path / "new"), "--small"]) == 2
    assert "give --parts plain" in capsys.readouterr().err and not (tmp_path / "new").exists()

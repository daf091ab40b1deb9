"""Conversion: bit-exact without a dtype, readable by both hosts' loaders, small in memory, safe when it fails."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fantasyid_core import load_adapter
from fantasyid_core.config import TransformerConfig
from fantasyid_core.files.checkpoint import open_checkpoint
from fantasyid_core.files.keymaps import host_name
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.tools import convert as module
from fantasyid_core.tools.convert import convert
from fantasyid_core.tools.random_model import write_random_model
from fantasyid_core.weights.transformer import POSITION_TABLE, transformer_config

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = write_random_model(tmp_path_factory.mktemp("convert") / "portrait")
    state = load_file(folder / WEIGHTS)
    state["face_abstractor.latents"] = torch.zeros(7, 11)  # dead, as in the official file
    save_file(state, folder / WEIGHTS)
    return folder


@pytest.fixture
def changed(source, tmp_path):
    """A copy of the source whose weights a test changes: changed(edit) -> folder."""

    def change(edit):
        folder = shutil.copytree(source, tmp_path / "changed")
        state = load_file(folder / WEIGHTS)
        edit(state)
        save_file(state, folder / WEIGHTS)
        return folder

    return change


def test_round_trip_is_bit_exact(source, tmp_path):
    calls = []
    result = convert(source, tmp_path / "out", progress=lambda *call: calls.append(call))
    assert result.adapter.name == "portrait_adapter_fp32.safetensors"
    assert result.transformer.name == "portrait_dit_fp32.safetensors"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [result.adapter.name, result.transformer.name]
    assert result.source_bytes == (source / WEIGHTS).stat().st_size
    assert result.dead == 77 and result.has_topology
    assert calls[-1][0] == calls[-1][1] and [done for done, _ in calls] == sorted(done for done, _ in calls)

    before, after = load_adapter(source), load_adapter(result.adapter)
    assert after.config == before.config
    assert result.live == sum(value.numel() for value in before.state_dict().values())
    assert all(torch.equal(value, after.state_dict()[key]) for key, value in before.state_dict().items())
    assert all(torch.equal(x, after.topology.tensors()[key]) for key, x in before.topology.tensors().items())

    before, after = (diffusers_host.load_transformer(path).state_dict() for path in (source, result.transformer))
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_files_have_the_hosts_names_and_describe_themselves(source, tmp_path):
    result = convert(source, tmp_path)
    with safe_open(result.transformer, "pt") as file:
        names, metadata = set(file.keys()), file.metadata()
    own = load_file(source / WEIGHTS)
    assert names == {host_name(key) for key in own if host_name(key)}
    assert POSITION_TABLE in names and "blocks.0.norm1.linear.weight" in names
    described = json.loads(metadata["fantasyid"])
    assert metadata["format"] == "pt" and described["kind"] == "transformer"
    assert described["source"] == "portrait"
    assert transformer_config(open_checkpoint(result.transformer)) == TransformerConfig.tiny()
    with safe_open(result.adapter, "pt") as file:
        assert json.loads(file.metadata()["fantasyid"])["kind"] == "adapter"
        assert "face_abstractor.latents" not in file.keys()
        assert not any(host_name(key) for key in file.keys())


@pytest.mark.parametrize("label", ["bf16", "fp16"])
def test_half_precision_rounds_weights_and_leaves_the_mesh(source, tmp_path, label):
    result = convert(source, tmp_path, label)
    own, dtype = load_file(source / WEIGHTS), module.DTYPES[label]
    written = load_file(result.adapter)
    weights = {key: value for key, value in written.items() if not key.startswith("topology.")}
    assert all(torch.equal(value, own[key].to(dtype)) for key, value in weights.items())
    assert written["topology.faces"].dtype == torch.int64  # the mesh is no weight
    assert result.transformer_bytes < 0.52 * sum(own[key].nbytes for key in own if host_name(key))


def test_eight_bits_are_for_matrices_only(source, tmp_path):
    result = convert(source, tmp_path, "fp8_e4m3fn")
    written = load_file(result.transformer) | load_file(result.adapter)
    dtypes = {key: value.dtype for key, value in written.items() if not key.startswith("topology.")}
    eight = torch.float8_e4m3fn
    assert dtypes["blocks.1.q.weight"] == dtypes["layer_attention.0.to_kv.weight"] == eight
    for key in ("blocks.1.q.bias", "patch_embed.proj.weight", "patch_embed.text_proj.weight", POSITION_TABLE,
                "vertex_reducer.conv_block1.conv_in.conv1d.weight", "face_abstractor.proj_out"):  # fmt: skip
        assert dtypes[key] == torch.bfloat16, key
    assert all(value.ndim == 2 for value in written.values() if value.dtype == eight)
    own = load_file(source / WEIGHTS)["layer_attention.0.to_kv.weight"]
    assert torch.equal(written["layer_attention.0.to_kv.weight"].float(), own.to(eight).float())
    loaded = load_adapter(result.adapter)
    assert loaded.layers[0].to_kv.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("value", "label", "message"),
    [
        (500.0, "fp8_e4m3fn", "to_q.weight holds values from .* to 500: .* within 448"),
        (1e5, "fp16", "to_q.weight holds .* within 65504"),
        (float("nan"), "bf16", "to_q.weight holds NaN"),
        (float("inf"), None, "to_q.weight holds values from .* to inf"),
    ],
)
def test_values_that_do_not_fit_the_dtype_are_refused(changed, tmp_path, value, label, message):
    folder = changed(lambda state: state["layer_attention.1.to_q.weight"][0].fill_(value))
    with pytest.raises(ValueError, match=message):
        convert(folder, tmp_path / "out", label)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_without_its_topology_asks_for_one(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "bare", ignore=shutil.ignore_patterns("topology*"))
    with pytest.raises(ValueError, match="42 coarse vertices"):  # only the released mesh may be left out
        convert(folder, tmp_path / "out")
    result = convert(folder, tmp_path / "out", topology=source / "topology.safetensors")
    assert result.has_topology
    assert load_adapter(result.adapter).topology.vertex_counts == (642, 162, 42)


def test_the_released_mesh_may_come_later(tmp_path):
    from fantasyid_core.config import AdapterConfig
    from fantasyid_core.shape import synthetic_topology

    adapter = AdapterConfig.tiny(vertex_counts=(642, 162, 42))
    folder = write_random_model(tmp_path / "flame", adapter=adapter)
    (folder / "topology.safetensors").unlink()
    state = load_file(folder / WEIGHTS)
    state["vertex_spiral_net.vtx_query"] = torch.zeros(1, 314, 16)
    save_file(state, folder / WEIGHTS)
    config = json.loads((folder / "transformer" / "config.json").read_text())
    config["fantasyid"]["vertex_counts"] = [5023, 1256, 314]
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    result = convert(folder, tmp_path / "out")
    assert not result.has_topology
    with pytest.raises(ValueError, match="314 coarse vertices"):
        load_adapter(result.adapter, synthetic_topology())


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded_sources_give_the_same_files(source, tmp_path, suffix):
    folder = _sharded(source, tmp_path / "portrait", suffix)
    sharded, whole = convert(folder, tmp_path / "out", "bf16"), convert(source, tmp_path / "out2", "bf16")
    for first, second in ((sharded.adapter, whole.adapter), (sharded.transformer, whole.transformer)):
        first, second = load_file(first), load_file(second)
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def _sharded(source, folder, suffix, shards=3):
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(source / "topology.safetensors", folder)
    state = load_file(source / WEIGHTS)
    for shard in range(shards):
        first, last = (len(state) * end // shards for end in (shard, shard + 1))
        part = {key: state[key] for key in list(state)[first:last]}
        path = folder / "transformer" / f"model-{shard}.{suffix}"
        save_file(part, path) if suffix == "safetensors" else torch.save(part, path)
    return folder


# Not ru_maxrss: a child starts with the figure of the process that started it.
MEASURE = """
import sys, torch
from pathlib import Path
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
from diffusers import CogVideoXTransformer3DModel
from fantasyid_core.tools.convert import convert
start = peak()
convert(sys.argv[1], sys.argv[2], "bf16")
print(peak() - start)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of more than 600 MB."""
    sizes = TransformerConfig.tiny(num_layers=42, num_attention_heads=8)
    folder = write_random_model(tmp_path_factory.mktemp("large") / "whole", transformer=sizes)
    assert (folder / WEIGHTS).stat().st_size > 600e6
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_memory_stays_far_below_the_source(large, tmp_path, suffix):
    folder = _sharded(large, tmp_path / "shards", suffix, shards=6)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, folder, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    shutil.rmtree(tmp_path)
    peak = float(run.stdout)
    print(f"peak {peak:.0f} MiB above the libraries ({suffix})")
    assert peak < 250


@pytest.mark.parametrize("missing", ["layer_attention.0.to_kv.weight", "transformer_blocks.1.ff.net.2.bias"])
def test_missing_tensors_are_named(changed, tmp_path, missing):
    folder = changed(lambda state: state.pop(missing))
    with pytest.raises(ValueError, match="missing: .*(to_kv.weight|ff.net.2.bias)"):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_integer_tensors_are_refused(changed, tmp_path):
    key = "layer_attention.0.to_q.weight"
    folder = changed(lambda state: state.update({key: state[key].to(torch.int8)}))
    with pytest.raises(ValueError, match="not floating-point: layer_attention.0.to_q.weight is torch.int8"):
        convert(folder, tmp_path / "out")


@pytest.mark.parametrize("dtype", ["int8", "fp8", torch.bfloat16])
def test_unknown_dtypes_are_refused(source, tmp_path, dtype):
    with pytest.raises(ValueError, match="dtype among bf16, fp16, fp8_e4m3fn, got"):
        convert(source, tmp_path / "out", dtype)


def test_files_of_other_kinds_are_named(source, tmp_path):
    save_file({"blocks.0.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    files = {
        "a VAE": source / "vae" / "diffusion_pytorch_model.safetensors",
        "a T5 text encoder": source / "text_encoder",
        "a LoRA": tmp_path / "lora.safetensors",
        "whose adapter is the file beside it": convert(source, tmp_path / "out").transformer,
        "is an adapter file already": tmp_path / "out" / "portrait_adapter_fp32.safetensors",
    }
    for family, path in files.items():
        with pytest.raises(ValueError, match=family):
            convert(path, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_a_truncated_source_is_refused(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "cut")
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or corrupt"):
        convert(folder, tmp_path / "out")


def test_impossible_targets_are_refused(source, tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "x.safetensors"):
        with pytest.raises(ValueError, match="Expected a folder for the two results"):
            convert(source, target)
    with pytest.raises(ValueError, match="taken for a part of the model"):
        convert(source, source / "transformer")
    with pytest.raises(OSError, match="not writable"):
        convert(source, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_noticed_before(source, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(OSError, match="GiB free.*nothing was written"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_while_writing_keeps_the_earlier_files(source, tmp_path, error):
    earlier = convert(source, tmp_path)
    contents = {path: path.read_bytes() for path in (earlier.adapter, earlier.transformer)}

    def fail(done, total):
        if done > total / 2:
            raise error

    with pytest.raises(type(error)):
        convert(source, tmp_path, progress=fail)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_results_are_aligned(source, tmp_path):
    result = convert(source, tmp_path, "fp8_e4m3fn")
    content = result.adapter.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    sizes = {"F8_E4M3": 1, "BF16": 2, "F32": 4, "I64": 8}
    assert length % 8 == 0
    assert all(entry["data_offsets"][0] % sizes[entry["dtype"]] == 0 for entry in list(header.values())[1:])
    assert asdict(result)["adapter_bytes"] == len(content)


def test_a_folder_of_the_two_files_loads_as_one_model(tmp_path):
    from fantasyid_core.host.diffusers.model import load_transformer

    source = write_random_model(tmp_path / "model")
    convert(source, tmp_path / "converted")
    assert load_adapter(tmp_path / "converted").config == load_adapter(source).config
    again, original = load_transformer(tmp_path / "converted"), load_transformer(source)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in original.state_dict().items())

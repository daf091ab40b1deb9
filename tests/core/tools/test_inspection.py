"""What `inspect` says about complete, incomplete, damaged and foreign models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fantasyid_core
from fantasyid_core.machine.sizes import model_sizes
from fantasyid_core.tools.convert import convert
from fantasyid_core.tools.inspection import FOUND, MISSING, UNUSABLE, inspect_model, size_text
from fantasyid_core.tools.random_model import write_random_model

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("inspection") / "model")


@pytest.fixture
def model(source, tmp_path):
    return shutil.copytree(source, tmp_path / "model")


def parts(report) -> dict:
    return {part.name: part for part in report.parts}


def test_a_complete_folder_is_usable_and_described(source):
    report = inspect_model(source)
    found = parts(report)
    assert report.usable and all(part.state == FOUND for part in report.parts)
    for text in ("2 layers of width 192", "9 frames of 96x64", "226 text tokens", "1.3 M parameters in float32"):
        assert text in found["transformer"].text
    for text in ("release variant", "2 injected layers (after every block)", "15 identity tokens", "84028"):
        assert text in found["adapter"].text
    assert "642 -> 162 -> 42" in found["topology"].text
    assert report.lines()[-1] == "Usable."


def test_memory_is_counted_from_the_shapes(source):
    report = inspect_model(source)
    found = parts(report)
    state = load_file(source / WEIGHTS)
    assert found["transformer"].bytes + found["adapter"].bytes == sum(value.nbytes for value in state.values())
    layers = sum(value.nbytes for key, value in state.items() if key.startswith("layer_attention."))
    assert found["adapter"].bytes - found["adapter"].encoding_bytes == layers
    sizes, notes = model_sizes(source), " ".join(report.notes)
    # In bfloat16, and of the layers what one person's folding leaves.
    sampling = found["transformer"].bytes // 2 + 2 * sizes.folded
    assert 2 * sizes.folded < layers // 2 and f"while sampling: {size_text(sampling)}" in notes
    encoding = max(found["vae"].bytes // 2, 4 * (sizes.face_encoder.weights + sizes.identity.weights))
    assert encoding > sizes.text_encoder.bytes(torch.bfloat16) and f"while encoding: {size_text(encoding)}" in notes
    for text in ("Decoding: ", "with --tiling", "Main memory on a CPU, in float32: ", "--offload sequential"):
        assert text in notes
    assert notes.count("Card of ") == 5
    assert size_text(3 * 2**30) == "3.00 GiB" and size_text(2**19) == "0.5 MiB"


def test_dead_and_live_parameters_are_counted_apart(model):
    state = load_file(model / WEIGHTS)
    state["face_abstractor.mapping_0.0.weight"] = torch.zeros(500, 500)
    save_file(state, model / WEIGHTS)
    assert "84028 parameters in float32 live, 0.2 M dead" in parts(inspect_model(model))["adapter"].text


def test_a_missing_tokenizer_is_looked_for_in_its_own_folder(model):
    shutil.rmtree(model / "tokenizer")
    text = parts(inspect_model(model))["tokenizer"].text
    assert "/tree/main/tokenizer." in text and "text_encoder" not in text


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "face_encoder", "topology"])
def test_missing_parts_are_named(model, part):
    place = model / (f"{part}.safetensors" if part == "topology" else part)
    place.unlink() if place.is_file() else shutil.rmtree(place)
    report = inspect_model(model)
    assert [found.name for found in report.parts if not found.usable] == [part]
    assert parts(report)[part].state == MISSING
    assert report.lines()[-1] == f"Not usable yet because of: {part}."


def test_the_schedule_may_be_missing(model):
    shutil.rmtree(model / "scheduler")
    report = inspect_model(model)
    assert report.usable and "official schedule" in parts(report)["scheduler"].text


def test_an_empty_folder_is_all_missing(tmp_path):
    report = inspect_model(tmp_path)
    assert not report.usable
    assert {part.state for part in report.parts} == {MISSING}
    assert "No weights in" in parts(report)["transformer"].text


def test_a_folder_without_config_names_it(model):
    (model / "transformer" / "config.json").unlink()
    found = parts(inspect_model(model))["transformer"]
    assert found.state == UNUSABLE and "no config.json" in found.text


@pytest.mark.parametrize("missing", ["layer_attention.1.to_kv.weight", "transformer_blocks.0.ff.net.2.bias"])
def test_missing_tensors_are_named(model, missing):
    state = load_file(model / WEIGHTS)
    del state[missing]
    save_file(state, model / WEIGHTS)
    report = inspect_model(model)
    part = "adapter" if missing.startswith("layer") else "transformer"
    assert [found.name for found in report.parts if not found.usable] == [part]
    assert parts(report)[part].state == UNUSABLE and missing.split(".", 1)[1] in parts(report)[part].text


def test_the_two_converted_files_are_described(source, tmp_path):
    result = convert(source, tmp_path, "bf16")
    adapter, transformer = inspect_model(result.adapter), inspect_model(result.transformer)
    assert adapter.usable and [part.name for part in adapter.parts] == ["adapter", "topology"]
    assert transformer.usable and "in bfloat16" in transformer.parts[0].text


def test_files_of_other_kinds_are_named(source):
    for path, family in ((source / "vae", "a VAE"), (source / "text_encoder", "a T5 text encoder")):
        report = inspect_model(next(path.glob("*.safetensors")))
        assert not report.usable and f"it looks like {family}" in report.parts[0].text


def test_garbage_never_raises(model, tmp_path):
    garbage = bytes(range(256)) * 40
    for name in ("a.safetensors", "b.bin", "c.pt", "d", "empty.safetensors"):
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else garbage)
        report = inspect_model(tmp_path / name)
        assert not report.usable and report.parts[0].state == UNUSABLE, name
    for path in [path for path in model.rglob("*") if path.is_file()]:
        kept = path.read_bytes()
        for content in (b"", garbage, kept[: len(kept) // 2]):
            path.write_bytes(content)
            assert inspect_model(model).lines()
        path.write_bytes(kept)
    assert inspect_model(model).usable


@pytest.mark.parametrize("values", [{"sample_height": "tall"}, {"num_layers": []}, {"sample_width": None}])
def test_configs_with_nonsense_are_unusable(model, values):
    path = model / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    assert parts(inspect_model(model))["transformer"].state == UNUSABLE


def test_a_path_where_nothing_lies_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model folder or file"):
        inspect_model(tmp_path / "absent")


def test_an_adapter_of_the_paper_variant_is_described():
    report = inspect_model(Path(fantasyid_core.__file__).parent / "tinymodel" / "weights" / "adapter.safetensors")
    text = "\n".join(report.lines())
    assert report.usable and "paper variant, 5 injected layers (after every block), 112 identity tokens" in text
    assert "mesh of 2236 -> 560 -> 160 -> 48 vertices" in text

"""convert, inspect, doctor and bench on a small ConsisID folder."""

from __future__ import annotations

import pytest
import torch
from consisidgolden import write_arcface, write_parser

from fantasyid_core import load_adapter
from fantasyid_core.__main__ import main
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.host.diffusers.consisid import own_cross_attention
from fantasyid_core.identity.fingerprint import adapter_fingerprint
from fantasyid_core.tools.bench_consisid import FOLDED, KEPT, OWN, run_consisid_bench, tables
from fantasyid_core.tools.convert import convert
from fantasyid_core.tools.diagnosis import diagnose
from fantasyid_core.tools.inspection import FOUND, MISSING, UNUSABLE, inspect_model
from fantasyid_core.tools.random_model import write_random_model

TINY = AdapterConfig.consisid_tiny()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("consisid") / "ConsisID", 0, TransformerConfig.tiny(), TINY)


@pytest.mark.parametrize("dtype", [None, "bf16"])
def test_convert_writes_an_adapter_that_knows_its_transformer(folder, tmp_path, dtype):
    made = convert(folder, tmp_path, dtype)
    assert made.has_topology is None and made.dead == 0
    whole, adapter = load_adapter(folder), load_adapter(made.adapter)
    assert adapter.config == whole.config and adapter.transformer == whole.transformer != ""
    assert adapter_fingerprint(adapter) == adapter_fingerprint(whole)
    tokens = torch.zeros(1, TINY.id_tokens, TINY.id_width)
    diffusers_host.attach(diffusers_host.load_transformer(made.transformer), adapter.injector(tokens)).remove()
    with pytest.raises(ValueError, match="is an adapter file already|there is nothing to convert"):
        convert(made.adapter, tmp_path / "again")


def test_inspect_tells_of_consisid_and_of_what_it_sees_faces_with(folder, tmp_path):
    parts = {part.name: part for part in inspect_model(folder).parts}
    assert "consisid variant, 2 injected layers" in parts["adapter"].text and "topology" not in parts
    assert parts["parsing_bisenet.pth"].state == parts["glintr100.onnx"].state == MISSING
    pytest.importorskip("facexlib", reason="facexlib is not installed: no small BiSeNet can be written")
    places = folder / "face_encoder"
    try:
        write_parser(places / "parsing_bisenet.pth")
        write_arcface(places / "models" / "antelopev2" / "w600k_r50.onnx")
        report = inspect_model(folder)
        parts = {part.name: part for part in report.parts}
        assert parts["parsing_bisenet.pth"].state in (FOUND, UNUSABLE)  # its size is that of the official file
        assert "it is w600k_r50.onnx: expected glintr100.onnx" in parts["glintr100.onnx"].text
        assert report.usable
    finally:
        (places / "parsing_bisenet.pth").unlink()
        (places / "models" / "antelopev2" / "w600k_r50.onnx").unlink()


def test_inspect_on_the_two_converted_files(folder, tmp_path):
    made = convert(folder, tmp_path)
    assert [part.name for part in inspect_model(made.adapter).parts] == ["adapter"]
    assert [part.name for part in inspect_model(made.transformer).parts] == ["transformer"]


def test_doctor_takes_consisid_instead_of_fantasyid(folder, tmp_path):
    models = tmp_path / "models"
    (models / "fantasyid").mkdir(parents=True)
    (models / "fantasyid" / "ConsisID-preview").symlink_to(folder)
    lacking = {report.row.key for report in diagnose([models])._lacking()}
    assert not lacking & {"weights", "topology"} and "eva_clip" in lacking
    (models / "fantasyid" / "ConsisID-preview").unlink()
    assert {"weights", "topology"} <= {report.row.key for report in diagnose([models])._lacking()}


def test_diffusers_own_module_computes_what_the_layer_does():
    from small import seed_module

    from fantasyid_core.identity.network.attention import LayerAttention

    layer = seed_module(LayerAttention(TINY)).requires_grad_(False)
    tokens, hidden = torch.randn(1, 8, 128), torch.randn(1, 11, 192)
    assert torch.allclose(own_cross_attention(layer, TINY)(tokens, hidden), layer(tokens, hidden), atol=1e-5)


def test_bench_names_the_processor_and_compares_with_diffusers_own_modules(capsys):
    report = run_consisid_bench(True, 2, TINY, TransformerConfig.tiny(), "cpu")
    rows = [(row["tokens"], row["dtype"]) for row in report["injection"]]
    assert rows == [(72, "float32"), (72, "bfloat16")]
    for row in report["injection"]:
        assert list(row["times"]) == [OWN, KEPT, FOLDED] and row["ratio"] > 0
    assert report["per video"]["extractor"] == {"diffusers": 50, "here": 1}
    text = "\n".join(tables(report))
    assert report["machine"]["device"] in text and "of the injected layers" in text
    with pytest.raises(ValueError, match="at least one run"):
        run_consisid_bench(runs=0)
    assert main(["bench", "--consisid", "--plot", "x.png"]) == 2


def test_the_real_sizes_keep_no_more_than_16_percent():
    from fantasyid_core.tools.bench_consisid import _memory

    memory = _memory(AdapterConfig.consisid())
    assert memory["share"] <= 0.16 and memory["resident"] == 21 * (2 * 3072 + 1) * 512

"""Files that the version before the rooms saved (tests/data/saved_before) still load and mean the same."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from trainingtools import TINY, NoiseSource, make_config, write_model

from fantasyid_core import load_adapter
from fantasyid_core.identity.fingerprint import adapter_fingerprint
from fantasyid_core.identity.identityfile import load_identity
from fantasyid_core.shape.head import synthetic_head
from fantasyid_core.training.build import build_models
from fantasyid_core.training.loop import Run

SAVED = Path(__file__).parents[1] / "data" / "saved_before"
EXPECTED = json.loads((SAVED / "expected.json").read_text())


@pytest.fixture(scope="module")
def adapter():
    return load_adapter(SAVED / "adapter.safetensors")


@pytest.fixture(scope="module")
def drawn():
    """The face features and hidden states that the earlier version was given."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(1, 17, 32, generator=draw), torch.randn(1, 6, 192, generator=draw)


def test_an_adapter_computes_what_it_did(adapter, drawn):
    feats, hidden = drawn
    with torch.no_grad():
        tokens = adapter.encode(feats, synthetic_head(2)[0].unsqueeze(0))
        added = adapter.injector(tokens)(1, hidden)
    assert float(tokens.mean()) == pytest.approx(EXPECTED["tokens_mean"], rel=1e-4)
    assert float(tokens.norm()) == pytest.approx(EXPECTED["tokens_norm"], rel=1e-5)
    assert float(added.norm()) == pytest.approx(EXPECTED["delta_norm"], rel=1e-5)


def test_an_identity_belongs_to_its_adapter_and_is_injected(adapter, drawn):
    assert adapter_fingerprint(adapter) == EXPECTED["fingerprint"]
    identity = load_identity(SAVED / "identity.safetensors", adapter_fingerprint(adapter))
    assert identity.note == "" and identity.shape_name == "somebody" and identity.thumbnail.shape == (16, 12, 3)
    assert torch.equal(identity.vertices, synthetic_head(2)[0])
    assert json.loads(identity.edit)["values"] == {"jaw_width": 0.5}
    with torch.no_grad():
        added = adapter.injector(identity.tokens)(1, drawn[1])
    assert float(added.norm()) == pytest.approx(EXPECTED["delta_norm"], rel=1e-5)


def test_a_training_goes_on_and_ends_where_it_did(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trainingtools.TINY", {**TINY, **EXPECTED["sizes"]})
    write_model(Path("model"))
    config = make_config(Path("out"), "model", steps=3, checkpoints={"every": 1, "keep_last": 5})
    with tarfile.open(SAVED / "training.tar.xz") as archive:
        archive.extractall(Path("out", "checkpoints"), filter="data")
    steps, source = [], NoiseSource()
    run = Run(config, "auto", build_models(config), (source, source))
    original = run._step
    monkeypatch.setattr(run, "_step", lambda feed: steps.append(1) or original(feed))
    try:
        run.steps()
        final = load_file(run.finish())
    finally:
        run.log.close()
    assert len(steps) == 2  # one of three was made before
    # A normalisation follows these: their gradient is rounding noise, which Adam makes as large as any other step.
    expected = {key: value for key, value in EXPECTED["trained"].items() if not key.endswith("conv_in.conv1d.bias")}
    norms = {key: float(final[key].double().norm()) for key in expected}
    assert len(norms) > 100 and norms == pytest.approx(expected, rel=1e-3, abs=1e-5)

"""Files of the paper variant: round trips, ablations, other variants and other meshes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from golden import relative_error
from paperadapter import heads, trained_adapter
from safetensors.torch import load_file, save_file
from small import inputs_of, make_adapter, make_transformer_state, release_state

from fantasyid_core import load_adapter
from fantasyid_core.config import TransformerConfig
from fantasyid_core.files.keymaps import adapter_name, diffusers_name, host_name, is_dead, paper_name
from fantasyid_core.identity.fingerprint import adapter_fingerprint
from fantasyid_core.shape import synthetic_topology
from fantasyid_core.shape.topology.meshtopology import build_topology
from fantasyid_core.weights.adapter import save_adapter
from fantasyid_core.weights.transformer import transformer_keys

SWITCHES = [{}, {"use_face": False}, {"use_vertices": False}, {"shared_injection": True}]


@pytest.fixture
def adapter():
    made = trained_adapter()
    made.fit_vertices(heads(20))
    return made


@pytest.fixture
def path(adapter, tmp_path):
    return save_adapter(adapter, tmp_path / "paper.safetensors")


def metadata_of(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata()


def rewrite(path, change=None, **stated):
    """The file with other tensors, and other sizes stated in its metadata."""
    metadata = json.loads(metadata_of(path)["fantasyid"])
    metadata["adapter"].update(stated)
    state = load_file(path)
    if change:
        change(state)
    save_file(state, path, {"fantasyid": json.dumps(metadata)})


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_a_file_gives_back_the_adapter(tmp_path, switches):
    original = trained_adapter(**switches)
    original.fit_vertices(heads(20))
    loaded = load_adapter(save_adapter(original, tmp_path / "a.safetensors"))
    assert loaded.config == original.config and not any(p.requires_grad for p in loaded.parameters())
    assert loaded.state_dict().keys() == original.state_dict().keys()
    inputs, hidden = inputs_of(original), torch.randn(1, 48, 192)
    tokens = original.encode(*inputs)
    for key, value in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    # Weights that lie in their file are aligned otherwise, and matrix products then round otherwise.
    assert relative_error(loaded.encode(*inputs), tokens) < 1e-5
    assert relative_error(loaded.injector(tokens)(1, hidden), original.injector(tokens)(1, hidden)) < 1e-5
    assert adapter_fingerprint(loaded) == adapter_fingerprint(original)


def test_the_release_variant_can_be_saved_too(tmp_path):
    original = make_adapter()
    loaded = load_adapter(save_adapter(original, tmp_path / "a.safetensors"), variant="release")
    assert loaded.config == original.config
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in original.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_saves_half_the_size_and_changes_little(adapter, tmp_path, dtype):
    loaded = load_adapter(save_adapter(adapter, tmp_path / "half.safetensors", dtype))
    inputs = inputs_of(adapter)
    assert (loaded.encode(*inputs) - adapter.encode(*inputs)).norm() < 0.03 * adapter.encode(*inputs).norm()
    assert load_adapter(tmp_path / "half.safetensors", dtype=None).layers[0].to_q.weight.dtype == dtype


def test_an_adapter_is_read_from_the_folder_of_a_whole_model(adapter, tmp_path):
    """As a small model ships: transformer and adapter beside each other, sizes in config.json."""
    folder = tmp_path / "model" / "transformer"
    folder.mkdir(parents=True)
    sizes = TransformerConfig.tiny()
    save_file(make_transformer_state(sizes), folder / "diffusion_pytorch_model.safetensors")
    state = {paper_name(key): value for key, value in adapter.state_dict().items()}
    save_file({**state, **adapter.topology.tensors()}, folder / "adapter.safetensors")
    (folder / "config.json").write_text(json.dumps({**asdict(sizes), "fantasyid": asdict(adapter.config)}))
    loaded = load_adapter(tmp_path / "model")
    assert loaded.config == adapter.config
    assert torch.equal(loaded.encode(*inputs_of(adapter)), adapter.encode(*inputs_of(adapter)))
    from fantasyid_core.files.checkpoint import open_checkpoint

    assert not [key for key in transformer_keys(open_checkpoint(tmp_path / "model")) if key.startswith("fantasyid.")]


def test_names_are_of_one_kind_only(adapter):
    for own in adapter.state_dict():
        key = paper_name(own)
        assert adapter_name(key) == own
        assert host_name(key) is None and diffusers_name(key) is None and not is_dead(key)


def test_the_other_variant_is_refused(path, tmp_path):
    release = save_adapter(make_adapter(), tmp_path / "release.safetensors")
    with pytest.raises(ValueError, match="adapter of the release variant, expected the paper variant"):
        load_adapter(release, variant="paper")
    with pytest.raises(ValueError, match="adapter of the paper variant, expected the release variant"):
        load_adapter(path, variant="release")


@pytest.mark.parametrize("wrong", ["release", "papre"])
def test_a_file_that_says_it_is_another_variant_is_refused(path, wrong):
    rewrite(path, variant=wrong)
    with pytest.raises(ValueError, match=f"holds weights of the paper variant, its config says {wrong}"):
        load_adapter(path)


def test_release_weights_under_a_config_of_the_paper_are_refused(tmp_path, adapter):
    folder = tmp_path / "transformer"
    folder.mkdir()
    save_file(release_state(make_adapter()), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"fantasyid": asdict(adapter.config)}))
    with pytest.raises(ValueError, match="holds weights of the release variant, its config says paper"):
        load_adapter(tmp_path, topology=synthetic_topology())


def test_both_variants_in_one_folder_are_refused(path, tmp_path):
    save_file(release_state(make_adapter()), tmp_path / "release.safetensors")
    with pytest.raises(ValueError, match="holds weights of the paper and the release variant"):
        load_adapter(tmp_path)


def test_another_mesh_is_refused(path, adapter):
    other = build_topology(adapter.topology.template, adapter.topology.faces, (642, 162, 42))  # as many vertices
    for topology in (other, synthetic_topology(3, 2)):
        with pytest.raises(ValueError, match=r"was trained on another mesh \(642 -> 162 -> 42 vertices\)"):
            load_adapter(path, topology=topology)
    assert load_adapter(path, topology=synthetic_topology()).config == adapter.config


def test_a_file_without_its_mesh_asks_for_it(path, monkeypatch):
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    rewrite(path, lambda state: [state.pop(key) for key in list(state) if key.startswith("topology.")])
    with pytest.raises(FileNotFoundError, match="mesh topology"):
        load_adapter(path)
    load_adapter(path, topology=synthetic_topology())
    with pytest.raises(ValueError, match="another mesh"):
        load_adapter(path, topology=synthetic_topology(3, 2))


def test_weights_without_their_sizes_are_refused(adapter):
    state = {paper_name(key): value for key, value in adapter.state_dict().items()}
    with pytest.raises(ValueError, match="without its sizes"):
        load_adapter(state, topology=adapter.topology)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("fantasyid.layers.1.filter.conv.weight"),
            "1 tensors of the FantasyID adapter are missing: fantasyid.layers.1.filter.conv.weight",
        ),
        (
            lambda s: s.update({"fantasyid.layers.7.to_q.weight": torch.ones(2)}),
            "are unexpected: fantasyid.layers.7.to_q.weight",
        ),
        (
            lambda s: s.update({"fantasyid.encoder.vertex_encoder.table": torch.ones(1, 2, 3)}),
            r"of the wrong shape: fantasyid.encoder.vertex_encoder.table is \[1, 2, 3\] instead of \[1, 42, 32\]",
        ),
        (lambda s: s.update({"mystery": torch.ones(1)}), "1 unexpected tensors: mystery"),
    ],
)
def test_what_does_not_fit_is_named(path, change, message):
    rewrite(path, change)
    with pytest.raises(ValueError, match=message):
        load_adapter(path)


def test_an_ablation_is_not_taken_for_the_whole(path):
    rewrite(path, use_vertices=False)
    with pytest.raises(ValueError, match="are unexpected: fantasyid.encoder.vertex_encoder"):
        load_adapter(path)


def test_bad_targets_are_refused_and_cost_nothing(adapter, path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="ends in .safetensors"):
        save_adapter(adapter, path.with_suffix(".pt"))
    with pytest.raises(ValueError, match="floating-point dtype"):
        save_adapter(adapter, path, torch.int8)
    broken = replace(adapter.topology, template=adapter.topology.template.clone())
    adapter.topology = broken
    adapter.layers[0].to_q.weight = torch.nn.Parameter(torch.empty(3, device="meta"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        save_adapter(adapter, path)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1

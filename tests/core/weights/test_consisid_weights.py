"""Loading ConsisID adapters: official names, the pickle of face modules, old configs, and what does not fit."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from consisidgolden import expected, full_size_state, layout, tiny_config, tiny_features, tiny_state
from golden import relative_error
from paperadapter import trained_adapter
from safetensors.torch import save_file
from small import make_adapter, release_state

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig
from fantasyid_core.files.keymaps import adapter_name, consisid_name
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.identity.fingerprint import adapter_fingerprint
from fantasyid_core.weights.adapter import save_adapter


@pytest.fixture(scope="module")
def state():
    return tiny_state()


def write_folder(folder, state, **config):
    """A model folder in the official layout."""
    inner = folder / "transformer"
    inner.mkdir(parents=True)
    save_file(state, inner / "diffusion_pytorch_model.safetensors")
    (inner / "config.json").write_text(json.dumps(tiny_config(**config)))
    return folder


def face_modules(state):
    """What the official save_face_modules writes of a state dict."""
    cross, extractor = "perceiver_cross_attention", "local_facial_extractor."
    layers = sorted({int(key.split(".")[1]) for key in state if key.startswith(cross)})
    starts = [f"{cross}.{layer}." for layer in layers]
    return {
        "local_facial_extractor": {key[len(extractor) :]: state[key] for key in state if key.startswith(extractor)},
        cross: [{key[len(start) :]: state[key] for key in state if key.startswith(start)} for start in starts],
    }


def test_every_official_name_has_its_place_and_leads_back():
    names = [key for key in layout()["full_size_face_modules"] if key.startswith(("local_", "perceiver_"))]
    assert len(names) == 179
    assert [consisid_name(adapter_name(key)) for key in names] == names


def test_a_folder_gives_the_official_tokens_and_layers(tmp_path, state):
    adapter = load_adapter(write_folder(tmp_path, state))
    assert (adapter.config.injected_layers, adapter.config.interval) == (2, 2)
    assert relative_error(adapter.encode(tiny_features()), expected()["tokens.tiny"]) <= 1e-5
    assert not adapter.training and not any(p.requires_grad for p in adapter.parameters())


def test_the_old_config_is_passed_over_where_the_shapes_say_otherwise(tmp_path, state):
    old = {"LFE_output_dim": 768, "LFE_num_heads": 12, "LFE_heads": 12, "LFE_num_tokens": 32, "LFE_num_querie": 8}
    adapter = load_adapter(write_folder(tmp_path, state, cross_attn_interval=1, **old))
    assert (adapter.config.injected_layers, adapter.config.interval) == (2, 2)
    assert relative_error(adapter.encode(tiny_features()), expected()["tokens.tiny"]) <= 1e-5


def test_the_official_pickle_of_face_modules_is_read(tmp_path, state):
    torch.save(face_modules(state), tmp_path / "face_modules.pt")
    heads = {"cross_attn_dim_head": 32, "LFE_dim_head": 32}
    adapter = load_adapter(tmp_path / "face_modules.pt", config=heads)
    assert adapter.config.interval is None and adapter.config.injected_layers == 2
    assert relative_error(adapter.encode(tiny_features()), expected()["tokens.tiny"]) <= 1e-5


class Hostile:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_that_carries_code_is_refused(tmp_path, capsys):
    content = {"local_facial_extractor": {}, "perceiver_cross_attention": [Hostile()]}
    (tmp_path / "face_modules.pt").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="could not be read as plain weights|truncated or corrupt"):
        load_adapter(tmp_path / "face_modules.pt")
    assert "never run" not in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_an_adapter_file_needs_nothing_else(tmp_path, state, dtype):
    whole = load_adapter(state, config=tiny_config(local_face_scale=0.7))
    loaded = load_adapter(save_adapter(whole, tmp_path / "adapter.safetensors", dtype), dtype=None)
    assert loaded.config == whole.config and loaded.config.local_face_scale == 0.7
    assert loaded.topology is None and loaded.transformer == whole.transformer != ""
    assert adapter_fingerprint(loaded) == adapter_fingerprint(whole)
    if dtype is None:
        assert torch.equal(loaded.encode(tiny_features()), whole.encode(tiny_features()))


def test_the_scale_multiplies_what_is_added(state):
    tokens, hidden = expected()["tokens.tiny"], torch.randn(1, 5, 384, generator=torch.Generator().manual_seed(0))
    full, less = (load_adapter(state, config=tiny_config(local_face_scale=scale)) for scale in (1.0, 0.7))
    assert torch.allclose(less.injector(tokens)(0, hidden), 0.7 * full.injector(tokens)(0, hidden), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "config", "message"),
    [
        (None, {"is_kps": True}, "sets is_kps, .* ConsisID-preview does not"),
        (None, {"is_train_face": False}, "is_train_face false, a model that shows no person"),
        (None, {"patch_size_t": 2}, "is a ConsisID on CogVideoX 1.5"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.ones(384, 256)}), {}, "is a ConsisID on CogVideoX 1.5"),
        (None, {"local_face_scale": "much"}, "expected a number as local_face_scale in config.json, got 'much'"),
        (
            lambda s: s.pop("local_facial_extractor.mapping_2.3.bias"), {},
            "1 tensors of the ConsisID adapter are missing: local_facial_extractor.mapping_2.3.bias",
        ),
        (lambda s: s.pop("local_facial_extractor.proj_out"), {}, "incomplete: .*local_facial_extractor.proj_out"),
        (
            lambda s: [s.pop(key) for key in list(s) if key.startswith("perceiver_cross_attention.0.")], {},
            r"1 of 2 cross attentions are missing: perceiver_cross_attention.0\.",
        ),
        (lambda s: s.update({"perceiver_cross_attention.0.bias": torch.ones(1)}), {}, "1 unexpected tensors"),
        (
            lambda s: s.update({"perceiver_cross_attention.1.to_out.weight": torch.ones(3, 3)}), {},
            r"wrong shape: perceiver_cross_attention.1.to_out.weight is \[3, 3\] instead of \[384, 128\]",
        ),
    ],
)  # fmt: skip
def test_what_is_no_preview_is_refused(state, change, config, message):
    changed = dict(state)
    if change is not None:
        change(changed)
    with pytest.raises(ValueError, match=message):
        load_adapter(changed, config=tiny_config(**config))


def test_parts_of_both_models_in_one_file_are_refused(state):
    mixed = {**state, **release_state(make_adapter())}
    with pytest.raises(ValueError, match="holds weights of the consisid and the release variant"):
        load_adapter(mixed)


def test_an_odd_number_of_blocks_does_not_fit(state):
    adapter = load_adapter(state, config=tiny_config())
    with pytest.raises(ValueError, match="has 2 injected layers .* but the model has 5 blocks, which need 3"):
        adapter.injector(expected()["tokens.tiny"]).layer_of_block(5)


def test_an_adapter_on_another_models_equal_transformer_is_an_error(tmp_path, state):
    """Both are trained from one base: the shapes agree, the weights do not."""
    other = {key: value + 0.05 * value.flip(0) for key, value in state.items()}
    transformer = diffusers_host.load_transformer(other, config=tiny_config())
    adapter, tokens = load_adapter(state, config=tiny_config()), expected()["tokens.tiny"]
    with pytest.raises(ValueError, match="belongs to the video model .*, this one is .*: it has the same sizes"):
        diffusers_host.attach(transformer, adapter.injector(tokens))
    own = diffusers_host.load_transformer(state, config=tiny_config())
    for dtype in (torch.float16, torch.bfloat16, torch.float8_e4m3fn):
        diffusers_host.attach(own.to(dtype), adapter.injector(tokens)).remove()
    # A file that was written before there was a fingerprint, or of face modules alone, says nothing and fits.
    alone = load_adapter(
        {k: v for k, v in state.items() if k.startswith(("local_", "perceiver_"))}, config=tiny_config()
    )
    assert alone.transformer == ""
    diffusers_host.attach(transformer, alone.injector(tokens)).remove()


def test_fantasyids_adapter_on_consisids_transformer_is_an_error(state):
    """The reverse: the release's adapter knows its own transformer, too."""
    adapter = make_adapter(dit_width=384, injected_layers=2, interval=2)
    blocks = {key: value for key, value in state.items() if not key.startswith(("local_", "perceiver_"))}
    other = {key: value + 0.05 * value.flip(0) for key, value in blocks.items()}
    sizes = {"fantasyid": {"face_tokens": 4, "attention_heads": 2, "attention_head_dim": 16, "fusion_heads": 2}}
    whole = load_adapter({**release_state(adapter), **other}, adapter.topology, config={**tiny_config(), **sizes})
    assert whole.transformer
    tokens = torch.zeros(1, whole.config.id_tokens, 32)
    with pytest.raises(ValueError, match="belongs to the video model"):
        diffusers_host.attach(diffusers_host.load_transformer(state, config=tiny_config()), whole.injector(tokens))


def test_fingerprints_of_older_variants_stayed():
    """Saved people name their adapter by it: these were written before there was a ConsisID variant."""
    assert adapter_fingerprint(make_adapter()) == "f4985367b086230c"
    assert adapter_fingerprint(trained_adapter()) == "a7f6d6a373801c4c"


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="as many layers .* for each of its 5 states, got 7"):
        AdapterConfig.consisid(extractor_depth=7)
    with pytest.raises(ValueError, match="a finite local_face_scale"):
        AdapterConfig.consisid(local_face_scale=float("nan"))


def test_a_new_adapter_needs_no_topology():
    adapter = IdentityAdapter(AdapterConfig.consisid_tiny())
    assert adapter.config.id_tokens == 8 and adapter.config.vertex_tokens == 0
    assert not adapter.config.reads_shape


def test_the_full_size_holds_what_the_official_one_holds():
    adapter = load_adapter(full_size_state())
    assert sum(value.numel() for value in adapter.encoder.parameters()) == 151_398_400
    assert sum(value.numel() for value in adapter.layers.parameters()) == 20_981_760

"""The small model folder: the official layout, loadable by every loader, the same for the same seed."""

from __future__ import annotations

import json

import pytest
import torch

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.face.encoder import load_face_encoder
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.host.diffusers import others as diffusers_models
from fantasyid_core.sampling import alphas_cumprod
from fantasyid_core.shape import synthetic_head, synthetic_topology
from fantasyid_core.tools.random_model import write_random_model

PARTS = "face_encoder scheduler text_encoder tokenizer topology.safetensors transformer vae".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("tiny") / "model")


def test_every_part_loads_and_fits_the_others(folder):
    assert sorted(path.name for path in folder.iterdir()) == PARTS
    adapter = load_adapter(folder)
    assert adapter.config == AdapterConfig.tiny()
    encoder = load_face_encoder(folder / "face_encoder" / "eva.safetensors")
    features = encoder.encode(torch.rand(1, 3, 64, 64))
    assert features.shape == (1, adapter.config.vit_tokens, adapter.config.vit_width)
    tokens = adapter.encode(features, synthetic_head(3)[0])
    assert tokens.shape == (1, adapter.config.id_tokens, adapter.config.id_width)
    assert tokens.isfinite().all() and tokens.std() > 0.01
    transformer = diffusers_host.load_transformer(folder)
    assert diffusers_host.transformer_sizes(transformer) == TransformerConfig.tiny()
    diffusers_host.attach(transformer, adapter.injector(tokens)).remove()


def test_the_vae_compresses_as_cogvideox(folder):
    vae = diffusers_models.load_vae(folder)
    assert vae.encode(torch.zeros(1, 3, 1, 64, 96)).latent_dist.mean.shape == (1, 16, 1, 8, 12)
    assert vae.decode(torch.zeros(1, 16, 3, 8, 12)).sample.shape == (1, 3, 9, 64, 96)


def test_text_encoder_and_tokenizer_fit(folder):
    ids = diffusers_models.load_tokenizer(folder)("hé", padding="max_length", max_length=8).input_ids
    assert len(ids) == 8 and ids[-1] == 0
    encoder = diffusers_models.load_text_encoder(folder, torch.bfloat16)
    embedding = encoder(torch.tensor([ids]))[0]
    assert embedding.shape == (1, 8, TransformerConfig.tiny().text_embed_dim)
    assert embedding.dtype == torch.bfloat16


def test_schedule_is_the_official_one(folder):
    assert torch.equal(diffusers_models.load_schedule(folder), alphas_cumprod())


def test_equal_seeds_give_equal_weights_and_leave_the_global_state(folder, tmp_path):
    before = torch.get_rng_state()
    again = write_random_model(tmp_path / "again")
    other = write_random_model(tmp_path / "other", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "face_encoder/eva"):
        content = (folder / f"{name}.safetensors").read_bytes()
        assert (again / f"{name}.safetensors").read_bytes() == content
        assert (other / f"{name}.safetensors").read_bytes() != content


def test_sizes_of_the_callers_own_are_written(tmp_path):
    transformer = TransformerConfig.tiny(num_layers=4, sample_width=16)
    adapter = AdapterConfig.tiny(vertex_counts=(2562, 642, 162), interval=2, id_width=64)
    folder = write_random_model(tmp_path, 0, transformer, adapter, synthetic_topology(3, 4))
    assert load_adapter(folder).config == adapter
    assert json.loads((folder / "transformer" / "config.json").read_text())["cross_attn_interval"] == 2
    assert diffusers_host.transformer_sizes(diffusers_host.load_transformer(folder)) == transformer


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (AdapterConfig.tiny(vertex_counts=(5023, 1256, 314)), "5023.*got \\(642, 162, 42\\)"),
        (AdapterConfig.tiny(dit_width=64), "width 192 .* got width 64"),
        (AdapterConfig.tiny(injected_layers=1), "2 injected layers.* with 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, adapter, message):
    with pytest.raises(ValueError, match=message):
        write_random_model(tmp_path / "model", adapter=adapter)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer"])
def test_a_missing_part_says_where_it_belongs(tmp_path, part):
    load = getattr(diffusers_models, f"load_{part}")
    with pytest.raises(FileNotFoundError, match=f"Expected {part}/.* got no {part}/"):
        load(tmp_path)


@pytest.mark.parametrize(("part", "key"), [("vae", "decoder.conv_in.conv.weight"), ("text_encoder", "shared.weight")])
def test_missing_tensors_are_not_made_up(folder, tmp_path, part, key):
    from safetensors.torch import load_file, save_file

    place = tmp_path / part
    place.mkdir()
    source = next((folder / part).glob("*.safetensors"))
    (place / "config.json").write_bytes((folder / part / "config.json").read_bytes())
    state = load_file(source)
    del state[key]
    save_file(state, place / source.name, {"format": "pt"})
    with pytest.raises(ValueError, match=f"missing or of the wrong shape: .*{key}"):
        getattr(diffusers_models, f"load_{part}")(tmp_path)


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_truncated_parts_are_refused(folder, tmp_path, part):
    place = tmp_path / part
    place.mkdir()
    source = next((folder / part).glob("*.safetensors"))
    (place / "config.json").write_bytes((folder / part / "config.json").read_bytes())
    (place / source.name).write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=f"{part} could not be loaded .*damaged"):
        getattr(diffusers_models, f"load_{part}")(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prediction_type": "epsilon"}', "prediction_type is 'epsilon' instead of 'v_prediction'"),
        ("[1]", "not a scheduler config"),
        ("{", "not a scheduler config"),
    ],
)
def test_schedules_of_other_models_are_refused(tmp_path, content, message):
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        diffusers_models.load_schedule(tmp_path)

"""LoRAs on the host's MODEL: the formula to the tolerance of the weights, and nothing left behind."""

from __future__ import annotations

import math

import pytest
import torch
from golden import relative_error
from small import inputs_of, make_adapter, make_transformer_state

from fantasyid_core.config import TransformerConfig

SIZES = TransformerConfig.tiny(max_text_seq_length=16)
CONFIG = {name: getattr(SIZES, name) for name in TransformerConfig.__dataclass_fields__}
NOISE = torch.randn(1, *SIZES.latent_shape, generator=torch.Generator().manual_seed(0))
CONDITIONING = [[[torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(seed)), {}]] for seed in (1, 2)]
RANK, ALPHA = 4, 6.0
NAMES = {  # diffusers' name -> the host's
    "transformer_blocks.0.attn1.to_q": "blocks.0.q",
    "transformer_blocks.0.attn1.to_k": "blocks.0.k",
    "transformer_blocks.1.attn1.to_v": "blocks.1.v",
    "transformer_blocks.1.attn1.to_out.0": "blocks.1.attn_out",
    "transformer_blocks.1.ff.net.0.proj": "blocks.1.ff_proj",
    "transformer_blocks.0.ff.net.2": "blocks.0.ff_out",
    "transformer_blocks.0.norm1.linear": "blocks.0.norm1.linear",
    "patch_embed.proj": "patch_embed.proj",
}


@pytest.fixture(scope="module")
def comfy_host(host):
    from fantasyid_core.host import comfy

    return comfy


@pytest.fixture(scope="module")
def load_lora(host):
    from fantasyid_core.host.comfy.lora import load_lora

    return load_lora


@pytest.fixture(scope="module")
def model(comfy_host):
    return comfy_host.load_model(make_transformer_state(SIZES), config=CONFIG)


@pytest.fixture(scope="module")
def lora(model):
    return make_lora(model)


def make_lora(model, seed: int = 3) -> dict[str, torch.Tensor]:
    """A seeded LoRA for `NAMES` as diffusers saves it, with alpha."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, module in NAMES.items():
        rows, *columns = weight_of(model, module).shape
        state[f"transformer.{name}.lora_A.weight"] = 0.1 * torch.randn(RANK, *columns, generator=generator)
        up = 0.1 * torch.randn(rows, RANK, *[1] * (len(columns) - 1), generator=generator)
        state[f"transformer.{name}.lora_B.weight"] = up
        state[f"transformer.{name}.alpha"] = torch.tensor(ALPHA)
    return state


def weight_of(model, module: str) -> torch.Tensor:
    return model.model.state_dict()[f"diffusion_model.{module}.weight"]


def state_of(model) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.model.state_dict().items()}


@pytest.fixture
def run(comfy_host):
    def run(model, steps=2, **options):
        with torch.inference_mode():
            return comfy_host.sample(model, NOISE, *CONDITIONING, steps=steps, solver="ddim", **options)

    return run


@pytest.mark.parametrize("strength", [1.0, 0.4, -1.5])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_weights_are_those_of_the_formula(comfy_host, load_lora, run, strength, dtype):
    model = comfy_host.load_model(make_transformer_state(SIZES), config=CONFIG, dtype=dtype)
    lora = make_lora(model)
    before = state_of(model)
    patched, report = load_lora(model, lora, strength)
    assert set(report.applied) == set(NAMES.values()) and report.unused == ()
    assert (report.ranks, report.scales) == ((RANK,), (ALPHA / RANK,))
    during: dict = {}
    run(patched, callback=lambda *_: during.update(state_of(patched)))
    changed = {f"diffusion_model.{module}.weight" for module in NAMES.values()}
    for key, value in during.items():
        if key not in changed:
            assert torch.equal(value, before[key]), key
    for name, module in NAMES.items():
        down, up = (lora[f"transformer.{name}.lora_{half}.weight"].double() for half in "AB")
        old, new = (each[f"diffusion_model.{module}.weight"].double() for each in (before, during))
        expected = old + strength * ALPHA / RANK * (up.flatten(1) @ down.flatten(1)).reshape(old.shape)
        tolerance = {None: 1e-6, torch.bfloat16: 5e-3, torch.float16: 1e-3}[dtype]
        assert relative_error(new, expected) < tolerance < 0.05 < relative_error(new, old)


def test_the_plain_model_stays_to_the_bit(load_lora, model, lora, run):
    plain = run(model)  # the host keeps a clone's weights in place until another clone runs
    before = state_of(model)
    patched, _ = load_lora(model, lora)
    assert relative_error(run(patched), plain) > 1e-3
    assert torch.equal(run(model), plain)
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert not model.patches


def test_strength_zero_is_the_plain_model_to_the_bit(load_lora, model, lora, run):
    patched, report = load_lora(model, lora, 0.0)
    assert report.applied == () and torch.equal(run(patched), run(model))


def test_two_loras_add_up(load_lora, model, lora, run):
    run(model)  # as above
    before, during = state_of(model), {}
    both = load_lora(load_lora(model, lora, 0.5)[0], make_lora(model, seed=4), 0.25)[0]
    run(both, callback=lambda *_: during.update(state_of(both)))
    for name, module in NAMES.items():
        key = f"diffusion_model.{module}.weight"
        expected = before[key].flatten(1)
        for part, state in ((0.5, lora), (0.25, make_lora(model, seed=4))):
            down, up = (state[f"transformer.{name}.lora_{half}.weight"].flatten(1) for half in "AB")
            expected = expected + part * ALPHA / RANK * up @ down
        assert relative_error(during[key].flatten(1), expected) < 1e-6


def test_identity_and_lora_in_both_orders(comfy_host, load_lora, model, lora, run):
    adapter = make_adapter()
    with torch.no_grad():
        tokens = adapter.encode(*inputs_of(adapter))
    plain = run(model)
    alone, person = run(load_lora(model, lora)[0]), run(comfy_host.attach(model, adapter, tokens))
    first = run(comfy_host.attach(load_lora(model, lora)[0], adapter, tokens))
    second = run(load_lora(comfy_host.attach(model, adapter, tokens), lora)[0])
    assert torch.equal(first, second)
    for single in (plain, alone, person):
        assert relative_error(first, single) > 1e-3
    assert torch.equal(run(model), plain)
    assert all(not block._forward_hooks for block in model.model.diffusion_model.blocks)


def test_the_hosts_own_loader_reads_none_of_it(model, lora):
    """Why this module exists; should the host learn the names one day, this test says so."""
    import comfy.lora

    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    assert comfy.lora.load_lora(lora, keys, log_missing=False) == {}


def test_the_report_counts_what_changed_and_names_what_did_not_fit(load_lora, model, lora):
    state = {**lora, "lora_te_text_model.lora_up.weight": torch.zeros(1, 1)}
    words = load_lora(model, state, 0.8)[1].describe()
    assert "8 weights changed (rank 4, scale 1.5 x 0.8)" in words
    assert "1 names are not for this model: lora_te_text_model.lora_up.weight" in words


def test_a_lora_for_another_size_or_model_is_refused(load_lora, model):
    name = "transformer.transformer_blocks.{}.attn1.to_q.lora_{}.weight"
    large = {name.format(0, "A"): torch.ones(4, 3072), name.format(0, "B"): torch.ones(3072, 4)}
    with pytest.raises(ValueError, match=r"another size of CogVideoX: .*\[3072, 4\].* weight is \[192, 192\]"):
        load_lora(model, large)
    deep = {name.format(41, "A"): torch.ones(4, 192), name.format(41, "B"): torch.ones(192, 4)}
    with pytest.raises(ValueError, match="this model has no blocks.41.q"):
        load_lora(model, deep)
    with pytest.raises(ValueError, match="no LoRA for this model.*double_blocks.0.img_mod.lora_A.weight.*Flux"):
        load_lora(model, {"double_blocks.0.img_mod.lora_A.weight": torch.ones(1, 1)})


@pytest.mark.parametrize("strength", [math.nan, math.inf])
def test_a_strength_that_is_no_number_is_refused(load_lora, model, lora, strength):
    with pytest.raises(ValueError, match="finite LoRA strength"):
        load_lora(model, lora, strength)


def test_another_model_family_is_refused(load_lora, lora):
    class Other:
        class model:  # noqa: N801
            diffusion_model = torch.nn.Linear(1, 1)

    with pytest.raises(ValueError, match="Expected a CogVideoX-5B-I2V 1.0 model"):
        load_lora(Other, lora)

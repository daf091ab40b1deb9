"""LoRA files in the namings that are around."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from fantasyid_core.files.keymaps import DIFFUSERS_TO_HOST, diffusers_name, rename
from fantasyid_core.weights.lora import read_lora

WIDTH, BLOCKS, RANK = 12, 12, 4
GENERATOR = torch.Generator().manual_seed(0)
SHAPES = {
    **{f"blocks.{i}.{name}": (WIDTH, WIDTH) for i in range(BLOCKS) for name in ("q", "k", "v", "attn_out")},
    **{f"blocks.{i}.ff_proj": (4 * WIDTH, WIDTH) for i in range(BLOCKS)},
    **{f"blocks.{i}.ff_out": (WIDTH, 4 * WIDTH) for i in range(BLOCKS)},
    **{f"blocks.{i}.{name}.linear": (6 * WIDTH, 8) for i in range(BLOCKS) for name in ("norm1", "norm2")},
    **{f"blocks.{i}.{name}": (4,) for i in range(BLOCKS) for name in ("norm_q", "norm_k")},
    "time_embedding_linear_1": (8, WIDTH),
    "time_embedding_linear_2": (8, 8),
    "patch_embed.proj": (WIDTH, 3, 2, 2),
    "patch_embed.text_proj": (WIDTH, 6),
    "norm_final": (WIDTH,),
    "norm_out.linear": (2 * WIDTH, 8),
    "proj_out": (10, WIDTH),
}
MODULES = [name for name, shape in SHAPES.items() if len(shape) > 1]


def pair(module: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeded lora_A and lora_B for a module."""
    rows, *columns = SHAPES[module]
    up_shape = (rows, RANK, *[1] * (len(columns) - 1))
    return torch.randn(RANK, *columns, generator=GENERATOR), torch.randn(up_shape, generator=GENERATOR)


def diffusers_module(module: str) -> str:
    return diffusers_name(f"{module}.weight").removesuffix(".weight")


def kohya(module: str) -> str:
    return diffusers_module(module).replace(".", "_")


NAMINGS = {
    "diffusers": ("transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight", diffusers_module),
    "bare": ("{}.lora_A.weight", "{}.lora_B.weight", diffusers_module),
    "peft": ("base_model.model.{}.lora_A.weight", "base_model.model.{}.lora_B.weight", diffusers_module),
    "peft in training": (
        "base_model.model.{}.lora_A.default.weight",
        "base_model.model.{}.lora_B.default.weight",
        diffusers_module,
    ),
    "distributed": ("module.{}.lora_A.weight", "module.{}.lora_B.weight", diffusers_module),
    "compiled": ("transformer._orig_mod.{}.lora_A.weight", "transformer._orig_mod.{}.lora_B.weight", diffusers_module),
    "old diffusers": ("transformer.{}.lora.down.weight", "transformer.{}.lora.up.weight", diffusers_module),
    "linear layer": ("{}.lora_linear_layer.down.weight", "{}.lora_linear_layer.up.weight", diffusers_module),
    "processor": ("{}_lora.down.weight", "{}_lora.up.weight", diffusers_module),
    "up and down": ("transformer.{}.lora_down.weight", "transformer.{}.lora_up.weight", diffusers_module),
    "kohya": ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", kohya),
    "CogVideoX-Fun": ("lora_unet__{}.lora_down.weight", "lora_unet__{}.lora_up.weight", kohya),
    "OneTrainer": ("lora_transformer_{}.lora_down.weight", "lora_transformer_{}.lora_up.weight", kohya),
    "SimpleTuner": ("lycoris_{}.lora_down.weight", "lycoris_{}.lora_up.weight", kohya),
    "the host": ("diffusion_model.{}.lora_A.weight", "diffusion_model.{}.lora_B.weight", str),
    "the host, kohya": (
        "lora_unet_{}.lora_down.weight",
        "lora_unet_{}.lora_up.weight",
        lambda module: module.replace(".", "_"),
    ),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_module_is_found_in_every_naming(naming):
    down_name, up_name, spell = NAMINGS[naming]
    pairs = {module: pair(module) for module in MODULES}
    state = {}
    for module, (down, up) in pairs.items():
        state |= {down_name.format(spell(module)): down, up_name.format(spell(module)): up}
    lora = read_lora(state, SHAPES)
    assert {layer.module for layer in lora.layers} == set(MODULES) and lora.unused == ()
    for layer in lora.layers:
        assert layer.down is pairs[layer.module][0] and layer.up is pairs[layer.module][1] and layer.alpha is None


def test_the_modules_above_are_all_that_the_transformer_has():
    for rule in DIFFUSERS_TO_HOST:
        assert any(rename(f"{diffusers_module(module)}.weight", [rule]) for module in SHAPES), rule


def test_the_older_name_of_the_output_projection_is_read():
    down, up = pair("blocks.3.attn_out")
    name = "transformer_blocks.3.attn1.to_out.lora"
    (layer,) = read_lora({f"{name}.down.weight": down, f"{name}.up.weight": up}, SHAPES).layers
    assert layer.module == "blocks.3.attn_out"


def query(prefix="transformer.transformer_blocks.0.attn1.to_q", **extra) -> dict[str, torch.Tensor]:
    down, up = pair("blocks.0.q")
    return {f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up, **extra}


def test_alpha_is_read_from_the_file():
    name = "transformer.transformer_blocks.0.attn1.to_q.alpha"
    assert read_lora(query(**{name: torch.tensor(8.0)}), SHAPES).layers[0].alpha == 8
    assert read_lora(query(**{name: torch.tensor([2], dtype=torch.bfloat16)}), SHAPES).layers[0].alpha == 2


@pytest.mark.parametrize(
    ("settings", "alpha"),
    [
        ({"lora_alpha": 16}, 16),
        ({"lora_alpha": 16, "use_rslora": True}, 32),  # alpha / sqrt(rank) = 8, of rank 4
        ({"lora_alpha": 16, "alpha_pattern": {"attn1.to_q": 2}}, 2),
        ({"lora_alpha": 16, "alpha_pattern": {"to_k": 2, r"transformer_blocks\.0\..*": 3}}, 3),
        ({"lora_alpha": 16, "alpha_pattern": {"o_q": 2}}, 16),
        ({"r": 4}, None),
    ],
)
def test_alpha_is_read_from_the_settings_of_peft(tmp_path, settings, alpha):
    """Inside the file as diffusers writes them, and beside it as PEFT does."""
    inside, beside = tmp_path / "pytorch_lora_weights.safetensors", tmp_path / "adapter_model.safetensors"
    packed = {f"transformer.{key}": value for key, value in settings.items()}
    save_file(query(), inside, {"lora_adapter_metadata": json.dumps(packed)})
    save_file(query("base_model.model.transformer_blocks.0.attn1.to_q"), beside)
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    for path in (inside, beside):
        lora = read_lora(path, SHAPES)
        assert lora.layers[0].alpha == alpha and lora.name == path.name


@pytest.mark.parametrize("text", ["{", "[]", '{"lora_alpha": "high"}', '{"lora_alpha": 1, "alpha_pattern": {"(": 1}}'])
def test_unreadable_settings_are_an_error(tmp_path, text):
    path = tmp_path / "my_lora.safetensors"
    save_file(query(), path, {"lora_adapter_metadata": text})
    with pytest.raises(ValueError, match="my_lora.safetensors: its settings"):
        read_lora(path, SHAPES)


def test_other_names_are_listed():
    lora = read_lora(query(**{"lora_te_text_model.lora_up.weight": torch.zeros(1, 1)}), SHAPES)
    assert lora.unused == ("lora_te_text_model.lora_up.weight",)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", "Flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "Flux"),
        ("diffusion_model.blocks.0.self_attn.q.lora_A.weight", "Wan"),
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", "Stable Diffusion"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", "a text encoder"),
        ("model.transformer.layers.0.attention.query_key_value.lora_A.weight", "its first training code"),
        ("visual.blocks.0.attn.weight", "a CLIP model"),
    ],
)
def test_a_lora_for_another_model_is_refused_with_its_names(name, family):
    with pytest.raises(ValueError, match=f"no LoRA for this model.*such as {name}; it looks like .*{family}"):
        read_lora({name: torch.zeros(2, 2)}, SHAPES)


def other(module="blocks.0.q", down=(RANK, WIDTH), up=(WIDTH, RANK)) -> dict[str, torch.Tensor]:
    name = f"transformer.{diffusers_module(module)}"
    return {f"{name}.lora_A.weight": torch.ones(down), f"{name}.lora_B.weight": torch.ones(up)}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (other(down=(RANK, 10)), r"to_q.lora_A.weight \(\[12, 4\] x \[4, 10\], this model's weight is \[12, 12\]\)"),
        (other(up=(10, RANK)), "another size of CogVideoX: 1 of 1 layers do not fit"),
        (other(up=(WIDTH, 3)), "another size of CogVideoX"),
        (other("blocks.12.q"), "transformer_blocks.12.attn1.to_q.lora_A.weight .this model has no blocks.12.q"),
        (other("blocks.0.norm_q", (1, 4), (4, 1)), "another size of CogVideoX"),
        (dict(list(other().items())[:1]), "is incomplete: 1 of 1 layers lack .*to_q.lora_A.weight"),
        ({**query(), "transformer_blocks.1.attn1.to_q.alpha": torch.ones(1)}, "incomplete: 1 of 2 layers"),
        ({key: value * math.nan for key, value in query().items()}, "damaged: .*lora_A.weight holds NaN"),
        ({**query(), "transformer_blocks.0.attn1.to_q.alpha": torch.ones(2)}, "alpha as one number"),
        ({**query(), "transformer_blocks.0.attn1.to_q.alpha": torch.tensor(math.inf)}, "alpha holds NaN or infinite"),
        ({**query(), **query("transformer_blocks.0.attn1.to_q")}, "are both for blocks.0.q"),
        (
            {**query(), "transformer_blocks.0.attn1.to_q.lora_magnitude_vector": torch.ones(12)},
            "holds DoRA for 1 weight of .*not supported",
        ),
        (
            {**query(), "transformer_blocks.1.attn1.to_q.lora_B.bias": torch.ones(12)},
            "holds changed biases for 1 weight of",
        ),
        (
            {**query(), "lora_unet_transformer_blocks_1_attn1_to_q.hada_w1_a": torch.ones(12)},
            "holds LoHa for 1 weight of .*hada_w1_a",
        ),
        ({}, "Expected a state dict"),
    ],
)
def test_what_does_not_fit_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        read_lora(state, SHAPES)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.safetensors does not exist"):
        read_lora(tmp_path / "gone.safetensors", SHAPES)
    (tmp_path / "cut.safetensors").write_bytes(b"12345678")
    with pytest.raises(ValueError, match="cut.safetensors is not a readable safetensors file"):
        read_lora(tmp_path / "cut.safetensors", SHAPES)


@pytest.mark.parametrize("key, kind", [
    ("lycoris_transformer_blocks_0_attn1_to_q.lokr_w1", "LoKr"),
    ("lycoris_transformer_blocks_0_attn1_to_q.hada_w1_b", "LoHa"),
    ("transformer.transformer_blocks.0.attn1.to_q.lora_magnitude_vector.default.weight", "DoRA"),
    ("lora_unet_transformer_blocks_0_attn1_to_q.dora_scale", "DoRA"),
    ("lora_unet_transformer_blocks_0_attn1_to_q.oft_blocks", "OFT"),
    ("base_model.model.transformer_blocks.0.attn1.to_k.oft_R.default.weight", "OFT"),
    ("base_model.model.transformer_blocks.0.attn1.to_k.ia3_l", "IA3"),
    ("diffusion_model.blocks.0.q.diff", "differences of whole weights"),
])  # fmt: skip
def test_other_kinds_are_named_although_their_names_are_cogvideox_s(key, kind):
    """Alone in a file, too: it is no LoRA for another model."""
    with pytest.raises(ValueError, match=f"holds {kind} for 1 weight of this model, such as .*not supported"):
        read_lora({key: torch.ones(2, 2)}, SHAPES)


@pytest.mark.parametrize("text, alpha", [
    (b'\xef\xbb\xbf{"lora_alpha": 16}', 16), ('{"lora_alpha": 16, "base": "模型"}'.encode(), 16),
    (b'{"lora_alpha": null, "alpha_pattern": null}', None), (b"{}", None),
])  # fmt: skip
def test_settings_beside_the_file_are_utf8_with_or_without_a_mark(tmp_path, text, alpha):
    save_file(query(), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_bytes(text)
    assert read_lora(tmp_path / "adapter_model.safetensors", SHAPES).layers[0].alpha == alpha


@pytest.mark.parametrize("text", [
    b'{"lora_alpha": NaN}', b'{"lora_alpha": "much"}', b"[1]", b"\xff\xfe",
    b'{"alpha_pattern": {"(": 1}, "lora_alpha": 1}',
    b'{"lora_alpha": 1, "alpha_pattern": {"to_q": 1e999}}', b"[" * 100_000,
])  # fmt: skip
def test_settings_that_cannot_be_read_are_refused(tmp_path, text):
    save_file(query(), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_bytes(text)
    with pytest.raises(ValueError, match="adapter_model.safetensors: its settings .* cannot be read"):
        read_lora(tmp_path / "adapter_model.safetensors", SHAPES)

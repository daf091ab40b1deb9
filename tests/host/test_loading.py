"""How the weights get into the host's model."""

from __future__ import annotations

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small import make_transformer_state

from fantasyid_core.config import TransformerConfig
from fantasyid_core.files.keymaps import host_name

SIZES = TransformerConfig.tiny(max_text_seq_length=16)
CONFIG = {name: getattr(SIZES, name) for name in TransformerConfig.__dataclass_fields__}


def places(model) -> dict[str, int]:
    """Name -> where the memory of the weight begins."""
    weights = model.model.diffusion_model.state_dict()
    return {name: value.untyped_storage().data_ptr() for name, value in weights.items()}


def test_weights_lie_in_their_file_and_take_no_memory(host, tmp_path):
    from fantasyid_core.host import comfy as comfy_host

    state = {key: value.bfloat16() for key, value in make_transformer_state(SIZES).items()}
    save_file(state, tmp_path / "model.safetensors")
    model = comfy_host.load_model(tmp_path / "model.safetensors", config=CONFIG)
    found = places(model)
    blocks = {place for name, place in found.items() if not name.startswith("patch_embed.")}
    # They stand in one map of the file: as far apart as there. Tensors of their own would be anywhere.
    assert max(blocks) - min(blocks) < (tmp_path / "model.safetensors").stat().st_size
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        order = [key for key in file.offset_keys() if key.startswith("transformer_blocks.0.attn1")]
    host_names = [found[host_name(key)] for key in order]
    assert host_names == sorted(host_names)
    weights = model.model.diffusion_model.state_dict()
    assert torch.equal(weights["blocks.1.ff_out.weight"], state["transformer_blocks.1.ff.net.2.weight"])
    other = comfy_host.load_model(tmp_path / "model.safetensors", config=CONFIG, dtype=torch.float32)
    assert len(set(places(other).values())) == len(found)  # another dtype is read, tensor by tensor


def test_a_state_dict_stays_the_callers(host):
    from fantasyid_core.host import comfy as comfy_host

    state = make_transformer_state(SIZES)
    model = comfy_host.load_model(state, config=CONFIG)
    theirs = {value.untyped_storage().data_ptr() for value in state.values()}
    assert not theirs & set(places(model).values())

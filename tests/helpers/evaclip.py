"""Random EVA-CLIP towers by timm, and their weights under the official names."""

from __future__ import annotations

import re

import pytest
import torch

from fantasyid_core.face.encoder import EvaConfig

SMALL = EvaConfig(name="small", image_size=56, patch_size=14, width=64, depth=2, heads=2, hidden=170, rope_grid=3)


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    return ((value - reference).norm() / reference.norm()).item()


def unsettle(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Moves norms and biases off 1 and 0, so that none of them could be left out unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model.eval()


def faces(count: int = 1, size: int = 512) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def small_timm_model() -> torch.nn.Module:
    """A timm model with everything EVA02-CLIP has, one block deeper than SMALL."""
    eva = pytest.importorskip("timm.models.eva", reason="timm is the reference of the face encoder")
    torch.manual_seed(2)
    model = eva.Eva(
        img_size=56, patch_size=14, num_classes=8, global_pool="token", embed_dim=64, depth=3, num_heads=2,
        qkv_fused=False, mlp_ratio=4 * 2 / 3, swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True,
        use_rot_pos_emb=True, ref_feat_shape=(3, 3),
    )  # fmt: skip
    return unsettle(model, seed=3)


def official_state(small) -> dict[str, torch.Tensor]:
    """The weights under the names of EVA-CLIP's own code, with the rest of such a file around them."""
    state = {"logit_scale": torch.ones(()), "text.token_embedding.weight": torch.zeros(9, 4)}
    table = {
        r"(attn)\.norm\.": r"\1.inner_attn_ln.",
        r"(mlp)\.norm\.": r"\1.ffn_ln.",
        r"([qv])_proj\.bias": r"\1_bias",
        r"fc1_g": "w1",
        r"fc1_x": "w2",
        r"fc2": "w3",
    }
    for name, tensor in small.state_dict().items():
        for ours, official in table.items():
            name = re.sub(ours, official, name)
        state["visual." + name] = tensor
    for place in ("visual.rope", "visual.blocks.0.attn.rope", "visual.blocks.2.attn.rope"):
        state[place + ".freqs_cos"] = torch.zeros(16, 32)
    return state

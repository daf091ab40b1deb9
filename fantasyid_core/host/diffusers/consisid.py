"""diffusers' own ConsisID modules, to measure and compare with."""

from __future__ import annotations

from ...config import AdapterConfig
from ...files.keymaps import consisid_name
from ...identity.network.attention import LayerAttention


def own_cross_attention(layer: LayerAttention, config: AdapterConfig):
    """diffusers' PerceiverCrossAttention with the weights of `layer`; called with tokens and hidden states."""
    from diffusers.models.transformers.consisid_transformer_3d import PerceiverCrossAttention

    own = PerceiverCrossAttention(config.dit_width, config.attention_head_dim, config.attention_heads, config.id_width)
    prefix = "perceiver_cross_attention.0."
    state = {consisid_name(f"layers.0.{name}")[len(prefix) :]: value for name, value in layer.state_dict().items()}
    own.load_state_dict(state, assign=True)
    return own.requires_grad_(False).eval()

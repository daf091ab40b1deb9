"""Layer attention: every injected block attends to the identity with its own weights (paper section 3.3).

    hidden <- hidden + Attention_layer(LN(id_tokens), LN(hidden))

after the block, to the video tokens only. The release stops here; the paper's F_l follows in `frame_filter`.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig


class LayerAttention(nn.Module):
    """Cross-attention of one injected layer: queries from the video tokens, keys and values from the identity
    tokens."""

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__()
        self.heads = config.attention_heads
        self.hidden_norm = operations.LayerNorm(config.dit_width)
        self.to_q = operations.Linear(config.dit_width, config.inner_width, bias=False)
        self.id_norm = operations.LayerNorm(config.id_width)
        self.to_kv = operations.Linear(config.id_width, 2 * config.inner_width, bias=False)
        self.to_out = operations.Linear(config.inner_width, config.dit_width, bias=False)

    def forward(self, id_tokens: Tensor, hidden: Tensor) -> Tensor:
        """[B, Nid, Cid] and [B, N, D] -> what is added to the hidden states, [B, N, D]."""
        return self.attend(self.project(id_tokens), hidden)

    def project(self, id_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of the identity tokens, each [B, H, Nid, Dh]."""
        k, v = rearrange(self.to_kv(self.id_norm(id_tokens)), "b n (s h d) -> s b h n d", s=2, h=self.heads)
        return k, v

    def attend(self, kv: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:  # [B, N, D] -> [B, N, D]
        return self.to_out(self.attention(kv, hidden))

    def attention(self, kv: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:  # [B, N, D] -> [B, N, H*Dh]
        q = rearrange(self.to_q(self.hidden_norm(hidden)), "b n (h d) -> b h n d", h=self.heads)
        k, v = (match_batch(x, q.shape[0]) for x in kv)
        attended = F.scaled_dot_product_attention(q, k, v)
        return rearrange(attended, "b h n d -> b n (h d)")


def match_batch(x: Tensor, batch: int) -> Tensor:  # [b, ...] -> [B, ...]
    """`x` [b, ...] repeated for a batch; ValueError unless `batch` is a multiple of b."""
    # Guidance stacks whole copies of the batch, so the identities repeat as a block.
    if x.shape[0] == batch:
        return x
    if batch % x.shape[0]:
        raise ValueError(f"{x.shape[0]} identities cannot be spread over a batch of {batch} videos.")
    return x.expand(batch, *x.shape[1:]) if x.shape[0] == 1 else x.repeat(batch // x.shape[0], 1, 1, 1)

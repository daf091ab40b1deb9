"""The backend that computes attention: one of diffusers' by name, for CogVideoX.

diffusers' own processor of CogVideoX always calls PyTorch's function, and `set_attention_backend` changes nothing
there. Therefore a backend comes with a processor of this project, which computes the same and asks diffusers for the
backend. Backends that would be downloaded from the hub are not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from ...options import ATTENTIONS, NATIVE

SINCE = "0.35"
_NAMES = {word: f"_{word.replace('-', '_')}" if "-" in word else word for word in ATTENTIONS}
_ON_CPU = ATTENTIONS[:3]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values [B, H, N, Dh] -> [B, H, N, Dh]."""


def check_attention(word: str, device: torch.device) -> None:
    """Raises RuntimeError when the backend cannot compute here: diffusers or the device lacks it, or a package."""
    if word == NATIVE:
        return
    dispatch = _dispatch(word)
    if device.type == "cpu" and word not in _ON_CPU:
        raise RuntimeError(
            f"The attention {word} computes on an NVIDIA GPU, got the device cpu. Choose --attention {NATIVE}."
        )
    try:
        dispatch._check_attention_backend_requirements(dispatch.AttentionBackendName(_NAMES[word]))
    except (RuntimeError, ImportError) as error:
        raise RuntimeError(
            f"The attention {word} cannot be used here. {error} Or choose --attention {NATIVE}."
        ) from error


def attend_with(word: str) -> Attend:
    """The function of the backend `word`, one of `options.ATTENTIONS`."""
    if word == NATIVE:
        return F.scaled_dot_product_attention
    dispatch = _dispatch(word)
    backend = dispatch.AttentionBackendName(_NAMES[word])

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        tokens_first = (each.transpose(1, 2) for each in (query, key, value))
        return dispatch.dispatch_attention_fn(*tokens_first, backend=backend).transpose(1, 2)

    return attend


def _dispatch(word: str):
    """diffusers' module of backends."""
    import diffusers

    try:
        from diffusers.models import attention_dispatch

        attention_dispatch.AttentionBackendName(_NAMES[word])
    except (ImportError, RuntimeError, ValueError) as error:
        raise RuntimeError(
            f"The attention {word} comes with diffusers {SINCE}, installed is {diffusers.__version__}. Update it (pip "
            f"install --upgrade diffusers), or choose --attention {NATIVE}."
        ) from error
    return attention_dispatch


@contextmanager
def attending(transformer, word: str) -> Iterator[None]:
    """`transformer` with the attention backend `word` while the body runs; "native" changes nothing."""
    if word == NATIVE:
        yield
        return
    before = transformer.attn_processors
    transformer.set_attn_processor(JointAttention(attend_with(word)))
    try:
        yield
    finally:
        transformer.set_attn_processor(before)


class JointAttention:
    """CogVideoX's attention over text and video tokens together."""

    def __init__(self, attend: Attend):
        self.attend = attend

    def __call__(
        self, attn, hidden_states: Tensor, encoder_hidden_states: Tensor, image_rotary_emb=None, **_
    ) -> tuple[Tensor, Tensor]:
        text = encoder_hidden_states.shape[1]
        tokens = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query, key, value = heads_of(attn, tokens, image_rotary_emb, text)
        words, video = self.attend(query, key, value).split([text, hidden_states.shape[1]], dim=2)
        return tokens_of(attn, video), tokens_of(attn, words)


def heads_of(attn, x: Tensor, rotary=None, text: int = 0) -> list[Tensor]:
    """Tokens [B, n, D], the first `text` of them words, -> queries, keys and values [B, H, n, Dh]."""
    from diffusers.models.embeddings import apply_rotary_emb

    made = [layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for layer in (attn.to_q, attn.to_k, attn.to_v)]
    for place, norm in enumerate((attn.norm_q, attn.norm_k)):
        made[place] = made[place] if norm is None else norm(made[place])
        if rotary is not None:
            turned = apply_rotary_emb(made[place][:, :, text:], rotary)
            made[place] = torch.cat([made[place][:, :, :text], turned], dim=2)
    return made


def tokens_of(attn, x: Tensor) -> Tensor:  # [B, H, n, Dh] -> [B, n, D]
    """The output of the attention's last layers."""
    return attn.to_out[1](attn.to_out[0](x.transpose(1, 2).flatten(2)))

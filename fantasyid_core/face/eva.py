"""The image tower of EVA-CLIP, cut after the block whose output FantasyID reads.

EVA-02 (arXiv 2303.11331, EVA-CLIP: arXiv 2303.15389) is a pre-norm ViT with a class token, learned positions,
two-dimensional rotary positions, SwiGLU, and one more LayerNorm inside the attention and the MLP ("sub-LN").

Choices made here:
- The released adapter was trained on the output of block index 19 of 24, before any final norm, so 20 blocks
  exist; the last four, the norm, the head and the text tower are never built.
- Parameters carry timm's names (`eva02_large_patch14_clip_336`); `rename_key` maps the official ones.
- The MLP is padded to whole vector lanes, see `SwiGLU`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6
ROPE_BASE = 10000.0
LANES = 16

# Part of an official name -> the same part of timm's.
RENAMED = (
    (".attn.inner_attn_ln.", ".attn.norm."),
    (".attn.q_bias", ".attn.q_proj.bias"),
    (".attn.v_bias", ".attn.v_proj.bias"),
    (".mlp.ffn_ln.", ".mlp.norm."),
    (".mlp.w1.", ".mlp.fc1_g."),
    (".mlp.w2.", ".mlp.fc1_x."),
    (".mlp.w3.", ".mlp.fc2."),
)


@dataclass(frozen=True)
class EvaConfig:
    """The shape of the tower; the defaults are those of EVA02-CLIP-L-14-336 up to block index 19."""

    name: str = "EVA02-CLIP-L-14-336"
    image_size: int = 336
    patch_size: int = 14
    width: int = 1024
    depth: int = 20
    heads: int = 16
    hidden: int = 2730
    rope_grid: int = 16  # patches per side in the pre-training, whose angles are stretched over the image

    def __post_init__(self):
        numbers = {key: value for key, value in vars(self).items() if key != "name"}
        if any(type(value) is not int or value < 1 for value in numbers.values()):
            raise ValueError(f"Expected positive whole numbers to describe the encoder, got {numbers}.")
        if self.image_size % self.patch_size or self.width % (4 * self.heads):
            raise ValueError(
                "Expected an image_size that is a multiple of patch_size and a width that is a multiple of "
                f"4 * heads, got image_size {self.image_size}, patch_size {self.patch_size}, "
                f"width {self.width}, heads {self.heads}."
            )

    @classmethod
    def tiny(cls, width: int = 64, image_size: int = 56, depth: int = 2) -> EvaConfig:
        """A small tower with every feature of the large one, for tests and the demo."""
        heads, hidden = max(1, width // 32), width * 8 // 3
        return cls(f"tiny-{width}-{image_size}", image_size, 14, width, depth, heads, hidden)

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch_size


def rotary_table(config: EvaConfig) -> Tensor:  # [2, P, Dh]
    """Cosine and signed sine by which `rotate` turns each pair of channels of each token.

    The first half of a head's channels turns with the row, the second with the column. The class token stays.
    """
    head = config.width // config.heads
    # The device is explicit because the table is needed even when the tower is built on the meta device.
    position = torch.arange(config.grid, device="cpu") / config.grid * config.rope_grid
    speed = 1 / ROPE_BASE ** (torch.arange(0, head // 2, 2, device="cpu") / (head // 2))
    angle = torch.outer(position, speed).repeat_interleave(2, dim=-1)  # [grid, Dh/2]
    rows = angle[:, None].expand(-1, config.grid, -1)
    angle = torch.cat([rows, rows.transpose(0, 1)], dim=-1).flatten(0, 1)
    angle = F.pad(angle, (0, 0, 1, 0))
    sign = torch.tensor([-1.0, 1.0], device="cpu").repeat(head // 2)
    return torch.stack([angle.cos(), angle.sin() * sign])


def rotate(x: Tensor, table: Tensor) -> Tensor:  # [B, P, H, Dh], [2, P, Dh] -> [B, P, H, Dh]
    """Turns neighbouring channels (a, b) into (a cos - b sin, b cos + a sin)."""
    cos, sin = table[:, :, None]
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return x * cos + swapped * sin


class Attention(nn.Module):
    """Self-attention with rotary positions, keys without bias, and a norm before the output projection."""

    def __init__(self, config: EvaConfig, operations=nn):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.q_proj = operations.Linear(width, width)
        self.k_proj = operations.Linear(width, width, bias=False)
        self.v_proj = operations.Linear(width, width)
        self.norm = operations.LayerNorm(width, eps=NORM_EPS)
        self.proj = operations.Linear(width, width)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:  # [B, P, C] -> [B, P, C]
        projections = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)) for layer in projections)  # [B, P, H, Dh]
        q, k = rotate(q, table), rotate(k, table)
        x = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)))
        return self.proj(self.norm(x.transpose(1, 2).flatten(2)))


class SwiGLU(nn.Module):
    """silu(gate) * value, normed, projected back.

    The first two layers have rows up to a multiple of LANES, which are cut off again before they can have any
    effect: matrix products whose result has rows of 2730 numbers are 15 to 25 % slower than 2736 (CPU).
    """

    def __init__(self, config: EvaConfig, operations=nn):
        super().__init__()
        width, self.hidden = config.width, config.hidden
        padded = self.hidden + -self.hidden % LANES
        self.fc1_g = operations.Linear(width, padded)
        self.fc1_x = operations.Linear(width, padded)
        self.norm = operations.LayerNorm(self.hidden, eps=NORM_EPS)
        self.fc2 = operations.Linear(self.hidden, width)

    def forward(self, x: Tensor) -> Tensor:  # [B, P, C] -> [B, P, C]
        gate, value = (layer(x)[..., : self.hidden] for layer in (self.fc1_g, self.fc1_x))
        # Contiguous, because silu's vectorised and scalar code round differently: so it equals timm's.
        return self.fc2(self.norm(F.silu(gate.contiguous()) * value))


class Block(nn.Module):
    def __init__(self, config: EvaConfig, operations=nn):
        super().__init__()
        self.norm1 = operations.LayerNorm(config.width, eps=NORM_EPS)
        self.attn = Attention(config, operations)
        self.norm2 = operations.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = SwiGLU(config, operations)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:  # [B, P, C] -> [B, P, C]
        x = x + self.attn(self.norm1(x), table)
        return x + self.mlp(self.norm2(x))


class Eva(nn.Module):
    """Normalised pixels -> the tokens after block `config.depth - 1`, class token first, no final norm."""

    def __init__(self, config: EvaConfig, operations=nn):
        super().__init__()
        self.config = config
        self.patch_embed = nn.ModuleDict(
            {"proj": operations.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)}
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.grid**2, config.width))
        self.register_buffer("rotary", rotary_table(config), persistent=False)
        self.blocks = nn.ModuleList(Block(config, operations) for _ in range(config.depth))

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, P, C]
        x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x, self.rotary)
        return x

    def published_state(self) -> dict[str, Tensor]:
        """The parameters under timm's names in timm's shapes: without the padding of the MLP."""
        hidden, state = self.config.hidden, self.state_dict()
        return {name: t[:hidden] if _is_padded(name) else t for name, t in state.items()}

    def load_published_state(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Takes exactly the names and shapes of `published_state`; the tensors become the parameters.

        Pairs rather than a mapping, so that a caller reading a file keeps no second copy of what is padded.
        """
        rows = -self.config.hidden % LANES
        self.load_state_dict(
            {name: _pad_rows(t, rows) if _is_padded(name) else t for name, t in tensors}, assign=True
        )


def _is_padded(name: str) -> bool:
    return ".mlp.fc1_" in name


def _pad_rows(tensor: Tensor, rows: int) -> Tensor:
    return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, rows))


def rename_key(name: str) -> str:
    """An official parameter name below `visual.` -> timm's name; timm's names stay as they are."""
    for official, timm in RENAMED:
        name = name.replace(official, timm)
    return name

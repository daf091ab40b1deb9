"""Injection of the paper variant (paper section 3.3): F_l on top of each layer's cross-attention.

    hidden <- hidden + strength * weight[layer] * F_l(Attention_layer(LN(id_tokens), LN(hidden))) W_out

F_l is a depthwise 3x3 convolution over each latent frame's grid of video tokens, added to what goes in, and a
layer norm over the channels. W_out starts at zero, so an untrained adapter changes nothing, to the bit.
F_l is no sum over people, so K and V cannot be folded into the projections; `ConvolvedLayer` keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from ...config import AdapterConfig
from ..folded import Person, Share, SharedLayer
from ..injector import LayerInjection

_FILTER = ("filter.conv.weight", "filter.conv.bias", "filter.norm.weight", "filter.norm.bias")


class FrameFilter(nn.Module):
    """F_l: x + conv(x) over the grid of every latent frame, then layer norm; [B, N, C] -> [B, N, C]."""

    def __init__(self, width: int, grid: tuple[int, int], operations=nn):
        super().__init__()
        self.grid = tuple(grid)
        self.conv = operations.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = operations.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError unless N is a whole number of latent frames."""
        height, width = self.grid
        if x.shape[1] % (height * width):
            raise ValueError(
                f"Expected whole latent frames of {height}x{width} video tokens (a multiple of {height * width}), got "
                f"{x.shape[1]} tokens. Use the size of video that the adapter was made for."
            )
        frames = x.reshape(-1, height, width, x.shape[2]).permute(0, 3, 1, 2)  # [B*T, C, h, w], channels last
        convolved = self.conv(frames).permute(0, 2, 3, 1).reshape(x.shape)
        return self.norm(x + convolved)


class ConvolvedLayer(SharedLayer):
    """One layer with the identities fixed: K and V of every person are kept, F_l is applied to each of them."""

    def __init__(self, layer: PaperInjection, people: Sequence[Person], operations=nn):
        super().__init__(layer, people, operations)
        self.filter = FrameFilter(layer.to_q.out_features, layer.grid, operations)
        self.unit = layer.unit

    @property
    def floats_per_token(self) -> int:
        """Numbers of a video token that are alive at once beside the result."""
        return self.query.in_features + 4 * self.query.out_features

    @property
    def weight_count(self) -> int:
        """How many numbers stay in memory."""
        return super().weight_count + sum(value.numel() for value in self.filter.parameters())

    @staticmethod
    def weights(layer: PaperInjection, people: Sequence[Person]) -> dict[str, Tensor]:
        """The state dict of `people`, in float32 at least, on the device of their tokens."""
        state = SharedLayer.weights(layer, people)
        like = state["query.weight"]
        return state | {name: layer.get_parameter(name).to(like) for name in _FILTER}

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share | None]) -> Tensor | None:
        """`onto` (None: nothing) and what each person adds to `hidden`, [B, N, D]; a share of None adds nothing.

        Raises ValueError unless N is a whole number of latent frames.
        """
        # A person whose only group of tokens this adapter does not make has none, and adds nothing.
        there = [share if key.shape[2] else None for share, key in zip(shares, self.keys, strict=True)]
        return super().add(onto, hidden, there)

    def _attend(self, index: int, query: Tensor, share: Share) -> Tensor:  # -> [B, N, H*Dh]
        filtered = self.filter(self._attention(index, query, 1.0)) * share.weight
        return filtered if share.region is None else filtered * share.region.weights


class PaperInjection(LayerInjection):
    """Cross-attention and F_l of one injected layer."""

    only_form = ConvolvedLayer

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__(config, operations)
        self.grid = tuple(config.grid)
        self.unit = config.grid[0] * config.grid[1]
        self.filter = FrameFilter(config.inner_width, config.grid, operations)
        nn.init.zeros_(self.to_out.weight)

    def attend(self, kv: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:  # [B, N, D] -> [B, N, D]
        return self.to_out(self.filter(self.attention(kv, hidden)))


class RepeatedLayer(nn.Module):
    """One injection for all `count` layers, used like a list of them; its weights exist, and are saved, once."""

    def __init__(self, layer: LayerInjection, count: int):
        super().__init__()
        self.count = count
        self.add_module("0", layer)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> LayerInjection:
        if not -self.count <= index < self.count:
            raise IndexError(f"Expected a layer of 0 to {self.count - 1}, got {index}.")
        return self.get_submodule("0")

    def __iter__(self) -> Iterator[LayerInjection]:
        return (self[index] for index in range(self.count))


def paper_layers(config: AdapterConfig, operations=nn) -> nn.ModuleList | RepeatedLayer:
    """The injection of every layer, or the one that all share."""
    if config.shared_injection:
        return RepeatedLayer(PaperInjection(config, operations), config.injected_layers)
    return nn.ModuleList(PaperInjection(config, operations) for _ in range(config.injected_layers))

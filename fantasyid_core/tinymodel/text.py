"""The text encoder of FantasyID-Tiny: words of a closed vocabulary -> few tokens, by a small transformer.

Learned tokens stand before the words. The DiT gets only these tokens, which keeps its sequence short. `train_encoders`
pre-trains the encoder, and it is then trained together with the DiT. As in CogVideoX, texts are padded to one length,
and padding is not masked. The null text consists of padding alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..people.prompts import vocabulary
from .tokens import TokenLayer
from .words import words_of

PADDING = 0


@dataclass(frozen=True)
class TextConfig:
    """words: what it knows, in the order of the embedding. length: words of every text. tokens, embed: what the DiT
    gets of each."""

    words: tuple[str, ...] = ()
    length: int = 28
    tokens: int = 8
    width: int = 96
    layers: int = 2
    heads: int = 3
    embed: int = 128

    @classmethod
    def current(cls, **changes) -> TextConfig:
        """With the words that prompts have today."""
        return replace(cls(words=vocabulary()), **changes)

    @classmethod
    def tiny(cls, **changes) -> TextConfig:
        return cls.current(**{"width": 8, "layers": 1, "heads": 2, "embed": 16, **changes})


class TextEncoder(nn.Module):
    """`encode`: texts -> [B, tokens, embed]. Built twice with one seed it is the same."""

    def __init__(self, config: TextConfig | None = None, seed: int = 0):
        super().__init__()
        self.config = config = config or TextConfig.current()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(1 + len(config.words), config.width)
            self.positions = nn.Parameter(0.1 * torch.randn(config.length, config.width))
            self.queries = nn.Parameter(0.1 * torch.randn(config.tokens, config.width))
            self.layers = nn.ModuleList(TokenLayer(config.width, config.heads) for _ in range(config.layers))
            self.norm = nn.LayerNorm(config.width)
            self.to_embed = nn.Linear(config.width, config.embed)
        self._numbers = {word: number for number, word in enumerate(config.words, 1)}

    def encode(self, texts: Sequence[str]) -> Tensor:  # -> [B,tokens,embed]
        """Embeddings of any texts; words without meaning here are left out and named in a warning.

        Raises ValueError unless it is given a sequence of texts.
        """
        ids = self.ids(texts).to(self.positions.device)
        words = self.embedding(ids) + self.positions
        tokens = torch.cat([self.queries.expand(len(words), -1, -1), words], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.to_embed(self.norm(tokens[:, : self.config.tokens]))

    def forward(self, texts: Sequence[str]) -> Tensor:  # -> [B,tokens,embed]
        return self.encode(texts)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Numbers of the words, 0 for padding: [B,length]."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts) or not len(texts):
            raise ValueError(f"Expected a list of texts, got {texts!r}. Write [text] for a single one.")
        return torch.tensor([self._row(text) for text in texts])

    def _row(self, text: str) -> list[int]:
        words, foreign = words_of(text)
        if foreign:
            warnings.warn(
                f"FantasyID-Tiny knows {len(self._numbers)} words; left out: {', '.join(dict.fromkeys(foreign))}. "
                f'An example of what it knows: "turns the head to the left and smiles, blue background".',
                UserWarning,
                stacklevel=4,
            )
        row = [self._numbers[word] for word in words if word in self._numbers]
        if len(row) > self.config.length:
            warnings.warn(
                f"The text has {len(row)} known words; FantasyID-Tiny reads the first {self.config.length}.",
                UserWarning,
                stacklevel=4,
            )
        row = row[: self.config.length]
        return row + [PADDING] * (self.config.length - len(row))

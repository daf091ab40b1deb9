"""One video on several devices, a process for each: the halves of guidance, the sequence of video tokens, or both.

    guidance    the first half of the processes computes the negative prompt, the other half the positive one
    sequence    each process has a part of the video tokens. For attention the processes exchange tokens for heads
                (Ulysses, arXiv 2309.14509), so that each has all tokens of some heads. All have the text tokens.

The identity is added token by token, so it is split with the tokens. All processes take the same steps on the same
latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from ...options import GUIDANCE, NATIVE, PARALLELS, ROWS, SEQUENCE
from .attention import Attend, attend_with, heads_of, tokens_of
from .model import transformer_sizes


@dataclass(frozen=True, eq=False)
class Layout:
    """Which processes share a forward pass: `sequence` (a group; None: this one alone), and `half` of guidance.

    half: 0 the negative, 1 the positive one; None: both are computed here. opposite: the group of the processes that
    have the same tokens in both halves.
    """

    sequence: dist.ProcessGroup | None = None
    half: int | None = None
    opposite: dist.ProcessGroup | None = None


ALONE = Layout()


def make_layout(ways: str, heads: int, tokens: int, guided: bool, world: int | None = None) -> Layout:
    """The layout for one of `options.PARALLELS` over all processes of torch.distributed.

    Raises ValueError for a number of processes that does not divide the heads, an odd number for guidance, and
    guidance where there is none.
    """
    world = dist.get_world_size() if world is None else world
    if ways not in PARALLELS:
        raise ValueError(f"Expected a way among {', '.join(PARALLELS)}, got {ways!r}.")
    by_guidance = ways != SEQUENCE
    if by_guidance and not guided:
        raise ValueError("Guidance 1 has one half only: expected --cfg above 1, or --parallel sequence.")
    if ways == GUIDANCE and world != 2 or by_guidance and world % 2:
        raise ValueError(f"Guidance has two halves: expected 2 processes, or an even number for both, got {world}.")
    parts = world // 2 if by_guidance else world
    if heads % parts or parts > tokens:
        fitting = [str(count) for count in range(2, 17) if heads % count == 0]
        raise ValueError(
            f"{parts} devices cannot share {heads} heads of attention: expected a number that divides them, such as "
            f"{', '.join(fitting)}."
        )
    return _groups(world, parts, by_guidance)


@contextmanager
def split_for(ways: str, transformer, halves: int, attention: str = NATIVE) -> Iterator[Layout]:
    """`transformer` split among all processes of torch.distributed in this way while the body runs; yields the layout.

    attention: the backend, one of `options.ATTENTIONS`.

    Raises as `make_layout`, and ValueError when there is only one process.
    """
    if ways == ROWS:
        yield ALONE
        return
    if not dist.is_available() or not dist.is_initialized():
        raise ValueError(f"--parallel {ways} needs several processes: accelerate launch -m fantasyid_core generate ...")
    sizes = transformer_sizes(transformer)
    layout = make_layout(ways, sizes.num_attention_heads, sizes.video_tokens, halves == 2)
    with split_sequence(transformer, layout.sequence, attend_with(attention)):
        yield layout


def _groups(world: int, parts: int, by_guidance: bool) -> Layout:
    rank = dist.get_rank()
    # All processes make all groups, in the same order.
    rows = [dist.new_group(list(range(start, start + parts))) for start in range(0, world, parts)] if parts > 1 else []
    columns = [dist.new_group([place, place + parts]) for place in range(parts)] if by_guidance else []
    return Layout(
        sequence=rows[rank // parts] if rows else None,
        half=rank // parts if by_guidance else None,
        opposite=columns[rank % parts] if columns else None,
    )


@contextmanager
def split_sequence(
    transformer, group: dist.ProcessGroup | None, attend: Attend = F.scaled_dot_product_attention
) -> Iterator[None]:
    """`transformer` with its video tokens over the processes of `group` while the body runs; None changes nothing."""
    if group is None:
        yield
        return
    before = transformer.attn_processors
    first, last = transformer.transformer_blocks[0], transformer.norm_final
    hooks = [
        transformer.register_forward_pre_hook(_split_rotary(group), with_kwargs=True),
        first.register_forward_pre_hook(_split_hidden(group), with_kwargs=True),
        last.register_forward_pre_hook(lambda _, inputs: (gather(inputs[0], group),)),
    ]
    try:
        transformer.set_attn_processor(UlyssesAttention(group, attend))
        yield
    finally:
        transformer.set_attn_processor(before)
        for hook in hooks:
            hook.remove()


def _split_rotary(group: dist.ProcessGroup):
    def split(_, inputs, options):
        tables = options.get("image_rotary_emb")
        if tables is not None:
            options = {**options, "image_rotary_emb": tuple(part(table, group, 0) for table in tables)}
        return inputs, options

    return split


def _split_hidden(group: dist.ProcessGroup):
    def split(_, inputs, options):
        return inputs, {**options, "hidden_states": part(options["hidden_states"], group, 1)}

    return split


def part(x: Tensor, group: dist.ProcessGroup, dim: int) -> Tensor:
    """This process's tokens; the first processes have one more where the number does not divide."""
    return x.tensor_split(dist.get_world_size(group), dim=dim)[dist.get_rank(group)]


def gather(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """[B, n, D] of every process -> [B, N, D] in order, everywhere."""
    counts = _counts(x.shape[1], group, x.device)
    parts = [x.new_empty(x.shape[0], count, x.shape[2]) for count in counts]
    _all_gather(parts, x.contiguous(), group)
    return torch.cat(parts, dim=1)


def _counts(own: int, group: dist.ProcessGroup, device) -> list[int]:
    sizes = [torch.empty(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, torch.tensor([own], device=device), group=group)
    return [int(size) for size in sizes]


def _all_gather(parts: list[Tensor], own: Tensor, group: dist.ProcessGroup) -> None:
    # Unequal parts: every process sends its own to all.
    ranks = dist.get_process_group_ranks(group)
    for place, (rank, each) in enumerate(zip(ranks, parts, strict=True)):
        if place == dist.get_rank(group):
            each.copy_(own)
        dist.broadcast(each, rank, group=group)


class UlyssesAttention:
    """CogVideoX's attention with the video tokens split over `group` and the text tokens everywhere."""

    def __init__(self, group: dist.ProcessGroup, attend: Attend = F.scaled_dot_product_attention):
        self.group, self.size, self.rank = group, dist.get_world_size(group), dist.get_rank(group)
        self.attend = attend

    def __call__(
        self, attn, hidden_states: Tensor, encoder_hidden_states: Tensor, image_rotary_emb=None, **_
    ) -> tuple[Tensor, Tensor]:
        counts = _counts(hidden_states.shape[1], self.group, hidden_states.device)
        video = heads_of(attn, hidden_states, image_rotary_emb)
        text = heads_of(attn, encoder_hidden_states)
        own = slice(self.rank * attn.heads // self.size, (self.rank + 1) * attn.heads // self.size)
        query, key, value = (
            torch.cat([words[:, own], self._to_heads(tokens, counts)], dim=2)  # [B, H/P, text + N, Dh]
            for words, tokens in zip(text, video, strict=True)
        )
        attended = self.attend(query, key, value)
        words, tokens = attended.split([text[0].shape[2], sum(counts)], dim=2)
        return tokens_of(attn, self._to_tokens(tokens, counts)), tokens_of(attn, self._all_heads(words))

    def _to_heads(self, x: Tensor, counts: list[int]) -> Tensor:
        """All heads of some tokens [B, H, n, Dh] -> all tokens of some heads [B, H/P, N, Dh]."""
        batch, heads, _, width = x.shape
        shapes = [(batch, heads // self.size, count, width) for count in counts]
        return torch.cat(self._exchange(list(x.chunk(self.size, dim=1)), shapes), dim=2)

    def _to_tokens(self, x: Tensor, counts: list[int]) -> Tensor:
        """The way back: [B, H/P, N, Dh] -> [B, H, n, Dh]."""
        shapes = [(x.shape[0], x.shape[1], counts[self.rank], x.shape[3])] * self.size
        return torch.cat(self._exchange(list(x.split(counts, dim=2)), shapes), dim=1)

    def _all_heads(self, x: Tensor) -> Tensor:  # [B, H/P, n, Dh] -> [B, H, n, Dh]
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous(), group=self.group)
        return torch.cat(parts, dim=1)

    def _exchange(self, sent: list[Tensor], shapes: list[tuple]) -> list[Tensor]:
        """Sends `sent[p]` to process p and returns what each sent here."""
        flat = torch.cat([each.reshape(-1) for each in sent])
        sizes = [torch.Size(shape).numel() for shape in shapes]
        got = flat.new_empty(sum(sizes))
        dist.all_to_all_single(got, flat, sizes, [each.numel() for each in sent], group=self.group)
        return [each.view(shape) for each, shape in zip(got.split(sizes), shapes, strict=True)]


def both_halves(v: Tensor, layout: Layout) -> Tensor:
    """The velocity of this process's half [1, ...] -> of both [2, ...], the negative one first."""
    parts = [torch.empty_like(v, memory_format=torch.contiguous_format) for _ in range(2)]
    dist.all_gather(parts, v.contiguous(), group=layout.opposite)
    return torch.cat(parts)

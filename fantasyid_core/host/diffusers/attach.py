"""Identity on diffusers' CogVideoX: one forward hook per injected block adds what the injector computes."""

from __future__ import annotations

from collections import defaultdict
from functools import wraps

from ...identity.injector import Injector
from ...weights.transformerprint import TOLD_BY, check_transformer, transformer_fingerprint
from .model import transformer_sizes


class Attachment:
    """Identity attached to a transformer; `remove()` leaves the transformer as it was."""

    def __init__(self, hooks: list):
        self._hooks = hooks  # each has `remove`

    def remove(self) -> None:
        """Takes the identity off; may be called more than once."""
        while self._hooks:
            self._hooks.pop().remove()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_) -> None:
        self.remove()


def attach(transformer, *injectors: Injector, inside: bool = False) -> Attachment:
    """Adds one or several identities after the injected blocks of `transformer`.

    inside: adds the identity inside each block's `forward`, so that mechanisms around blocks (caches) see it. Remove
    such mechanisms before the identity.

    Injectors given together read the same hidden states, so their order does not matter. Gradients reach the
    adapters of injectors that were made with gradients on; with the transformer's gradient checkpointing, which
    computes the blocks again, the identities must stay attached until the end of the backward pass.
    Raises ValueError when an adapter does not belong to this transformer.
    """
    blocks = transformer.transformer_blocks
    grid = transformer_sizes(transformer).frame_grid
    parts = defaultdict(list)
    for injector in injectors:
        if made_for := getattr(injector, "transformer", ""):
            check_transformer(made_for, _fingerprint(transformer))
        layers = injector.layer_of_block(len(blocks))
        injector.check_width(transformer.patch_embed.proj.weight.shape[0], grid)
        for block, layer in layers.items():
            parts[block].append((injector, layer))
    if inside:
        return Attachment([_Inside(blocks[block], _hook(parts[block])) for block in parts])
    return Attachment([blocks[block].register_forward_hook(_hook(parts[block])) for block in parts])


class _Inside:
    """A block whose `forward` ends with `hook`, until `remove`."""

    def __init__(self, block, hook):
        plain = block.forward

        @wraps(plain)
        def forward(*arguments, **options):
            return hook(block, arguments, plain(*arguments, **options))

        self._block, self._before = block, vars(block).get("forward")
        block.forward = forward

    def remove(self) -> None:
        if self._before is None:
            del self._block.forward
        else:
            self._block.forward = self._before


def _hook(parts: list[tuple[Injector, int]]):
    def add_identities(_module, _inputs, output):
        hidden, text = output  # [B, N, D], [B, text, D]
        if len(parts) == 1:
            return parts[0][0].add(parts[0][1], hidden), text
        return hidden + sum(injector(layer, hidden) for injector, layer in parts), text

    return add_identities


def _fingerprint(transformer) -> str:
    found = dict(transformer.named_parameters())  # without the names when something wraps the layers
    return transformer_fingerprint({name: found[name] for name in TOLD_BY if name in found})

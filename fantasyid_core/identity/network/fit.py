"""Whether an adapter and a transformer belong together: width, grid, and the rule of the injected blocks."""

from __future__ import annotations


def check_dit_width(expected: int, actual: int) -> None:
    """Raises ValueError unless a transformer of width `actual` suits an adapter made for `expected`."""
    if expected != actual:
        raise ValueError(
            f"The adapter was made for a transformer of width {expected}, this model has {actual}. "
            "FantasyID needs the CogVideoX model it was trained with."
        )


def check_grid(expected: tuple[int, int] | None, actual: tuple[int, int]) -> None:
    """Raises ValueError unless latent frames of `actual` (h, w) tokens suit an adapter for `expected` (None: any)."""
    if expected is not None and tuple(expected) != tuple(actual):
        raise ValueError(
            f"The adapter was made for latent frames of {expected[0]}x{expected[1]} video tokens, this model's have "
            f"{actual[0]}x{actual[1]}. Use the adapter that belongs to this model."
        )


def layers_by_block(layer_count: int, interval: int | None, block_count: int) -> dict[int, int]:
    """Block index -> injected layer (official rule: i % interval == 0); ValueError when they do not fit."""
    interval = interval or max(1, block_count // max(1, layer_count))
    blocks = range(0, block_count, interval)
    if len(blocks) != layer_count:
        raise ValueError(
            f"The adapter has {layer_count} injected layers (every {interval} blocks), but the model has "
            f"{block_count} blocks, which need {len(blocks)}. Use the adapter that belongs to this model."
        )
    return {block: layer for layer, block in enumerate(blocks)}

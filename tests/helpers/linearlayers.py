"""How many video tokens the linear layers of fixed layers are given at a time."""

from __future__ import annotations

from fantasyid_core.identity import folded, kept, projections


def watch_linear_layers(monkeypatch, seen: list[int]) -> None:
    """Appends the number of tokens of every [B, N, C] that a fixed layer's linear layer is called with to `seen`."""

    def watched(layer, x):
        seen.append(x.shape[1])
        return projections.linear(layer, x)

    for module in (folded, kept):
        monkeypatch.setattr(module, "linear", watched)

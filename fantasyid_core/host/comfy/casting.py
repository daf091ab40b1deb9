"""Putting the host's own layers into a network of another library, so that the host moves and casts its weights."""

from __future__ import annotations

from torch import nn


def with_host_layers(network: nn.Module) -> nn.Module:
    """`network`, whose weights are on the meta device, with the host's linear, norm and convolution layers; in place.

    The host's layers hold the same parameters under the same names. They take their weights by
    `load_state_dict(..., assign=True)` and cast and move them for each call, piece by piece.
    """
    from comfy.ops import manual_cast

    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear):
                made = manual_cast.Linear(layer.in_features, layer.out_features, layer.bias is not None, **_kind(layer))
            elif isinstance(layer, nn.LayerNorm):
                affine = layer.elementwise_affine
                made = manual_cast.LayerNorm(layer.normalized_shape, layer.eps, affine, **_kind(layer))
            elif isinstance(layer, nn.Conv2d):
                made = manual_cast.Conv2d(
                    layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                    layer.dilation, layer.groups, layer.bias is not None, layer.padding_mode, **_kind(layer),
                )  # fmt: skip
            else:
                continue
            setattr(parent, name, made)
    return network


def _kind(layer: nn.Module) -> dict:
    return {"device": "meta", "dtype": layer.weight.dtype}

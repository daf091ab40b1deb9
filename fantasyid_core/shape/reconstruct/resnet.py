"""ResNet-50 (He et al. 2016, arXiv 1512.03385, table 1) up to its 2048 features, for inference.

As torchvision and DECA have it, a block that halves the resolution does so in its 3 x 3 convolution. Every
batch normalisation is folded into the convolution before it when the weights are loaded: the result is the
same up to rounding, runs faster, and needs only layers that ComfyUI's `operations` have. Hence it cannot be
trained as a ResNet. The convolutions keep torchvision's names.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

STEM_WIDTH = 64
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first block
EXPANSION = 4  # of a block's width at its output
FEATURES = STAGES[-1][0] * EXPANSION
EPSILON = 1e-5  # of PyTorch's BatchNorm2d
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"  # of training; not needed


class ResNet50(nn.Module):
    """Pictures [B, 3, H, W] -> features [B, 2048]. `operations` as in ComfyUI (torch.nn by default)."""

    def __init__(self, operations=nn):
        super().__init__()
        self.conv1 = operations.Conv2d(3, STEM_WIDTH, 7, stride=2, padding=3)
        incoming = STEM_WIDTH
        for number, (width, count, stride) in enumerate(STAGES, start=1):
            strides = (stride, *(1 for _ in range(count - 1)))
            blocks = []
            for step in strides:
                blocks.append(Bottleneck(incoming, width, step, operations))
                incoming = width * EXPANSION
            setattr(self, f"layer{number}", nn.Sequential(*blocks))

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, H, W] -> [B, 2048]
        hidden = F.relu(self.conv1(pixels))
        hidden = F.max_pool2d(hidden, 3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            hidden = stage(hidden)
        return hidden.mean(dim=(2, 3))


class Bottleneck(nn.Module):
    """1 x 1 to fewer channels, 3 x 3, 1 x 1 back, and a shortcut, projected where the size changes."""

    def __init__(self, incoming: int, width: int, stride: int, operations=nn):
        super().__init__()
        outgoing = width * EXPANSION
        self.conv1 = operations.Conv2d(incoming, width, 1)
        self.conv2 = operations.Conv2d(width, width, 3, stride=stride, padding=1)
        self.conv3 = operations.Conv2d(width, outgoing, 1)
        self.downsample = None
        if stride != 1 or incoming != outgoing:
            self.downsample = nn.Sequential(operations.Conv2d(incoming, outgoing, 1, stride=stride))

    def forward(self, hidden: Tensor) -> Tensor:  # [B, C, H, W] -> [B, C', H', W']
        shortcut = hidden if self.downsample is None else self.downsample(hidden)
        hidden = F.relu(self.conv1(hidden))
        hidden = F.relu(self.conv2(hidden))
        return F.relu(self.conv3(hidden) + shortcut)


def published_shapes(network: ResNet50) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that torchvision's state dict holds for this trunk, counters left out."""
    shapes = {}
    for name, parameter in network.named_parameters():
        module, kind = name.rsplit(".", 1)
        if kind == "weight":
            shapes[name] = tuple(parameter.shape)
            shapes.update({f"{_norm_of(module)}.{part}": (len(parameter),) for part in NORM_PARTS})
    return shapes


def folded_state(network: ResNet50, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of `network` from torchvision's tensors: convolution and normalisation made one.

    gamma (W x - mean) / sqrt(variance + epsilon) + beta is a convolution with W gamma / sqrt(...) and a bias;
    computed in float64, returned in the dtype of W.
    """
    state = {}
    for name, _ in network.named_parameters():
        module, kind = name.rsplit(".", 1)
        if kind != "weight":
            continue
        weight, norm = published[name], _norm_of(module)
        gamma, beta, mean, variance = (published[f"{norm}.{part}"].double() for part in NORM_PARTS)
        scale = gamma / (variance + EPSILON).sqrt()
        state[name] = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
        state[f"{module}.bias"] = (beta - mean * scale).to(weight.dtype)
    return state


def _norm_of(convolution: str) -> str:
    """torchvision's name of the batch normalisation that follows a convolution."""
    parent, _, name = convolution.rpartition(".")
    norm = "1" if name == "0" else name.replace("conv", "bn")  # the projection is a list: 0, then 1
    return f"{parent}.{norm}" if parent else norm

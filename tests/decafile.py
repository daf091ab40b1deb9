"""A DECA that knows nothing: the official file's structure with seeded weights; and stand-ins that see something."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fantasyid_core.shape.deca import PARAMETERS, SIZE

NORM = "running_var"


def make_trunk(seed=0):
    """torchvision's ResNet-50 in evaluation mode, its normalisations far from doing nothing."""
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = resnet50(weights=None)
        for module in trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.normal_(module.bias, 0, 0.1)
    trunk.fc = nn.Identity()
    return trunk.eval()


def make_state(numbers=None, influence=0.0, seed=0):
    """What DECA's file holds under "E_flame". numbers: name -> the answer to any picture; influence: by how
    much pictures change it."""
    draw = torch.Generator().manual_seed(seed)
    state = {f"encoder.{name}": value for name, value in make_trunk(seed).state_dict().items()}
    for index, (incoming, outgoing, size) in {0: (2048, 1024, 0.02), 2: (1024, 236, influence)}.items():
        state[f"layers.{index}.weight"] = torch.randn(outgoing, incoming, generator=draw) * size
        state[f"layers.{index}.bias"] = torch.zeros(outgoing)
    answer = {name: torch.zeros(count) for name, count in PARAMETERS.items()} | {"camera": torch.tensor([8.0, 0, 0])}
    answer.update({name: torch.as_tensor(value, dtype=torch.float32) for name, value in (numbers or {}).items()})
    state["layers.2.bias"] = torch.cat([answer[name] for name in PARAMETERS])
    return state


def write_deca(path, state, zipped=True, **others):
    content = {"E_flame": state, "E_detail": {"layers.2.bias": torch.zeros(3)}, "global_step": 7, **others}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


class Answering(nn.Module):
    """In DECA's place: the same answer to every picture. `seen` is what it was shown."""

    def __init__(self, **numbers):
        super().__init__()
        self.answer = {name: torch.zeros(1, count) for name, count in PARAMETERS.items()}
        self.answer["camera"] = torch.tensor([[8.0, 0, 0]])
        self.answer.update({name: torch.tensor([value], dtype=torch.float32) for name, value in numbers.items()})
        self.seen = []

    def forward(self, pixels):
        assert pixels.shape == (1, 3, SIZE, SIZE) and 0 <= pixels.min() and pixels.max() <= 1
        self.seen.append(pixels)
        return dict(self.answer)


class Watching(Answering):
    """In DECA's place: finds a red and a green dot in the picture and puts its camera so that two given places
    of the head, alike in height, come to lie on them. A head that is turned in the picture gets the same turn."""

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = np.asarray(left, np.float64), np.asarray(right, np.float64)

    def forward(self, pixels):
        answer = super().forward(pixels)
        red, green, _ = pixels[0].double().numpy()
        places = [_centroid(red - green), _centroid(green - red)]
        # Back from pixels to -1..1, y up, as DECA's camera counts.
        one, other = (np.array([place[0] / (SIZE / 2) - 1, 1 - place[1] / (SIZE / 2)]) for place in places)
        scale = np.linalg.norm(other - one) / np.linalg.norm(self.right - self.left)
        middle = (one + other) / 2 / scale - (self.left + self.right) / 2
        answer["camera"] = torch.tensor([[scale, *middle]], dtype=torch.float32)
        return answer


def _centroid(mask):
    mask = np.clip(mask, 0, None)
    rows, columns = np.indices(mask.shape)
    return np.array([(mask * columns).sum(), (mask * rows).sum()]) / mask.sum()

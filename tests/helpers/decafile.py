"""A DECA that knows nothing: the official file's structure with seeded weights; and stand-ins that see something."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fantasyid_core.shape.reconstruct.deca import PARAMETERS, SIZE

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
        self.answer.update({name: torch.tensor(np.array([value], np.float32)) for name, value in numbers.items()})
        self.seen = []

    def forward(self, pixels):
        assert pixels.shape == (1, 3, SIZE, SIZE) and 0 <= pixels.min() and pixels.max() <= 1
        self.seen.append(pixels)
        return dict(self.answer)


class Watching(Answering):
    """In DECA's place: finds a red and a green dot in the picture, and turns and moves the head so that two
    places of it come to lie on them.

    left, right: [2], x and y of the places on the head, alike in y. root: [2], about which FLAME turns the head.
    """

    def __init__(self, left, right, root, **numbers):
        super().__init__(**numbers)
        self.places = np.stack([left, right]).astype(np.float64)
        self.root = np.asarray(root, np.float64)

    def forward(self, pixels):
        answer = super().forward(pixels)
        red, green, _ = pixels[0].double().numpy()
        dots = np.stack([_centroid(red - green), _centroid(green - red)])
        dots = dots / (SIZE / 2) * (1, -1) + (-1, 1)  # from pixels to -1..1, y up, as DECA's camera counts
        across = dots[1] - dots[0]
        angle = np.arctan2(across[1], across[0])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = (self.places - self.root) @ turn.T + self.root
        scale = np.linalg.norm(across) / np.linalg.norm(turned[1] - turned[0])
        shift = (dots / scale - turned).mean(axis=0)
        answer["camera"] = torch.tensor([[scale, *shift]], dtype=torch.float32)
        answer["pose"] = torch.tensor([[0, 0, angle, 0, 0, 0]], dtype=torch.float32)
        return answer


def _centroid(mask):
    mask = np.clip(mask, 0, None)
    rows, columns = np.indices(mask.shape)
    return np.array([(mask * columns).sum(), (mask * rows).sum()]) / mask.sum()


def draw_dots(dots, size, radius):
    """A grey picture np.uint8 [H,W,3] with a soft red dot and a soft green one at x, y."""
    width, height = size
    rows, columns = np.indices((height, width))
    picture = np.full((height, width, 3), 60.0)
    for channel, (x, y) in enumerate(dots):
        picture[..., channel] += 190 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.rint(picture).clip(0, 255).astype(np.uint8)


# Landmarks on the synthetic head, read off its features by eye: x, y in metres.


def _ellipse(middle, radii, count, start=np.pi):
    angles = start - np.arange(count) * 2 * np.pi / count  # clockwise from the left
    return np.array(middle) + np.array(radii) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _line(start, end, count):
    return np.linspace(start, end, count)


def landmark_places():
    """Where the 68 landmarks are meant to lie on `synthetic_head`: [68,2]."""
    half = np.linspace(np.pi, 2 * np.pi, 17)
    return np.concatenate(
        [
            np.stack([0.062 * np.cos(half), 0.088 * np.sin(half)], axis=1),
            _line((-0.05, 0.026), (-0.012, 0.026), 5),
            _line((0.012, 0.026), (0.05, 0.026), 5),
            _line((0, 0.012), (0, -0.019), 4),
            _line((-0.012, -0.028), (0.012, -0.028), 5),
            _ellipse((-0.031, 0.012), (0.012, 0.005), 6),
            _ellipse((0.031, 0.012), (0.012, 0.005), 6),
            _ellipse((0, -0.052), (0.022, 0.010), 12),
            _ellipse((0, -0.052), (0.016, 0.004), 8),
        ]
    )


def embed(vertices, faces, places):
    """For each of the places [N,2] the frontmost triangle [N] over it and the weights [N,3] of its corners."""
    corners = vertices[faces]  # [F, 3, 3]
    triangles, weights = [], []
    for place in places:
        system = np.concatenate([corners[..., :2], np.ones((*corners.shape[:2], 1))], axis=2)
        solved = np.full((len(faces), 3), -1.0)
        sound = abs(np.linalg.det(system)) > 1e-12
        right = np.tile([*place, 1.0], (sound.sum(), 1))[..., None]
        solved[sound] = np.linalg.solve(system[sound].transpose(0, 2, 1), right)[..., 0]
        depth = np.where((solved > -1e-9).all(axis=1), (solved * corners[..., 2]).sum(axis=1), -np.inf)
        assert depth.max() > -np.inf, f"{place} lies beside the head"
        triangles.append(depth.argmax())
        weights.append(solved[depth.argmax()])
    return np.array(triangles), np.array(weights)


def make_embedding(vertices, faces):
    """The entries of landmark_embedding.npy for a head; its contour is the same however it is turned."""
    triangles, weights = embed(vertices, faces, landmark_places())
    return {
        "full_lmk_faces_idx": triangles[None],
        "full_lmk_bary_coords": weights[None],
        "dynamic_lmk_faces_idx": np.tile(triangles[:17], (79, 1)),
        "dynamic_lmk_bary_coords": np.tile(weights[:17], (79, 1, 1)),
    }

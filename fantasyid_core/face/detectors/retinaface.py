"""The detector retinaface: the ResNet-50 RetinaFace (Deng et al. 2020) that the official release finds faces with.

facexlib's network with the user's detection_Resnet50_Final.pth. facexlib's own loader is not used: it downloads.
Threshold and merging of boxes at one size are those of facexlib's FaceRestoreHelper, which the release calls.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from .networkfile import import_installed, load_weights
from .search import Raw

KEY = "retinaface"
PACKAGES = ("facexlib",)
SIDES = (1024, 512, 256)  # the release searches at 1024 only
ENOUGH = 0.97
SAME_BOX = 0.4


def load(path: Path) -> Raw:
    """The network in `path`. Raises ValueError for another or damaged file, RuntimeError for a broken facexlib."""
    network = load_weights(_network(), path, KEY, prefix="module.")

    def raw(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        with torch.no_grad():
            rows = network.detect_faces(np.ascontiguousarray(picture[..., ::-1]), ENOUGH, SAME_BOX)
        rows = np.asarray(rows, np.float64).reshape(-1, 15)  # box, score, points
        return rows[:, :4], rows[:, 5:].reshape(-1, 5, 2), rows[:, 4]

    return raw


def _network():
    import torch

    build = import_installed("facexlib.detection.retinaface", "facexlib").RetinaFace
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # facexlib calls torchvision in a way that is no longer liked
        return build("resnet50", device=torch.device("cpu"))

"""The detector yunet: YuNet (Wu et al. 2023) as kornia builds it, with the user's yunet_final.pth.

kornia's own FaceDetector is not used: it downloads its weights. From kornia comes the network alone; its boxes
are decoded here. Priors lie at the middles of the cells of four grids; the network gives, in units of a tenth of
a prior's side, where the middle of the box and the five points lie from the prior's middle, and in units of a
fifth the logarithm of the box's size over the prior's. The score is the geometric mean of the confidence and
of the predicted intersection over union.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from .networkfile import import_installed, load_weights
from .search import Raw

KEY = "yunet"
PACKAGES = ("kornia",)
SIDES = (1280, 640, 256)  # it was trained on faces of 10 to 300 pixels
PRIORS = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}  # stride -> sides in pixels
VARIANCES = 0.1, 0.2
ENOUGH = 0.6  # between kornia's 0.3, which is meant for drawing many candidates, and the 0.9 of OpenCV's zoo
MAX_BOXES = 2000


def load(path: Path) -> Raw:
    """The network in `path`. Raises ValueError for another or damaged file, RuntimeError for a broken kornia."""
    network = load_weights(_network(), path, KEY)

    def raw(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        pixels = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None].float()  # HWC RGB -> BCHW BGR
        with torch.no_grad():
            answer = network(pixels)
        loc, conf, iou = (answer[name][0].numpy() for name in ("loc", "conf", "iou"))
        return decode(loc, conf[:, 1], iou[:, 0], picture.shape[:2])

    return raw


def decode(loc: np.ndarray, confidence: np.ndarray, iou: np.ndarray, size: tuple[int, int]):
    """loc [K,14], confidence [K], iou [K] of a picture of size (h, w) -> boxes, points, scores that are `ENOUGH`."""
    scores = np.sqrt(confidence * iou.clip(0, 1))
    best = np.flatnonzero(scores >= ENOUGH)
    best = best[np.argsort(-scores[best], kind="stable")[:MAX_BOXES]]
    middles, sides = (some[best] for some in priors(size))
    loc = loc[best].astype(np.float64).reshape(-1, 7, 2)  # middle, size, five points
    middle = middles + loc[:, 0] * VARIANCES[0] * sides
    half = sides * np.exp(loc[:, 1] * VARIANCES[1]) / 2
    points = middles[:, None] + loc[:, 2:] * VARIANCES[0] * sides[:, None]
    return np.concatenate([middle - half, middle + half], axis=1), points, scores[best]


def priors(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Middles [K,2] and sides [K,1] in pixels; row by row of each grid, for each cell its sides in turn."""
    middles, sides = [], []
    for stride, lengths in PRIORS.items():
        y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
        cells = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
        middles.append(np.repeat(cells, len(lengths), axis=0))
        sides.append(np.tile(np.array(lengths, np.float64), len(cells)))
    return np.concatenate(middles), np.concatenate(sides)[:, None]


def _network():
    import_installed("kornia", "kornia")
    try:
        net = import_module("kornia.models.yunet").YuNet
    except ImportError:  # before kornia 0.9
        net = import_installed("kornia.contrib.face_detection", "kornia").YuFaceDetectNet
    return net("test", pretrained=False)

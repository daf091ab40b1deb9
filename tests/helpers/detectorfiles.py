"""Model files of face detectors in the format of the real ones, made here: seeded, with planted detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.modelfiles import model_file

DOT = np.array([255, 0, 255])
"""Colour that the planted SCRFD takes for the middle of a face."""

SIDE = 64.0
"""Pixels along the side of the boxes that it gives, in the picture that it sees."""

POINTS = ((TEMPLATE - TEMPLATE.mean(axis=0)) * (SIDE / 320)).astype(np.float32)
"""Its five points, from the middle of the box."""


def place_for(models: Path, key: str) -> Path:
    """Where the file `key` belongs below a models folder; the folder is made."""
    path = models / model_file(key).belongs
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_scrfd(path: Path, size: tuple[int | str, int | str] = ("height", "width")) -> Path:
    """An ONNX file with SCRFD's nine outputs, which finds a face wherever 16 x 16 pixels have the colour `DOT`.

    Strides 8 and 32 never find any. At stride 16, the first of two anchors scores by the mean colour of a cell.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, outputs = [], [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def head(name, stride, weights, bias, width):
        """A convolution over cells -> [cells * anchors, width]."""
        conv, moved, rows = f"{name}_conv", f"{name}_moved", f"{name}_{stride}"
        names = [
            constant(f"{rows}_w", weights.astype(np.float32)),
            constant(f"{rows}_b", np.asarray(bias, np.float32)),
        ]
        conv, moved = f"{rows}_conv", f"{rows}_moved"
        nodes.append(
            helper.make_node("Conv", ["input", *names], [conv], kernel_shape=[stride, stride], strides=[stride, stride])
        )
        nodes.append(helper.make_node("Transpose", [conv], [moved], perm=[0, 2, 3, 1]))
        shape = constant(f"{rows}_shape", np.array([-1, width], np.int64))
        if width == 1:
            nodes.append(helper.make_node("Reshape", [moved, shape], [f"{rows}_logit"]))
            nodes.append(helper.make_node("Sigmoid", [f"{rows}_logit"], [rows]))
        else:
            nodes.append(helper.make_node("Reshape", [moved, shape], [rows]))
        outputs.append(helper.make_tensor_value_info(rows, TensorProto.FLOAT, [f"n{rows}", width]))

    for stride in (8, 16, 32):
        weights = np.zeros((2, 3, stride, stride))
        if stride == 16:  # RGB, each (value - 127.5) / 128: the colour DOT gives about 3, all others less
            weights[0] = np.array([1, -1, 1])[:, None, None] / stride**2
            weights *= 20
        head("score", stride, weights, [-50, -50], 1)
    for stride in (8, 16, 32):
        zeros = np.zeros((8, 3, stride, stride))
        head("box", stride, zeros, np.full(8, SIDE / 2 / stride), 4)
    for stride in (8, 16, 32):
        zeros = np.zeros((20, 3, stride, stride))
        head("points", stride, zeros, np.tile(POINTS.ravel() / stride, 2), 10)
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *size])
    graph = helper.make_graph(nodes, "planted", [picture], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def write_other_onnx(path: Path) -> Path:
    """An ONNX model with one input and one output: ArcFace, by its shapes."""
    import onnx
    from onnx import TensorProto, helper

    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 112, 112])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 3, 112, 112])
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["vector"])], "other", [picture], [vector])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def write_yunet(path: Path, plant: bool = False, seed: int = 0) -> Path:
    """kornia's YuNet with seeded weights; planted: every cell of the coarsest grid gives a face of 128 pixels."""
    import torch

    from fantasyid_core.face.detectors.yunet import _network

    torch.manual_seed(seed)
    state = _network().state_dict()
    if plant:
        for nth in range(4):
            for name in ("weight", "bias"):
                state[f"head.{nth}.conv2.conv2.{name}"].zero_()
            bias = state[f"head.{nth}.conv2.conv2.bias"].view(-1, 17)
            bias[:, 14], bias[:, 16] = 20, 1  # no face, surely
        bias[0, 14:16] = torch.tensor([-4.0, 4.0])
        bias[0, 4:14] = torch.from_numpy(2 * POINTS / 128 / 0.1).flatten()
    torch.save(state, path)
    return path


def write_retinaface(path: Path, plant: bool = False, seed: int = 0) -> Path:
    """facexlib's RetinaFace with seeded weights, named as by DataParallel; planted: faces of 256 pixels, stride 32."""
    import torch

    from fantasyid_core.face.detectors.retinaface import _network

    torch.manual_seed(seed)
    state = _network().state_dict()
    if plant:
        for nth in range(3):
            state[f"ClassHead.{nth}.conv1x1.weight"].zero_()
            state[f"ClassHead.{nth}.conv1x1.bias"].copy_(torch.tensor([9.0, -9, 9, -9]))
            for head in ("BboxHead", "LandmarkHead"):
                state[f"{head}.{nth}.conv1x1.weight"].zero_()
                state[f"{head}.{nth}.conv1x1.bias"].zero_()
        state["ClassHead.2.conv1x1.bias"].copy_(torch.tensor([-9.0, 9, 9, -9]))
        state["LandmarkHead.2.conv1x1.bias"][:10] = torch.from_numpy(4 * POINTS / 256 / 0.1).flatten()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    return path


DETECTOR_FILES = {"insightface": write_scrfd, "yunet": write_yunet, "retinaface": write_retinaface}
DETECTOR_KEYS = {"insightface": "insightface_detector", "yunet": "yunet", "retinaface": "retinaface"}
PACKAGES = {"insightface": ("insightface", "onnxruntime", "onnx"), "yunet": ("kornia",), "retinaface": ("facexlib",)}


def dotted(size, *places):
    """A grey picture with dots that the planted SCRFD takes for the middles of faces; places are cells of 16."""
    picture = np.full((size[1], size[0], 3), 100, np.uint8)
    for x, y in places:
        picture[y : y + 16, x : x + 16] = DOT
    return picture

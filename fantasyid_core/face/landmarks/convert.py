"""Makes the shipped weights from MediaPipe's own files.

    pip download --no-deps mediapipe==0.10.21
    pip install tflite
    python -m fantasyid_core.face.landmarks.convert mediapipe-0.10.21-*.whl

reads the three files out of the wheel (nothing is imported from it), checks their SHA-256, and writes
weights/*.safetensors. The files hold half precision, so it loses nothing to ship half precision.

Convolutions are paired with those of the modules by kind (depthwise or not) and order: of execution, or, where a
name ends in a number as in the mesh, of that number. `load_state_dict` and the shapes check the result; the tests
compare what the networks answer with MediaPipe's runtime.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch

from .full_range import FullRange
from .mesh import FaceMesh
from .short_range import ShortRange
from .weights import FOLDER

SOURCES = {
    "short_range": (
        ShortRange,
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "full_range": (
        FullRange,
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    "mesh": (
        FaceMesh,
        "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    ),
}
"""Name of the shipped file -> its module, the source within the wheel, and the source's SHA-256."""

HEADS = {
    "conv_faceflag": "presence",
    "conv_lips": "lips.head.points",
    "conv_left_eye": "left_eye.head.points",
    "conv_left_iris": "left_eye.iris.points",
    "conv_right_eye": "right_eye.head.points",
    "conv_right_iris": "right_eye.iris.points",
    "output_mesh": "points",
}
"""Convolutions of the mesh that have names of their own -> modules."""

KINDS = {"CONV_2D": "dense", "DEPTHWISE_CONV_2D": "depthwise", "PRELU": "slopes"}


class Layer(NamedTuple):
    """A layer with learned values, as the file has them: weights OHWI, 1HWC or 11C, and the bias."""

    kind: str
    name: str
    weight: np.ndarray
    bias: np.ndarray | None


def main(wheel: str) -> None:
    from safetensors.torch import save_file

    for name, (module, path, digest) in SOURCES.items():
        data = zipfile.ZipFile(wheel).read(path)
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise ValueError(f"{path} in {wheel} has the SHA-256 {found}, expected {digest}: take mediapipe==0.10.21.")
        state = {key: value.half() for key, value in convert(module(), data).items()}
        save_file(
            state, FOLDER / f"{name}.safetensors", {"source": "mediapipe 0.10.21", "file": path, "sha256": digest}
        )
        print(f"{name}: {sum(value.numel() for value in state.values()):,} values")


def convert(module: torch.nn.Module, data: bytes) -> dict[str, torch.Tensor]:
    """The state of a module from the bytes of its .tflite file."""
    waiting = defaultdict(list)
    for layer in sorted(read_layers(data), key=lambda layer: _number(layer.name)):
        waiting[HEADS.get(layer.name, layer.kind)].append(layer)
    state = {}
    for name, part in module.named_modules():
        kind = _kind(part)
        if kind is None:
            continue
        layer = waiting[name if waiting.get(name) else kind].pop(0)
        state[f"{name}.weight"] = _weight(layer)
        if layer.bias is not None:
            state[f"{name}.bias"] = torch.from_numpy(layer.bias)
    left = [layer.name for layers in waiting.values() for layer in layers]
    if left:
        raise ValueError(f"Expected a module for each layer, got none for {', '.join(left[:5])}.")
    module.load_state_dict(state)
    return state


def read_layers(data: bytes) -> list[Layer]:
    """The layers of a .tflite file that hold learned values, in the order of execution."""
    import tflite

    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    kinds = {getattr(tflite.BuiltinOperator, kind): kind for kind in (*KINDS, "DEQUANTIZE", "DENSIFY")}
    values, layers = {}, []
    for nth in range(graph.OperatorsLength()):
        operator = graph.Operators(nth)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        inputs, output = operator.InputsAsNumpy(), operator.Outputs(0)
        if kind in ("DEQUANTIZE", "DENSIFY"):
            source = inputs[0]
            values[output] = values[source] if source in values else _stored(model, graph.Tensors(source))
        elif kind is not None:
            weight, *bias = (values[place] for place in inputs[1:])
            name = graph.Tensors(output).Name().decode()
            layers.append(Layer(KINDS[kind], name, weight, bias[0] if bias else None))
    return layers


def _stored(model, tensor) -> np.ndarray:
    values = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.float16).astype(np.float32)
    shape = tensor.ShapeAsNumpy()
    return values.reshape(shape) if tensor.Sparsity() is None else densify(values, shape, tensor.Sparsity())


def densify(values: np.ndarray, shape: np.ndarray, sparsity) -> np.ndarray:
    """Values that are stored sparsely -> the full array.

    Dimensions are walked in the stored order, those of the tensor first, then those of the blocks within them; each
    is dense, or lists for every place of the dimensions before it which indices have values.
    """
    order = sparsity.TraversalOrderAsNumpy()
    blocks = sparsity.BlockMapAsNumpy() if sparsity.BlockMapLength() else np.array([], int)
    levels = [sparsity.DimMetadata(nth) for nth in range(len(order))]
    places = np.zeros((1, 0), int)
    segments = np.zeros(1, int)  # of each place so far, its position among the entries of the level
    for level in levels:
        if level.ArraySegments() is None:
            size = level.DenseSize()
            indices = np.tile(np.arange(size), len(places))
            parents = np.repeat(np.arange(len(places)), size)
            segments = segments[parents] * size + indices
        else:
            starts, listed = (
                _vector(level.ArraySegmentsType(), level.ArraySegments()),
                _vector(level.ArrayIndicesType(), level.ArrayIndices()),
            )
            counts = starts[segments + 1] - starts[segments]
            parents = np.repeat(np.arange(len(places)), counts)
            within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
            segments = starts[segments][parents] + within
            indices = listed[segments]
        places = np.column_stack([places[parents], indices])
    full = np.zeros(shape, values.dtype)
    axes = {int(axis): places[:, nth] for nth, axis in enumerate(order)}
    sizes = [levels[list(order).index(len(shape) + nth)].DenseSize() for nth in range(len(blocks))]
    for nth, axis in enumerate(blocks):
        axes[int(axis)] = axes[int(axis)] * sizes[nth] + axes[len(shape) + nth]
    full[tuple(axes[axis] for axis in range(len(shape)))] = values[segments]
    return full


def _vector(kind: int, table) -> np.ndarray:
    import tflite

    vectors = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}
    vector = vectors[kind]()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy().astype(int)


def _number(name: str) -> int:
    """Place in which a numbered layer was made; the others keep the order of execution, after these."""
    found = re.fullmatch(r"(?:conv2d|depthwise_conv2d|p_re_lu)(?:_(\d+))?", name)
    return int(found[1] or 0) if found else sys.maxsize


def _kind(part: torch.nn.Module) -> str | None:
    if isinstance(part, torch.nn.PReLU):
        return "slopes"
    if isinstance(part, torch.nn.Conv2d):
        return "dense" if part.groups == 1 else "depthwise"
    return None


def _weight(layer: Layer) -> torch.Tensor:
    if layer.kind == "slopes":
        return torch.from_numpy(layer.weight.ravel())
    channels_first = (3, 0, 1, 2) if layer.kind == "depthwise" else (0, 3, 1, 2)
    return torch.from_numpy(layer.weight.transpose(channels_first).copy())


if __name__ == "__main__":
    main(*sys.argv[1:])

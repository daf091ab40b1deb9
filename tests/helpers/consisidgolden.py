"""What ConsisID's official code computes of seeded weights and inputs (tests/data), and how these are made.

Made on the CPU in float32 by the official networks and preparation, every tensor filled by `golden.seeded` under its
full name and every input by `golden.network_input`.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from golden import network_input, seeded
from safetensors.torch import load_file

from fantasyid_core.face import FaceFeatures

DATA = Path(__file__).resolve().parents[1] / "data"


@cache
def expected() -> dict[str, torch.Tensor]:
    """Name -> what the official code computed."""
    return load_file(DATA / "golden_consisid.safetensors")


@cache
def layout() -> dict:
    """Keys and shapes of the face modules in full size and of the tiny model, and its config."""
    return json.loads((DATA / "consisid_layout.json").read_text())


def tiny_config(**changes) -> dict:
    """The tiny model's config.json."""
    return {**layout()["tiny_config"], **changes}


def tiny_state(interval: int = 2) -> dict[str, torch.Tensor]:
    """The tiny model's weights under the official names, with a cross attention for every `interval` blocks."""
    shapes = {key: shape for key, (_, shape) in layout()["tiny_model"].items()}
    first = {key: shape for key, shape in shapes.items() if key.startswith("perceiver_cross_attention.0.")}
    shapes = {key: shape for key, shape in shapes.items() if not key.startswith("perceiver_cross_attention.")}
    for layer in range(4 // interval):
        shapes |= {key.replace(".0.", f".{layer}.", 1): shape for key, shape in first.items()}
    return {key: seeded(key, shape) for key, shape in shapes.items()}


def full_size_state() -> dict[str, torch.Tensor]:
    """The face modules in full size, with one cross attention."""
    return {key: seeded(key, shape) for key, (_, shape) in layout()["full_size_face_modules"].items()}


def full_size_features() -> FaceFeatures:
    clip = network_input("clip", (1, 768))
    vector = torch.cat([network_input("arcface", (1, 512)), clip / clip.norm()], dim=1)
    return FaceFeatures(tuple(network_input(f"face_states.{i}", (1, 577, 1024)) for i in range(5)), vector)


def tiny_features() -> FaceFeatures:
    """What the official preparation gave: the tiny model's input."""
    values = expected()
    return FaceFeatures(tuple(values[f"prepared.states.{i}"] for i in range(5)), values["prepared.id_cond"])


def crop_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """The face crop np.uint8 [512,512,3] RGB and the labels [512,512] of its parts, in whole-number arithmetic."""
    rng = np.random.default_rng(zlib.crc32(b"input.crop"))
    y, x = np.mgrid[:512, :512].astype(np.int64)
    a, b, off, period = (
        rng.integers(1, 5, 3), rng.integers(1, 5, 3), rng.integers(0, 400, 3), rng.integers(150, 400, 3)
    )  # fmt: skip

    def triangle(v, p):
        return np.abs(v % (2 * p) - p) * 255 // p

    crop = np.stack([triangle(a[c] * x + b[c] * y + off[c], period[c]) for c in range(3)], -1).astype(np.uint8)
    return crop, rng.integers(0, 19, (8, 8)).repeat(64, 0).repeat(64, 1)


def tiny_tower():
    """The official tower in small, seeded under its official names."""
    from fantasyid_core.face.encoder import EvaConfig, FaceEncoder

    config = EvaConfig(
        "tiny_eva", image_size=56, width=64, depth=24, heads=2, hidden=170, states=(3, 7, 11, 15, 19), vector=48
    )
    encoder = FaceEncoder(config)
    state = {}
    for name, parameter in encoder.trunk.state_dict().items():
        official = name
        for ours, theirs in OFFICIAL_TOWER:
            official = official.replace(ours, theirs)
        state[name] = seeded(f"visual.{official}", tuple(parameter.shape))
    encoder.trunk.load_state_dict(state, assign=True)
    return encoder.eval()


OFFICIAL_TOWER = (
    (".attn.norm.", ".attn.inner_attn_ln."), (".attn.q_proj.bias", ".attn.q_bias"),
    (".attn.v_proj.bias", ".attn.v_bias"), (".mlp.norm.", ".mlp.ffn_ln."), (".mlp.fc1_g.", ".mlp.w1."),
    (".mlp.fc1_x.", ".mlp.w2."), (".mlp.fc2.", ".mlp.w3."),
)  # fmt: skip


def write_parser(path: Path, seed: int = 0) -> Path:
    """A seeded BiSeNet in facexlib's layout, whose parts differ from place to place."""
    from facexlib.parsing.bisenet import BiSeNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BiSeNet(num_class=19)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return path


def write_arcface(path: Path, seed: int = 0) -> Path:
    """A small ONNX file with ArcFace's interface: one matrix product over the pixels seen 16 times smaller."""
    import onnx

    helper, kind, coarse = onnx.helper, onnx.TensorProto.FLOAT, 3 * 7 * 7
    matrix = np.random.default_rng(seed).normal(size=(coarse, 512)).astype(np.float32) / 8
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Reshape", ["pooled", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weight"], ["out"]),
    ]
    initial = [
        onnx.numpy_helper.from_array(np.array([1, coarse], np.int64), "flat"),
        onnx.numpy_helper.from_array(matrix, "weight"),
    ]
    inputs = [helper.make_tensor_value_info("input.1", kind, [1, 3, 112, 112])]
    outputs = [helper.make_tensor_value_info("out", kind, [1, 512])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initial)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path

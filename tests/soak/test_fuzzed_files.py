"""Damaged files of every kind: a result, or a sentence of this project's own; never another error, never a hang.

The short version of each test runs always, the long one with `pytest -m soak`.
"""

from __future__ import annotations

import argparse
import io
import json
import warnings

import numpy as np
import pytest
import torch
import trimesh
from blame import is_own_sentence
from glbfiles import Glb
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save as save_tensors

from fantasyid_core.cli.generate import add_video_arguments
from fantasyid_core.cli.rows import arguments_of_row, read_rows
from fantasyid_core.face.picture import load_picture
from fantasyid_core.identity.identityfile import load_identity, save_identity
from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.files.pointcloud import read_shape
from fantasyid_core.weights.lora import read_lora

SHORT, LONG = 60, 2500
VERTICES, FACES = (tensor.numpy() for tensor in synthetic_head(1))
V = len(VERTICES)
NUMBERS = [b"-1", b"0", b"1e999", b"nan", b"inf", b"99999999999", b"1,5", b"\xff", b"{}", b"[]", b"null", b'"x"', b"\n"]

changes = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "drop", "repeat", "insert", "number")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 2**16 - 1),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, steps) -> bytes:
    for kind, place, value in steps:
        at = int(place * len(content))
        if kind == "flip":
            content = content[:at] + bytes([value % 256]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "drop":
            content = content[:at] + content[at + 1 + value % 64 :]
        elif kind == "repeat":
            content = content[:at] + content[max(0, at - value % 64) :]
        elif kind == "insert":
            content = content[:at] + value.to_bytes(2, "little") + content[at:]
        else:
            content = content[:at] + NUMBERS[value % len(NUMBERS)] + content[at + value % 5 :]
    return content


def meshes() -> list[tuple[str, bytes]]:
    mesh = trimesh.Trimesh(VERTICES, FACES, process=False)
    glb = Glb(nodes=[{"mesh": 0, "scale": [1.0, 1.0, 1.0]}])
    key = glb.sparse(VERTICES.astype("<f4") * np.float32(0.1))
    primitive = {
        "attributes": {"POSITION": glb.array(VERTICES.astype("<f4"))},
        "indices": glb.array(FACES.ravel().astype("<u2")),
    }
    glb.document["meshes"] = [{"primitives": [{**primitive, "targets": [{"POSITION": key}]}], "weights": [0.5]}]
    text = mesh.export(file_type="ply", encoding="ascii")
    arrays, packed = io.BytesIO(), io.BytesIO()
    np.save(arrays, VERTICES)
    np.savez(packed, vertices=VERTICES, faces=FACES)
    return [
        (".ply", mesh.export(file_type="ply")), (".ply", text.encode() if isinstance(text, str) else text),
        (".obj", mesh.export(file_type="obj").encode()),
        (".glb", mesh.export(file_type="glb")),
        (".glb", glb.content()),
        (".stl", mesh.export(file_type="stl")), (".stl", mesh.export(file_type="stl_ascii").encode()),
        (".npy", arrays.getvalue()), (".npz", packed.getvalue()),
    ]  # fmt: skip


def pictures() -> list[tuple[str, bytes]]:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    made = []
    for suffix, mode in (
        (".png", "RGBA"),
        (".jpg", "RGB"),
        (".webp", "RGB"),
        (".tiff", "RGB"),
        (".bmp", "RGB"),
        (".gif", "RGB"),
    ):
        buffer = io.BytesIO()
        kind = {".jpg": "JPEG", ".tiff": "TIFF"}.get(suffix, suffix[1:].upper())
        Image.fromarray(pixels).convert(mode).save(buffer, kind)
        made.append((suffix, buffer.getvalue()))
    return made


def identities(folder) -> list[tuple[str, bytes]]:
    thumbnail = np.zeros((16, 16, 3), np.uint8)
    path = folder / "seed.safetensors"
    save_identity(path, torch.ones(1, 4, 8), thumbnail, torch.ones(5, 3), "{}", fingerprint="0" * 16, shape_name="a")
    return [(".safetensors", path.read_bytes())]


SHAPES = {"blocks.0.q": (12, 12), "blocks.0.k": (12, 12)}


def loras() -> list[tuple[str, bytes]]:
    name = "transformer.transformer_blocks.0.attn1.to_q.lora_{}.weight"
    state = {name.format("A"): torch.ones(4, 12), name.format("B"): torch.ones(12, 4)}
    settings = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 8})}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return [(".safetensors", save_tensors(state, settings)), (".pt", buffer.getvalue())]


def jobs() -> list[tuple[str, bytes]]:
    rows = [
        {"prompt": "a person smiles", "image": ["a.png"], "seed": 1},
        {"prompt": "nods", "steps": 5, "tiling": True},
    ]
    table = 'prompt,seed,image\nsmiles,1,a.png\n"nods, twice",2,b.png\n'
    return [(".jsonl", "\n".join(map(json.dumps, rows)).encode()), (".csv", table.encode())]


def read_jobs(path) -> None:
    for number, row in read_rows(path):
        arguments_of_row(row, f"line {number}", argparse.Namespace(), add_video_arguments)


READERS = {
    "meshes": lambda path: read_shape(path, V, faces=FACES, template=VERTICES),
    "pictures": load_picture,
    "identities": load_identity,
    "loras": lambda path: read_lora(path, SHAPES),
    "jobs": read_jobs,
}


def fuzz(kind: str, folder, count: int) -> None:
    seeds = identities(folder) if kind == "identities" else globals()[kind]()

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, len(seeds) - 1), changes)
    def one(index, steps):
        suffix, content = seeds[index]
        path = folder / f"fuzzed{suffix}"
        path.write_bytes(damaged(content, steps))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                READERS[kind](path)
        except Exception as error:
            assert is_own_sentence(error), f"{suffix} {steps}: {type(error).__name__}: {error}"

    one()


@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_end_in_an_error_or_in_data(kind, tmp_path):
    fuzz(kind, tmp_path, SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("kind", READERS)
def test_thousands_of_damaged_files_end_in_an_error_or_in_data(kind, tmp_path):
    fuzz(kind, tmp_path, LONG)

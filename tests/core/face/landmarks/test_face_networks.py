"""The three networks answer as MediaPipe's own runtime does, before anything is made of their numbers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from landmark_pictures import probe

from fantasyid_core.face.landmarks.attention import crop_matrix, cut_features, place_points
from fantasyid_core.face.landmarks.convert import SOURCES, densify
from fantasyid_core.face.landmarks.layers import pad_same
from fantasyid_core.face.landmarks.points import FIVE, IRISES, LEFT_EYE, LIPS, RIGHT_EYE
from fantasyid_core.face.landmarks.weights import FOLDER, load_network

GOLDEN = Path(__file__).parents[3] / "data" / "mediapipe_faces.npz"
EVERY = 16
REGIONS = (LIPS.points, LEFT_EYE.points, RIGHT_EYE.points, *IRISES)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def pixels(side: int) -> torch.Tensor:
    return torch.from_numpy(probe(side)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name, side", [("short_range", 128), ("full_range", 192)])
def test_a_detector_answers_as_in_mediapipe(golden, name, side):
    with torch.inference_mode():
        values, scores = load_network(name)(pixels(side) * 2 - 1)
    answer = torch.cat([values.flatten(), scores.flatten()])[::EVERY].numpy()
    np.testing.assert_allclose(answer, golden[f"raw {name}"], atol=2e-3)


def test_the_mesh_answers_as_in_mediapipe(golden):
    with torch.inference_mode():
        points, presence = load_network("mesh")(pixels(192))
    points = points[0].numpy()
    seen_once = sorted(set(range(468)) - set(LIPS.points + LEFT_EYE.points + RIGHT_EYE.points))
    expected, mine = np.full((478, 3), np.nan), points.copy()
    # MediaPipe's runtime gives the mesh and each region by itself; every 16th number of all was kept.
    numbers = np.full(468 * 3 + 2 * (80 + 71 + 71 + 5 + 5) + 1, np.nan)
    numbers[::EVERY] = golden["raw mesh"]
    mesh, rest = numbers[: 468 * 3].reshape(468, 3), numbers[468 * 3 :]
    expected[seen_once] = mesh[seen_once]
    expected[:468, 2] = mesh[:, 2]
    for region in REGIONS:
        expected[list(region), :2], rest = rest[: 2 * len(region)].reshape(-1, 2), rest[2 * len(region) :]
    kept = np.isfinite(expected)
    assert kept.sum() > 80 and kept[list(LIPS.points), 0].any() and kept[468:].any()
    np.testing.assert_allclose(mine[kept], expected[kept], atol=2e-3)
    assert presence.item() == pytest.approx(3.5284, abs=2e-3)  # in MediaPipe


def test_irises_take_their_depth_from_the_rims_of_the_eyes():
    with torch.inference_mode():
        points = load_network("mesh")(pixels(192))[0][0]
    for iris, eye in zip(IRISES, (LEFT_EYE, RIGHT_EYE), strict=True):
        torch.testing.assert_close(points[list(iris), 2], points[list(eye.points[:16]), 2].mean().expand(5))


def test_faces_of_one_batch_do_not_see_each_other():
    network = load_network("mesh")
    one, other = pixels(192), pixels(192).flip(-1)
    with torch.inference_mode():
        together, alone = network(torch.cat([one, other]))[0], network(other)[0]
    torch.testing.assert_close(together[1:], alone, atol=2e-3, rtol=0)


def test_a_frame_is_level_with_its_corners_and_larger_than_its_points():
    angle = torch.tensor(0.6, dtype=torch.float64)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    level = torch.tensor([[-8.0, 0], [8, 0], [0, -3], [0, 5]], dtype=torch.float64)
    points = (level @ turn.T + torch.tensor([20.0, 30.0], dtype=torch.float64))[None]
    matrix = crop_matrix(points, [0, 1, 2, 3], 0, 1)
    corners = torch.tensor([[[0.0, 0], [16, 0], [0, 16], [16, 16]]], dtype=torch.float64)
    expected = torch.tensor([[-12.0, -5], [12, -5], [-12, 7], [12, 7]], dtype=torch.float64) @ turn.T
    torch.testing.assert_close(place_points(corners, matrix)[0], expected + torch.tensor([20.0, 30.0]))


def test_features_are_cut_out_at_the_cells_and_nothing_lies_outside():
    features = torch.arange(48.0 * 48).reshape(1, 1, 48, 48)
    shift = torch.tensor([[[1.0, 0, 40], [0, 1.0, 3]]])
    cut = cut_features(features, shift)
    torch.testing.assert_close(cut[0, 0, :, :8], features[0, 0, 3:19, 40:])
    assert (cut[0, 0, :, 8:] == 0).all()


def test_padding_is_tensorflows():
    assert pad_same(torch.ones(1, 1, 4, 5), 3, 2).shape[-2:] == (5, 7)
    assert pad_same(torch.ones(1, 1, 4, 4), 3, 2)[0, 0, 0, 0] == 1  # the odd row and column come last
    assert pad_same(torch.ones(1, 1, 4, 4), 3, 1).shape[-2:] == (6, 6)


def test_full_range_sees_the_same_in_a_larger_picture():
    network, small = load_network("full_range"), pixels(192) * 2 - 1
    large = torch.full((1, 3, 384, 384), -1.0)
    large[..., 192:, 192:] = small
    with torch.inference_mode():
        alone, within = network(small)[1].max(), network(large)[1].reshape(96, 96)
    assert within[48:, 48:].max() == pytest.approx(alone.item(), abs=1.5)
    assert within[48:, 48:].max() == within.max()


def test_weights_are_half_precision_and_say_where_they_come_from():
    from safetensors import safe_open

    for name, (_, path, digest) in SOURCES.items():
        with safe_open(FOLDER / f"{name}.safetensors", "pt") as file:
            assert file.metadata() == {"source": "mediapipe 0.10.21", "file": path, "sha256": digest}
            assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}
        assert digest in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "MediaPipe Authors" in (FOLDER / "NOTICE").read_text(encoding="utf-8")


def test_missing_weights_are_explained(monkeypatch, tmp_path):
    from fantasyid_core.face.landmarks import weights

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="mesh.safetensors is missing.*install the pack again"):
        load_network.__wrapped__("mesh")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory by other rules")
def test_a_second_look_at_a_picture_needs_no_new_memory():
    code = """
import resource, numpy, torch
from fantasyid_core.face.landmarks.weights import load_network
network, pixels = load_network("full_range"), torch.zeros(1, 3, 576, 576)
def pages():
    with torch.inference_mode():
        network(pixels)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(numpy.diff([pages() for _ in range(5)]).min())
"""
    root = Path(__file__).parents[4]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # every thread has memory of its own
    pages = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=one_thread
    ).stdout
    assert int(pages) < 1500  # one layer's features are 2,600


def test_points_of_the_five_lie_where_their_names_say():
    with torch.inference_mode():
        left, right, nose, mouth_left, mouth_right = load_network("mesh")(pixels(192))[0][0, list(FIVE), :2].numpy()
    assert left[0] < nose[0] < right[0] and mouth_left[0] < nose[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


class Metadata:
    """A dimension of a sparse tensor, as the flatbuffer's classes give it."""

    def __init__(self, size=0, starts=None, indices=None):
        self.size, self.starts, self.indices = size, starts, indices

    def DenseSize(self):
        return self.size

    def ArraySegments(self):
        return self.starts

    def ArrayIndices(self):
        return self.indices

    def ArraySegmentsType(self):
        return 0

    ArrayIndicesType = ArraySegmentsType


class Sparsity:
    def __init__(self, order, blocks, levels):
        self.order, self.blocks, self.levels = np.array(order), np.array(blocks), levels

    def TraversalOrderAsNumpy(self):
        return self.order

    def BlockMapLength(self):
        return len(self.blocks)

    def BlockMapAsNumpy(self):
        return self.blocks

    def DimMetadata(self, nth):
        return self.levels[nth]


@pytest.mark.parametrize("blocked", [False, True])
def test_sparse_values_go_to_their_places(monkeypatch, blocked):
    from fantasyid_core.face.landmarks import convert

    monkeypatch.setattr(convert, "_vector", lambda kind, table: np.array(table))
    full = np.zeros((4, 6), np.float32)
    if blocked:  # blocks of 2 rows; of the first two rows columns 1 and 4 are kept, of the others column 0
        full[:2, 1], full[:2, 4], full[2:, 0] = (1, 2), (3, 4), (5, 6)
        levels = [Metadata(2), Metadata(starts=[0, 2, 3], indices=[1, 4, 0]), Metadata(2)]
        sparsity = Sparsity([0, 1, 2], [0], levels)
    else:
        full[0, 2], full[1, [0, 5]], full[3, 3] = 1, (2, 3), 4
        levels = [Metadata(4), Metadata(starts=[0, 1, 3, 3, 4], indices=[2, 0, 5, 3])]
        sparsity = Sparsity([0, 1], [], levels)
    values = np.arange(1, full.max() + 1, dtype=np.float32)
    np.testing.assert_array_equal(densify(values, np.array(full.shape), sparsity), full)

"""The 68 landmarks: on the real mesh, against a loop, gradients, and files that hold something else."""

import os
import pickle
import re

import numpy as np
import pytest
import torch
from flamefile import _Call, make_content, write_npz

from fantasyid_core.shape import load_landmarks, load_topology
from fantasyid_core.shape.reconstruct.landmarks import LandmarkEmbedding, five_points, head_yaw

ORIGIN = r"github\.com/Fantasy-AMAP/fantasy-id.*models/fantasyid/landmark_embedding\.npy"
FACES = 60


def make_entries(seed=0):
    """Random landmarks on a mesh of 60 triangles, in the types of the official file."""
    draw = np.random.default_rng(seed)
    return {
        "static_lmk_faces_idx": draw.integers(FACES, size=51),
        "full_lmk_faces_idx": draw.integers(FACES, size=(1, 68)),
        "full_lmk_bary_coords": draw.dirichlet((1, 1, 1), (1, 68)).astype(np.float32),
        "dynamic_lmk_faces_idx": torch.from_numpy(draw.integers(FACES, size=(79, 17))),
        "dynamic_lmk_bary_coords": torch.from_numpy(draw.dirichlet((1, 1, 1), (79, 17)).astype(np.float32)),
    }


def write(path, entries):
    np.save(path, np.array(entries, dtype=object), allow_pickle=True)
    return path


def draw_mesh(batch=2, seed=1):
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.normal(size=(batch, 40, 3))), draw.integers(40, size=(FACES, 3))


@pytest.fixture
def embedding(tmp_path) -> LandmarkEmbedding:
    return load_landmarks(write(tmp_path / "landmark_embedding.npy", make_entries()))


def brute_force(entries, vertices, faces, degrees=None):
    triangles, weights = entries["full_lmk_faces_idx"][0].copy(), entries["full_lmk_bary_coords"][0].copy()
    if degrees is not None:
        turned = min(max(round(degrees), -39), 39)
        row = turned if turned >= 0 else 39 + abs(turned)
        triangles[:17] = np.asarray(entries["dynamic_lmk_faces_idx"])[row]
        weights[:17] = np.asarray(entries["dynamic_lmk_bary_coords"])[row]
    result = np.zeros((68, 3))
    for landmark in range(68):
        for corner in range(3):
            result[landmark] += weights[landmark, corner] * vertices[faces[triangles[landmark], corner]]
    return result


def test_landmarks_are_the_weighted_corners_of_their_triangles(embedding):
    vertices, faces = draw_mesh()
    found = embedding(vertices, faces)
    expected = np.stack([brute_force(make_entries(), head, faces) for head in vertices.numpy()])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert embedding(vertices.float(), torch.from_numpy(faces)).dtype == torch.float32


@pytest.mark.parametrize("degrees", [0, 0.4, 1, 17.6, 39, 80, -0.4, -1, -17.6, -39, -80])
def test_the_contour_of_a_turned_head_is_taken_from_its_row(embedding, degrees):
    vertices, faces = draw_mesh()
    yaw = torch.tensor([np.deg2rad(degrees), 0.0])
    found = embedding(vertices, faces, yaw)
    np.testing.assert_allclose(found[0], brute_force(make_entries(), vertices[0].numpy(), faces, degrees), atol=1e-12)
    np.testing.assert_allclose(found[1], brute_force(make_entries(), vertices[1].numpy(), faces, 0), atol=1e-12)
    assert torch.equal(found[:, 17:], embedding(vertices, faces)[:, 17:])


def test_gradients_equal_finite_differences(embedding):
    vertices, faces = draw_mesh(1)
    vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: embedding(v, faces, torch.tensor([0.3])), vertices)


@pytest.mark.parametrize(
    "rotation, yaw",
    [((0, 0, 0), 0), ((0, 0.5, 0), 0.5), ((0, -0.5, 0), -0.5), ((0.7, 0, 0), 0), ((0, 0, 0.7), 0)],
)
def test_yaw_is_the_turn_about_the_vertical_axis(rotation, yaw):
    assert head_yaw(torch.tensor([rotation], dtype=torch.float64)).item() == pytest.approx(yaw, abs=1e-9)


def test_five_points_are_taken_from_68_landmarks():
    landmarks = np.random.default_rng(0).normal(size=(68, 2))
    found = five_points(landmarks)
    expected = [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    np.testing.assert_allclose(found, expected)


# The official file on the official mesh


@pytest.fixture(scope="module")
def mesh(licensed):
    topology = load_topology(licensed("transform.pkl"))
    middle = topology.template.mean(dim=0)
    return (topology.template - middle)[None].double(), topology.faces


@pytest.fixture(scope="module")
def official(licensed):
    return load_landmarks(licensed("landmark_embedding.npy"))


def test_the_official_file_is_read_as_numpy_and_torch_read_it(licensed, official):
    real = np.load(licensed("landmark_embedding.npy"), allow_pickle=True)[()]
    np.testing.assert_array_equal(official.triangles, real["full_lmk_faces_idx"][0])
    np.testing.assert_array_equal(official.weights.float(), real["full_lmk_bary_coords"][0])
    assert torch.equal(official.turned_triangles, real["dynamic_lmk_faces_idx"])
    assert torch.equal(official.turned_weights.float(), real["dynamic_lmk_bary_coords"])


def test_the_official_landmarks_lie_where_a_face_has_them(mesh, official):
    points = official(*mesh)[0].numpy()
    mirror = points * (-1, 1, 1)
    for one, other in ((0, 16), (17, 26), (36, 45), (39, 42), (48, 54), (31, 35)):
        np.testing.assert_allclose(points[one], mirror[other], atol=2e-3)
        assert points[one, 0] < 0 < points[other, 0]  # from left to right in the picture
    brows, eyes, nose, mouth, chin = range(17, 27), range(36, 48), [30], range(48, 68), [8]
    heights = [points[part, 1].mean() for part in (brows, eyes, nose, mouth, chin)]
    assert heights == sorted(heights, reverse=True)
    assert points[:, 2].argmax() == 30  # the tip of the nose is nearest


@pytest.mark.parametrize("degrees", [30, -30])
def test_the_official_contour_follows_the_edge_of_a_turned_head(mesh, official, degrees):
    vertices, faces = mesh
    angle = torch.tensor([np.deg2rad(degrees)])
    c, s = angle.cos().item(), angle.sin().item()
    turned = vertices @ torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64).T
    yaw = head_yaw(torch.tensor([[0, float(angle), 0]]))

    def far_edge(landmarks):  # of the side that is turned away, in the direction of the nose
        return (landmarks[0, :17, 0] * np.sign(degrees)).max().item()

    static, right, wrong = (official(turned, faces, value) for value in (None, yaw, -yaw))
    assert far_edge(right) > far_edge(static) + 0.002
    assert far_edge(right) > far_edge(wrong) + 0.005


# Bad input


def test_wrong_meshes_are_named(embedding):
    vertices, faces = draw_mesh()
    with pytest.raises(ValueError, match=r"vertices \[B, V, 3\], got \[40, 3\]"):
        embedding(vertices[0], faces)
    with pytest.raises(ValueError, match=r"F above 59, got \[20, 3\].*FLAME"):
        embedding(vertices, faces[:20])
    with pytest.raises(ValueError, match=r"one finite yaw for each of 2 heads, got \[1\]"):
        embedding(vertices, faces, torch.zeros(1))
    with pytest.raises(ValueError, match="finite yaw"):
        embedding(vertices, faces, torch.full((2,), float("nan")))


def refused(path):
    with pytest.raises(ValueError) as caught:
        load_landmarks(path)
    assert str(path) in str(caught.value) and re.search(ORIGIN, str(caught.value))
    return str(caught.value)


def change(**entries):
    return lambda content: content.update(entries)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda c: c.pop("full_lmk_bary_coords"), "expected the entry full_lmk_bary_coords, got static_lmk_faces_idx"),
        (change(full_lmk_faces_idx=np.arange(51)), r"\[68\] numbers in full_lmk_faces_idx, got \[51\]"),
        (change(full_lmk_faces_idx=np.zeros((1, 68))), "whole numbers in full_lmk_faces_idx, got float64"),
        (change(full_lmk_faces_idx=np.full((1, 68), -1)), "from 0 on in full_lmk_faces_idx"),
        (change(full_lmk_bary_coords=np.zeros((1, 68, 3))), "full_lmk_bary_coords that add up to 1"),
        (change(full_lmk_bary_coords=np.full((1, 68, 3), np.nan)), "finite numbers"),
        (change(dynamic_lmk_bary_coords="text"), "real numbers in dynamic_lmk_bary_coords, got str"),
    ],
)
def test_wrong_entries_are_named(spoil, message, tmp_path):
    entries = make_entries()
    spoil(entries)
    assert re.search(message, refused(write(tmp_path / "landmark_embedding.npy", entries)))


def test_each_wrong_file_has_its_own_message(tmp_path):
    path = tmp_path / "landmark_embedding.npy"
    with pytest.raises(FileNotFoundError, match=rf"There is no file .*{path.name}\. .*{ORIGIN}"):
        load_landmarks(path)
    path.write_bytes(write_npz(tmp_path / "flame.npz", make_content()).read_bytes())
    assert "it is a FLAME head model" in refused(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS pointer" in refused(path)
    np.save(path, np.zeros((68, 3)))
    assert r"it holds plain numbers float64 [68, 3]" in refused(path)
    write(path, [1, 2])
    assert "cannot be read" in refused(path) or "plain" in refused(path)
    write(path, {"a": 1})
    assert "expected the entry full_lmk_faces_idx, got a" in refused(path)
    path.unlink()
    path.mkdir()
    assert "got a folder" in refused(path)


def test_a_damaged_file_is_refused_wherever_it_is_cut(tmp_path):
    path = write(tmp_path / "landmark_embedding.npy", make_entries())
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path)


def test_nothing_in_a_hostile_file_is_run(tmp_path):
    witness = tmp_path / "witness"
    evil = {**make_entries(), "static_lmk_faces_idx": _Call(os.system, f"touch {witness}")}
    assert re.search(r"tries to import (posix|nt)\.system", refused(write(tmp_path / "landmark_embedding.npy", evil)))
    assert not witness.exists()


@pytest.mark.parametrize("core", [b"numpy.core.", b"numpy._core."])
def test_files_of_older_and_newer_numpys_are_read(core, tmp_path, embedding):
    path = tmp_path / "landmark_embedding.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        written = pickle.dumps(np.array(make_entries(), dtype=object), 2)  # names stand there as text lines
        for name in (b"numpy._core.", b"numpy.core."):
            written = written.replace(b"c" + name, b"c" + core)
        stream.write(written)
    assert b"c" + core + b"multiarray\n" in path.read_bytes()
    assert torch.equal(load_landmarks(path).triangles, embedding.triangles)

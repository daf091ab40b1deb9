"""The ways from a photo to a 3D face: what is taken when, and that none needs a file but DECA's."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.__main__ import main
from fantasyid_core.face import find_face
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.shape import load_shape
from fantasyid_core.shape.edit.faceframe import five_places
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.reconstruct.methods import OWN_HEAD, TRUTH, ReconstructionRequest, make_shape

OWN = len(head_mesh().template)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without any model file."""
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    for name in ("FANTASYID_TOPOLOGY", "FANTASYID_MODELS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def face():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photo is missing")
    return find_face([data.astronaut()], FaceRequest("mediapipe")).face


def test_without_files_landmarks_make_the_packs_own_head_and_say_what_it_is_good_for(bare, face):
    result = make_shape(face)
    assert len(result.shape.vertices) == OWN and result.shape.edit and result.notes == (TRUTH, OWN_HEAD)
    assert result.projected.shape == (OWN, 2) and 0 < result.projected[:, 0].mean() < 512


def test_auto_takes_deca_as_soon_as_both_files_are_there(bare):
    assert ReconstructionRequest().chosen() == "landmarks"
    assert ReconstructionRequest(deca="a").chosen() == "landmarks"
    assert ReconstructionRequest(deca="a", flame="b").chosen() == "deca"
    assert ReconstructionRequest("template", deca="a", flame="b").chosen() == "template"


def test_deca_that_is_asked_for_and_missing_says_where_it_comes_from(bare, face):
    with pytest.raises(FileNotFoundError, match="deca.is.tue.mpg.de"):
        make_shape(face, ReconstructionRequest("deca"))
    with pytest.raises(ValueError, match="Expected a method among auto, deca, landmarks, template, got 'magic'"):
        ReconstructionRequest("magic")


@pytest.mark.parametrize("pose", ["neutral", "as photographed"])
def test_the_template_lies_on_the_five_points(bare, face, pose):
    result = make_shape(face, ReconstructionRequest("template", pose=pose))
    mesh, shape = head_mesh(), result.shape
    nearest = [int(((mesh.template - place) ** 2).sum(1).argmin()) for place in five_places(mesh.template)]
    eyes = np.linalg.norm(face.points[1] - face.points[0])
    assert np.median(np.linalg.norm(shape.seen[nearest, :2] - face.points, axis=1)) < 0.15 * eyes
    same = np.abs(shape.vertices.numpy() - mesh.template).max() < 1e-6
    assert same == (pose == "neutral")
    shifts = [np.linalg.norm(some - some.mean(0), axis=1) for some in (shape.vertices.numpy(), mesh.template)]
    np.testing.assert_allclose(*shifts, atol=1e-5, err_msg="it is turned and nothing else")


def test_the_command_needs_a_photo_and_nothing_else(bare, face, capsys):
    from PIL import Image

    Image.fromarray(face.picture).save(bare / "photo.png")
    named = ["reconstruct", "--image", str(bare / "photo.png"), "--out"]
    assert main([*named, str(bare / "a.ply"), "--picture", str(bare / "a.png")]) == 0
    told = capsys.readouterr()
    assert f"{OWN} vertices" in told.out and "hardly more than the head's turn" in told.err
    assert main([*named, str(bare / "b.ply"), "--method", "template"]) == 0
    assert main([*named, str(bare / "c.ply"), "--likeness", "1"]) == 0
    first, template, near = (load_shape(bare / f"{name}.ply", OWN).numpy() for name in "abc")
    assert not np.allclose(first, template) and not np.allclose(first, near)
    assert Image.open(bare / "a.png").size == (1024, 512)
    assert main([*named, str(bare / "d.ply"), "--method", "deca"]) == 2
    assert "deca_model.tar" in capsys.readouterr().err


def test_faces_for_training_are_fitted_where_deca_is_not_there(bare, face):
    from fantasyid_core.training.data.settings import PrepareSettings
    from fantasyid_core.training.data.tools import load_tools

    tools = load_tools(PrepareSettings(detector="mediapipe", text="none", vertices=OWN))
    vertices, reason = tools.reconstruct(face)
    assert vertices.shape == (OWN, 3) and reason == "" and tools.names["shape"] == "landmarks"
    without = load_tools(PrepareSettings(detector="mediapipe", text="none"))
    assert without.reconstruct is None and "transform.pkl" in without.notes[-1]

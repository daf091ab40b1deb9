"""Photos and files of a person, as the command line and the pipeline use them."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from ownface import write_own_face_files
from PIL import Image

from fantasyid_core.__main__ import main
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.request import Person, load_face, load_vertices
from fantasyid_core.shape import load_shape, save_shape

POINTS = "60,80 120,80 90,115 65,140 115,140"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 255, (200, 180, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A models folder with stand-ins for DECA and FLAME in their usual places."""
    folder = tmp_path_factory.mktemp("models")
    write_own_face_files(folder / "fantasyid")
    return folder


def test_a_shape_comes_from_a_tensor_a_file_or_the_photo(photo, models, reference_topology, golden, tmp_path):
    topology = reference_topology
    given = torch.randn(2236, 3)
    request = FaceRequest("none", TEMPLATE / 512 * 170, folders=(models,))
    face = load_face(Person(photo, given, request))
    assert load_vertices(Person(photo, given, request), face, topology)[0] is given
    path = tmp_path / "somebody.ply"
    save_shape(golden["vertices"][0], path)
    assert torch.equal(load_vertices(Person(photo, path, request), face, topology)[0], golden["vertices"][0])
    made = Person(photo, None, request, flame=models / "fantasyid" / "flame.npz")
    vertices, again = load_vertices(made, face, topology)
    assert vertices.shape == (2236, 3) and again is not None
    turned = Person(photo, None, request, flame=models / "fantasyid" / "flame.npz", pose="as photographed")
    assert not torch.equal(vertices, load_vertices(turned, face, topology)[0])


def test_notes_about_the_face_are_warnings(photo):
    edge = np.array([[2, 80], [60, 80], [30, 110], [5, 140], [55, 140]], np.float32)
    with pytest.warns(UserWarning, match="lies outside the picture"):
        load_face(Person(photo, None, FaceRequest("none", edge)))


def test_several_photos_may_be_files_and_arrays(photo):
    other = np.random.default_rng(1).integers(0, 255, (200, 180, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        face = load_face(Person([photo, other], None, FaceRequest("none")))
    assert len(face.others) == 1


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="pose among neutral, as photographed, got 'sideways'"):
        Person("a.jpg", pose="sideways")
    with pytest.raises(ValueError, match="joining among average, concatenate, got 'sum'"):
        Person("a.jpg", references="sum")


def reconstruct(photo, models, out, **changes) -> int:
    options = {"image": photo, "points": POINTS, "models": models, "flame": models / "fantasyid" / "flame.npz",
               "out": out, **changes}  # fmt: skip
    return main(["reconstruct", *(part for name, value in options.items() for part in (f"--{name}", str(value)))])


def test_the_command_writes_the_3d_face_and_a_picture(photo, models, tmp_path, capsys):
    out, picture = tmp_path / "face.obj", tmp_path / "face.png"
    assert reconstruct(photo, models, out, picture=picture) == 0
    assert f"2236 vertices: {out}" in capsys.readouterr().out
    assert load_shape(out, 2236).shape == (2236, 3)
    with Image.open(picture) as image:
        assert image.size == (1024, 512)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": "face.fbx"}, "ends in .ply, .obj, .glb, .npy, got face.fbx"),
        ({"deca": "absent.tar"}, "deca"),
        ({"flame": "absent.pkl"}, "FLAME"),
        ({"image": "absent.jpg"}, "no picture at absent.jpg"),
    ],
)
def test_the_command_explains_what_is_wrong(photo, models, tmp_path, capsys, changes, message):
    out = tmp_path / "face.ply"
    assert reconstruct(photo, models, **{"out": out, **changes}) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and "Traceback" not in error and not out.exists()

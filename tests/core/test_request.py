"""Photos and files of a person, as the command line and the pipeline use them."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from standinflame import stand_in, stand_in_topology, write_face_files

from fantasyid_core.__main__ import main
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.request import PersonRequest, load_face, load_shape_of
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
    write_face_files(folder / "fantasyid")
    return folder


def test_a_shape_comes_from_a_tensor_a_file_or_the_photo(photo, models, tmp_path):
    topology = stand_in_topology()
    given = torch.from_numpy(stand_in().vertices)
    request = FaceRequest("none", TEMPLATE / 512 * 170, folders=(models,))
    face = load_face(PersonRequest(photo, given, request))
    assert load_shape_of(PersonRequest(photo, given, request), face, topology)[0].vertices is given
    path = tmp_path / "somebody.ply"
    save_shape(given, path)
    read = load_shape_of(PersonRequest(photo, path, request), face, topology)[0]
    assert torch.equal(read.vertices, given)
    made = PersonRequest(photo, None, request, flame=models / "fantasyid" / "flame.npz")
    shape, again = load_shape_of(made, face, topology)
    assert shape.vertices.shape == (5023, 3) and again is not None
    turned = PersonRequest(photo, None, request, flame=models / "fantasyid" / "flame.npz", pose="as photographed")
    other = load_shape_of(turned, face, topology)[0]
    assert not torch.equal(shape.vertices, other.vertices)


def test_notes_about_the_face_are_warnings(photo):
    edge = np.array([[2, 80], [60, 80], [30, 110], [5, 140], [55, 140]], np.float32)
    with pytest.warns(UserWarning, match="lies outside the picture"):
        load_face(PersonRequest(photo, None, FaceRequest("none", edge)))


def test_several_photos_may_be_files_and_arrays(photo):
    other = np.random.default_rng(1).integers(0, 255, (200, 180, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        face = load_face(PersonRequest([photo, other], None, FaceRequest("none")))
    assert len(face.others) == 1


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="pose among neutral, as photographed, got 'sideways'"):
        PersonRequest("a.jpg", pose="sideways")
    with pytest.raises(ValueError, match="joining among average, concatenate, got 'sum'"):
        PersonRequest("a.jpg", references="sum")


def reconstruct(photo, models, out, **changes) -> int:
    options = {"image": photo, "points": POINTS, "models": models, "flame": models / "fantasyid" / "flame.npz",
               "out": out, **changes}  # fmt: skip
    return main(["reconstruct", *(part for name, value in options.items() for part in (f"--{name}", str(value)))])


def test_the_command_writes_the_3d_face_and_a_picture(photo, models, tmp_path, capsys):
    out, picture = tmp_path / "face.obj", tmp_path / "face.png"
    assert reconstruct(photo, models, out, picture=picture) == 0
    assert f"5023 vertices: {out}" in capsys.readouterr().out
    assert load_shape(out, 5023).shape == (5023, 3)
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

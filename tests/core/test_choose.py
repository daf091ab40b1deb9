"""Choosing a face by size, place or number, and the picture that shows which one it is."""

import numpy as np
import pytest

from fantasyid_core.face import DetectedFace, choose_face, draw_faces
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.choose import CHOSEN_COLOUR, OTHER_COLOUR


def face(x, y, side):
    box = np.array([x, y, x + side, y + side], np.float32)
    return DetectedFace(box, (TEMPLATE * side / 512 + (x, y)).astype(np.float32), 0.7, False)


LEFT, LARGE, MIDDLE = face(10, 120, 60), face(280, 20, 100), face(170, 110, 50)
FACES = [MIDDLE, LARGE, LEFT]
SIZE = (400, 300)


@pytest.mark.parametrize(
    "how, order",
    [
        ("largest", [LARGE, LEFT, MIDDLE]),
        ("most central", [MIDDLE, LARGE, LEFT]),
        ("left to right", [LEFT, MIDDLE, LARGE]),
    ],
)
def test_order_of_each_way(how, order):
    assert [choose_face(FACES, how, number, SIZE) for number in range(3)] == order
    assert [choose_face(FACES[::-1], how, number, SIZE) for number in range(3)] == order


def test_largest_is_the_default():
    assert choose_face(FACES) is LARGE


def test_equal_faces_stand_from_left_to_right():
    twins = [face(250, 50, 60), face(90, 50, 60)]
    for faces in (twins, twins[::-1]):
        assert choose_face(faces, "largest") is twins[1]
        assert choose_face(faces, "most central", size=(401, 161)) is twins[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(faces=[]), "no face found in the picture. Choose .* detector none"),
        (dict(number=3), "no face number 3: 3 found in the picture. Expected 0 to 2"),
        (dict(number=-1), "no face number -1: 3 found"),
        (dict(how="prettiest"), "out of largest, most central, left to right, got 'prettiest'"),
        (dict(how="most central"), "width and height of the picture"),
    ],
)
def test_bad_choices_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_face(**(dict(faces=FACES) | arguments))


def is_colour(picture, colour):
    return (picture == colour).all(axis=-1)


def test_picture_shows_every_box_and_marks_the_chosen_one():
    picture = np.zeros((300, 400, 3), np.uint8)
    drawn = draw_faces(picture, FACES, MIDDLE)
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8 and picture.max() == 0
    assert is_colour(drawn, OTHER_COLOUR)[180, 30:70].all()  # lower edge of the left box
    assert is_colour(drawn, OTHER_COLOUR)[60:120, 280].all()
    assert is_colour(drawn, CHOSEN_COLOUR)[130:160, 170].all()
    for x, y in MIDDLE.points.round().astype(int):
        assert is_colour(drawn, CHOSEN_COLOUR)[y, x]
    assert not is_colour(draw_faces(picture, FACES), CHOSEN_COLOUR).any()


def test_numbers_count_from_left_to_right():
    picture = np.zeros((300, 400, 3), np.uint8)
    # Same size and colours: only the digit tells the labels apart, so 0 of one list is 0 of another.
    one, two = face(20, 50, 60), face(200, 50, 60)
    label = draw_faces(picture, [two, one])[50:75, 20:45]
    np.testing.assert_array_equal(label, draw_faces(picture, [one])[50:75, 20:45])
    assert (label != draw_faces(picture, [two, one])[50:75, 200:225]).any()
    np.testing.assert_array_equal(draw_faces(picture, [two, one]), draw_faces(picture, [one, two]))


def test_drawing_without_faces_leaves_the_picture_as_it_is():
    picture = np.full((70, 90, 3), 9, np.uint8)
    np.testing.assert_array_equal(draw_faces(picture, []), picture)

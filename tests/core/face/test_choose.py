"""Choosing a face by size, place or number, and the picture that shows which one it is."""

import numpy as np
import pytest

from fantasyid_core.face import DetectedFace, choice_notes, choose_face, draw_faces
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.choose import CHOSEN_COLOUR, EDGE_COLOUR, OTHER_COLOUR


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
def test_each_way_of_choosing_has_its_order(how, order):
    assert [choose_face(FACES, how, number, SIZE) for number in range(3)] == order
    assert [choose_face(FACES[::-1], how, number, SIZE) for number in range(3)] == order


def test_most_alike_follows_the_cosines_and_ties_stand_from_left_to_right():
    assert [choose_face(FACES, "most alike", n, likeness=[0.1, 0.7, 0.3]) for n in range(3)] == [LARGE, LEFT, MIDDLE]
    assert choose_face(FACES, "most alike", likeness=[0.4, 0.4, -0.1]) is MIDDLE  # 195 before 330
    assert choose_face(FACES, "most alike", likeness=np.array([-0.3, -0.2, -0.1], np.float32)) is LEFT


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
        (dict(faces=[]), "no face found in the picture, which was searched at several sizes. .*from the side"),
        (dict(faces=[], detector="yunet"), "searched by the detector yunet .*painted .*detector none .*five points"),
        (dict(how="most alike"), "comparing with a picture of the person. Give that picture, or choose one of largest"),
        (dict(how="most alike", likeness=[0.5, 0.5]), "Expected 3 finite likenesses, one per face, got"),
        (dict(how="most alike", likeness=[0.5, 0.5, float("nan")]), "Expected 3 finite likenesses"),
        (dict(number=3), "no face number 3: 3 found in the picture. Expected 0 to 2"),
        (dict(number=-1), "no face number -1: 3 found"),
        (dict(how="prettiest"), "out of largest, most central, left to right, most alike, got 'prettiest'"),
        (dict(how="most central"), "width and height of the picture"),
    ],
)
def test_bad_choices_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_face(**(dict(faces=FACES) | arguments))


def notes(faces, how, number=0, likeness=None):
    chosen = choose_face(faces, how, number, SIZE, likeness)
    return choice_notes(faces, chosen, how, SIZE, likeness)


def test_two_equally_large_faces_are_named_with_the_one_that_was_taken():
    small, one, two = face(150, 10, 40), face(20, 50, 100), face(250, 60, 93)  # areas differ by 13.5 %
    (note,) = notes([two, small, one], "largest")
    assert note.startswith("Faces 0 and 2 are about equally large; face 0 was taken. If another one is meant,")
    assert "left to right" in note
    assert notes([two, small, one], "left to right", 2) == []
    assert notes([two, small, one], "largest", 2) == []  # the small one has no rival
    assert notes([one, face(250, 60, 92), small], "largest") == []  # 15.4 %
    assert notes([one], "largest") == []
    three = [one, two, face(150, 150, 95)]
    assert "Faces 0, 1 and 2 are about equally large; face 0 was" in notes(three, "largest")[0]


def test_equally_central_faces_are_named():
    left, right = face(100, 120, 60), face(243, 120, 60)  # 69.5 and 73.5 pixels from the middle
    assert "Faces 0 and 1 are about equally central; face 0 was taken" in notes([right, left], "most central")[0]
    assert notes([left, face(300, 120, 60)], "most central") == []
    assert choice_notes([left, right], left, "most central") == []  # not known without the picture's size


def test_close_and_low_likenesses_are_said():
    (note,) = notes(FACES, "most alike", likeness=[0.55, 0.61, 0.2])
    assert "Faces 1 and 2 are about equally like the person; face 2 was taken" in note
    assert notes(FACES, "most alike", likeness=[0.2, 0.61, 0.1]) == []
    (note,) = notes(FACES, "most alike", likeness=[0.05, 0.12, 0.1])
    assert note.startswith("Face 2 was taken as the most alike, but its likeness is 0.12; below 0.28")
    assert choice_notes(FACES, LARGE, "most alike") == []


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
    one, two = face(20, 80, 60), face(200, 80, 60)
    both, alone = draw_faces(picture, [two, one]), draw_faces(picture, [one])
    np.testing.assert_array_equal(both[40:160, :120], alone[40:160, :120])
    assert (both[40:78, 20:60] != both[40:78, 200:240]).any()
    np.testing.assert_array_equal(both, draw_faces(picture, [one, two]))


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_lines_and_numbers_have_contrast_on_every_ground(ground):
    picture = np.full((300, 400, 3), ground, np.uint8)
    drawn = draw_faces(picture, FACES, MIDDLE)
    for colour in (CHOSEN_COLOUR, OTHER_COLOUR):
        # Relative luminance (WCAG 2): the coloured line beside its black rim, the black digit on its label.
        linear = (np.array(colour) / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722)
        assert (linear + 0.05) / 0.05 > 7
        mask = is_colour(drawn, colour)
        beside = np.roll(mask, 1, axis=0) | np.roll(mask, -1, axis=0) | np.roll(mask, 1, axis=1)
        assert is_colour(drawn, EDGE_COLOUR)[beside & ~mask].mean() > 0.6


def test_numbers_stand_beside_the_faces_where_there_is_room():
    picture = np.zeros((480, 640, 3), np.uint8)
    faces = [face(0, 0, 100), face(540, 0, 99), face(0, 380, 99), face(540, 380, 99), face(250, 200, 90)]
    empty = draw_faces(picture, faces)
    for each in faces:
        x, y = each.box[:2].astype(int) + 6
        inside = empty[y : y + 80, x : x + 80]
        assert not inside.any()


def test_a_face_that_fills_the_picture_has_its_number_inside():
    picture = np.zeros((200, 200, 3), np.uint8)
    drawn = draw_faces(picture, [face(0, 0, 199)])
    corner = is_colour(drawn, OTHER_COLOUR)[4:16, 4:16]
    assert corner.mean() > 0.2 and not drawn[60:140, 60:140].any()


def test_lines_and_numbers_grow_with_the_picture():
    small = draw_faces(np.zeros((300, 400, 3), np.uint8), [face(100, 100, 80)])
    large = draw_faces(np.zeros((3000, 4000, 3), np.uint8), [face(1000, 1000, 800)])
    coloured = [is_colour(drawn, OTHER_COLOUR).mean() for drawn in (small, large)]
    assert 0.5 < coloured[1] / coloured[0] < 2


def test_drawing_without_faces_leaves_the_picture_as_it_is():
    picture = np.full((70, 90, 3), 9, np.uint8)
    np.testing.assert_array_equal(draw_faces(picture, []), picture)

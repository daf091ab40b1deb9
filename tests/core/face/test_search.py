"""One network, pictures of all sizes: a planted network that "sees" coloured squares of 12 to 190 pixels."""

import cv2
import numpy as np
import pytest

from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.detectors import search
from fantasyid_core.face.detectors.detected import head_pose
from fantasyid_core.face.detectors.search import box_points, overlaps, search_faces, view_of

SIDES = (1280, 640, 256)
POINTS = (TEMPLATE - 80) / 352  # the template's points as shares of a face box
INK = np.array([255, 0, 255])


class SquareNetwork:
    """Answers with every magenta square that is 12 to 190 pixels wide, as networks see faces of some sizes only."""

    def __init__(self, spoil=lambda points: points):
        self.spoil, self.shapes = spoil, []

    def __call__(self, picture):
        assert picture.dtype == np.uint8 and picture.shape[0] % 64 == picture.shape[1] % 64 == 0
        self.shapes.append(picture.shape[:2])
        ink = np.abs(picture.astype(int) - INK).sum(axis=-1) < 200
        boxes = []
        for x, y, width, height, _ in cv2.connectedComponentsWithStats(ink.astype(np.uint8))[2][1:]:
            if 12 <= width <= 190:
                boxes.append((x, y, x + width - 1, y + height - 1))
        boxes = np.array(boxes, float).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        points = boxes[:, None, :2] + POINTS * sides[:, None]
        return boxes, self.spoil(points), 0.6 + 0.3 * (sides[:, 0] / 190)


def scene(size, *squares):
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    for x, y, side in squares:
        picture[max(0, y) : y + side, max(0, x) : x + side] = INK
    return picture


@pytest.mark.parametrize("side", [24, 40, 100, 300, 600, 900])
def test_a_face_of_any_size_is_found_once_where_it_is(side):
    place = (200, 30, side)
    (face,) = search_faces(scene((1280, 960), place), SquareNetwork(), SIDES, "planted")
    np.testing.assert_allclose(face.box, (200, 30, 199 + side, 29 + side), atol=max(2, 0.02 * side))
    np.testing.assert_allclose(face.points, (200, 30) + POINTS * side, atol=max(2, 0.02 * side))
    assert face.exact_points and face.detector == "planted" and 0.6 <= face.score <= 1
    np.testing.assert_allclose((face.yaw, face.pitch, face.roll), head_pose(face.points), atol=1e-4)


def test_without_the_small_sizes_large_faces_are_missed():
    picture = scene((1280, 960), (200, 30, 900))
    assert search_faces(picture, SquareNetwork(), (1280,), "planted") == []
    assert len(search_faces(picture, SquareNetwork(), SIDES, "planted")) == 1


def test_a_face_that_fills_the_picture_and_one_cut_by_its_edge_are_found():
    (face,) = search_faces(scene((500, 500), (0, 0, 500)), SquareNetwork(), (500, 128), "planted")
    np.testing.assert_allclose(face.box, (0, 0, 499, 499), atol=4)
    (face,) = search_faces(scene((500, 400), (-30, -20, 120)), SquareNetwork(), SIDES, "planted")
    assert face.box[:2].tolist() == [0, 0] and abs(face.box[2] - 89) < 3
    network = SquareNetwork()
    search_faces(scene((500, 500)), network, (500, 128), "planted")
    assert network.shapes[-1] == (256, 256), "the smallest size has a border of half its side all around"


def test_points_of_a_face_that_the_edge_cuts_may_lie_outside_the_picture():
    found = merged([[-40, 100, 60, 200]], [0.9])
    np.testing.assert_allclose(found.boxes[0], (0, 100, 60, 200))
    np.testing.assert_allclose(found.points[0], (-40, 100) + POINTS * 100)


def test_several_faces_come_surest_first_and_once_each():
    squares = [(50, 50, 30), (300, 80, 90), (700, 300, 150), (1000, 100, 60)]
    faces = search_faces(scene((1280, 720), *squares), SquareNetwork(), SIDES, "planted")
    assert len(faces) == 4
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def test_larger_pictures_are_searched_again_only_when_nothing_is_found():
    network = SquareNetwork()
    tiny = scene((2560, 600), (1000, 200, 16))  # 8 pixels at 1280
    (face,) = search_faces(tiny, network, SIDES, "planted")
    np.testing.assert_allclose(face.box, (1000, 200, 1015, 215), atol=2)
    assert max(max(shape) for shape in network.shapes) <= 2560 + 2 * 64
    network = SquareNetwork()
    assert len(search_faces(scene((2560, 600), (1000, 200, 16), (300, 200, 90)), network, SIDES, "planted")) == 1
    assert max(max(shape) for shape in network.shapes) <= 1280 + 2 * 64


def test_a_huge_panorama_is_searched_in_bounded_pictures():
    network = SquareNetwork()
    (face,) = search_faces(scene((12000, 800), (7000, 200, 400)), network, SIDES, "planted")
    np.testing.assert_allclose(face.box, (7000, 200, 7399, 599), atol=20)
    assert max(height * width for height, width in network.shapes) <= 1408 * 256


@pytest.mark.parametrize("size, side", [((333, 517), 256), ((1280, 960), 640), ((90, 64), 64)])
def test_views_are_the_scaled_picture_in_a_grey_border(size, side):
    view = view_of(np.zeros((size[1], size[0], 3), np.uint8), side, 32)
    height, width = view.pixels.shape[:2]
    assert height % 64 == width % 64 == 0
    left, top = (view.origin + 0.5).astype(int)
    inner = np.round(np.array(size) / view.scale).astype(int)
    assert max(inner) == side and min(left, top, width - left - inner[0], height - top - inner[1]) >= 32
    assert (view.pixels[top : top + inner[1], left : left + inner[0]] == 0).all()
    assert view.pixels.sum() == (width * height - inner.prod()) * 3 * 128


def test_scaled_views_keep_the_place_of_what_they_show():
    picture = np.full((600, 800, 3), 90, np.uint8)
    picture[200:280, 300:380] = 255
    view = view_of(picture, 200, 32)
    ys, xs = np.nonzero(view.pixels[..., 0] > 200)
    corners = (np.array([[xs.min(), ys.min()], [xs.max(), ys.max()]]) - view.origin) * view.scale - 0.5
    np.testing.assert_allclose(corners.mean(axis=0), (339.5, 239.5), atol=0.6)


SPOILED = {
    "no numbers": lambda points: points * np.nan,
    "infinite": lambda points: points + np.inf,
    "collapsed": lambda points: points * 0 + points.mean(axis=(0, 1)),
    "upside down": lambda points: points[:, [3, 4, 2, 0, 1]],
    "mirrored": lambda points: points[:, [1, 0, 2, 4, 3]],
    "on one line": lambda points: points * (1, 0) + (0, 100),
    "far away": lambda points: points + 5000,
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_impossible_points_are_estimated_from_the_box(spoil):
    """A painted or a side face, of which the network sees the box but gets the points wrong."""
    with np.errstate(invalid="ignore"):
        (face,) = search_faces(scene((800, 600), (300, 200, 100)), SquareNetwork(spoil), SIDES, "planted")
    assert not face.exact_points and face.yaw is face.pitch is face.roll is None
    np.testing.assert_allclose(face.points, box_points(face.box))
    inside = (face.points > face.box[:2]) & (face.points < face.box[2:])
    assert inside.all() and face.points[0, 0] < face.points[1, 0] and face.points[0, 1] < face.points[3, 1]


def test_one_spoiled_face_does_not_spoil_the_others():
    def spoil(points):
        points[:1] = np.nan
        return points

    faces = search_faces(scene((800, 600), (100, 100, 100), (500, 300, 100)), SquareNetwork(spoil), (800,), "planted")
    assert sorted(face.exact_points for face in faces) == [False, True]


def planted(boxes, scores, points=None):
    """A network that answers the same whatever it sees, in pixels of a picture without scale and border."""
    boxes = np.array(boxes, float)
    scale = (boxes[:, 2:] - boxes[:, :2])[:, None]
    points = boxes[:, None, :2] + POINTS * scale if points is None else points
    return search.Found(boxes, points, np.array(scores, float))


def merged(boxes, scores, shape=(500, 500)):
    image = np.zeros((*shape, 3), np.uint8)
    return search._merged(search._usable(planted(boxes, scores), image))


def test_the_surest_of_overlapping_boxes_is_kept():
    found = merged([[100, 100, 200, 200], [105, 102, 206, 207], [300, 100, 400, 200]], [0.7, 0.9, 0.8])
    assert found.scores.tolist() == [0.9, 0.8]
    np.testing.assert_allclose(found.boxes[0], (105, 102, 206, 207))


def test_a_less_sure_part_of_a_face_is_dropped_a_surer_one_kept():
    large, mouth = [100, 100, 300, 300], [170, 240, 230, 280]
    assert merged([large, mouth], [0.9, 0.6]).scores.tolist() == [0.9]
    assert merged([large, mouth], [0.6, 0.9]).scores.tolist() == [0.9, 0.6]


def test_boxes_without_area_numbers_or_place_in_the_picture_are_dropped():
    boxes = [[np.nan, 0, 50, 50], [60, 60, 60, 90], [-90, -90, -5, -5], [600, 0, 700, 90], [0, 0, np.inf, 40]]
    boxes.append([-90, 100, 60, 250])  # mostly outside: its middle is
    assert len(merged(boxes, [0.9] * 6).scores) == 0
    assert len(merged([[10, 10, 90, 90]], [np.nan]).scores) == 0
    assert merged([[10, 10, 90, 90]], [7.0]).scores.tolist() == [1.0]


def test_equal_scores_come_in_the_order_of_their_places():
    boxes = np.array([[300, 100, 400, 200], [100, 100, 200, 200], [100, 300, 200, 400]])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        np.testing.assert_array_equal(merged(boxes[order], [0.8] * 3).boxes, boxes[[1, 2, 0]])


def test_overlaps_are_shares_of_areas():
    union, inside = overlaps(np.array([0.0, 0, 10, 10]), np.array([[5.0, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 30]]))
    np.testing.assert_allclose(union, [50 / 150, 4 / 100, 0])
    np.testing.assert_allclose(inside, [0.5, 1, 0])


@pytest.mark.parametrize(
    "answer",
    [
        (np.zeros((2, 5)), np.zeros((2, 5, 2)), np.zeros(2)),
        (np.zeros((2, 4)), np.zeros((2, 10)), np.zeros(2)),
        (np.zeros((2, 4)), np.zeros((2, 5, 2)), np.zeros((2, 1))),
    ],
)
def test_another_kind_of_answer_is_refused(answer):
    with pytest.raises(ValueError, match=r"Expected boxes \[N,4\], points \[N,5,2\].*of another kind"):
        search_faces(scene((100, 100)), lambda picture: answer, SIDES, "planted")


def test_pictures_are_not_changed_and_may_be_views():
    picture = scene((400, 300), (100, 100, 80))
    before = picture.copy()
    (face,) = search_faces(picture[:, ::-1], SquareNetwork(), SIDES, "planted")
    np.testing.assert_array_equal(picture, before)
    assert abs(face.centre[0] - (399 - 139.5)) < 2

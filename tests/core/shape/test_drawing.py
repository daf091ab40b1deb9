"""Pictures of heads: which way they look, where the light is, what is drawn where, what stays untouched."""

import numpy as np
import pytest
import torch

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.draw.drawing import STRIPS, VIEWS, draw_head, draw_landmarks, draw_overlay
from fantasyid_core.shape.draw.shading import hollows, shade, to_srgb

VERTICES, FACES = (tensor.numpy() for tensor in synthetic_head(3))


def clay(picture):  # [h,w,3] -> [h,w]
    """Where the head is: the clay is warm, the background has no colour."""
    return picture[..., 0].astype(int) - picture[..., 2] > 6


def box(mask):
    y, x = np.nonzero(mask)
    return x.min(), y.min(), x.max(), y.max()


@pytest.fixture(scope="module")
def front():
    return draw_head(VERTICES, FACES, 128, ["front"])


@pytest.fixture(scope="module")
def projected():
    """The head in a picture of 96 pixels: points, depth."""
    return np.stack([VERTICES[:, 0], -VERTICES[:, 1]], axis=1) * 300 + 48, VERTICES[:, 2] * 300


def picture(height=96, width=96):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_views_stand_side_by_side():
    both = draw_head(VERTICES, FACES, 64)
    assert both.shape == (64, 128, 3) and both.dtype == np.uint8
    four = draw_head(VERTICES, FACES, 64, list(VIEWS))
    assert four.shape == (64, 256, 3)
    np.testing.assert_array_equal(draw_head(VERTICES, FACES, 64), both)
    np.testing.assert_array_equal(draw_head(torch.tensor(VERTICES), FACES, 64, "front").shape, (64, 64, 3))


def test_a_head_is_centred_with_a_margin(front):
    left, top, right, bottom = box(clay(front))
    assert abs(top - 0.08 * 128) <= 2 and abs(127 - bottom - 0.08 * 128) <= 2
    assert abs(left - (127 - right)) <= 2


def test_the_crown_is_up_and_the_neck_is_down(front):
    wide = clay(front).sum(axis=1)
    assert wide[int(0.3 * 128)] > 1.3 * wide[int(0.88 * 128)] > 0


def test_the_face_looks_at_the_viewer_and_turns_to_the_right():
    """The tip of the nose, found by painting: only there is the mesh cut away."""
    nose = VERTICES[:, 2].argmax()
    holed = FACES[~(FACES == nose).any(axis=1)]

    def place(view):
        whole, cut = (draw_head(VERTICES, faces, 128, [view]).astype(int) for faces in (FACES, holed))
        changed = abs(whole - cut).sum(axis=2) > 30
        return np.nonzero(changed)[1].mean() if changed.any() else None

    assert abs(place("front") - 63.5) < 2
    assert 63.5 + 8 < place("three-quarter") < place("profile")
    assert place(-38) < 63.5 - 8
    assert place("back") is None


def test_the_profile_shows_the_nose_on_the_right():
    mask = clay(draw_head(VERTICES, FACES, 256, ["profile"]))
    reach = np.array([np.nonzero(row)[0].max() if row.any() else -1 for row in mask])
    rows = np.flatnonzero(reach == reach.max())
    height = VERTICES[:, 1].max() - VERTICES[:, 1]
    nose = height[VERTICES[:, 2].argmax()] / np.ptp(VERTICES[:, 1])
    assert abs(rows.mean() / 256 - (0.08 + 0.84 * nose)) < 0.03


def test_the_light_comes_from_above_on_the_left(front):
    grey, mask = front.mean(axis=2), clay(front)
    y, x = np.mgrid[:128, :128]
    assert grey[mask & (x < 55)].mean() > grey[mask & (x > 72)].mean() + 12
    assert grey[mask & (y < 45)].mean() > grey[mask & (y > 90)].mean() + 12
    assert 60 < grey[mask].mean() < 210 and (front[mask] == 255).mean() < 0.01


def test_place_unit_and_orientation_of_the_triangles_do_not_matter(front):
    moved = draw_head(VERTICES * 1000.0 + (70, -200, 1500), FACES, 128, ["front"])
    assert abs(moved.astype(int) - front).max() <= 2
    inside_out = draw_head(VERTICES, FACES[:, ::-1], 128, ["front"])
    assert abs(inside_out.astype(int) - front).max() <= 2


def test_points_without_faces_are_drawn_far_to_near():
    drawn = draw_head(VERTICES, None, 128, ["front"])
    mask = clay(drawn)
    assert 0.02 < mask.mean() < 0.5
    left, top, right, bottom = box(mask)
    assert abs(left - (127 - right)) <= 6 and top < 20
    np.testing.assert_array_equal(draw_head(VERTICES, np.zeros((0, 3), int), 128, ["front"]), drawn)
    near_and_far = np.array([[-1.0, 0, -1], [1, 0, 1], [0, 1, 0], [0, -1, 0]])
    dots = draw_head(near_and_far, None, 64, ["front"]).astype(int).sum(axis=2)
    assert dots[:, 32:].max() > dots[:, :20].max() + 100


def test_heads_of_people_are_centred_and_shaded(head, faces):
    drawn = draw_head(head, faces, 128)
    for view in np.split(drawn, 2, axis=1):
        left, top, right, bottom = box(clay(view))
        assert max(right - left, bottom - top) == pytest.approx(0.84 * 128, abs=4)
        assert abs(left + right - 127) <= 4 and abs(top + bottom - 127) <= 4
        assert view[clay(view)].std() > 20  # relief


def test_the_overlay_covers_the_mesh_and_nothing_else(projected):
    points, depth = projected
    before = picture()
    kept = before.copy()
    drawn = draw_overlay(before, points, depth, FACES)
    np.testing.assert_array_equal(before, kept)
    changed = (drawn != before).any(axis=2)
    left, top, right, bottom = box(changed)
    expected = [*points.min(axis=0), *points.max(axis=0)]
    np.testing.assert_allclose([left, top, right, bottom], expected, atol=1)
    assert not changed[:3].any() and changed[40:56, 40:56].mean() > 0.9
    np.testing.assert_array_equal(draw_overlay(before, points, depth, FACES, opacity=0), before)
    opaque = [draw_overlay(each, points, depth, FACES, opacity=1) for each in (before, 255 - before)]
    inside = (slice(40, 56), slice(40, 56))
    np.testing.assert_array_equal(opaque[0][inside], opaque[1][inside])
    half = draw_overlay(before, points, depth, FACES, opacity=0.5)[inside].astype(float)
    np.testing.assert_allclose(half, (before[inside] + opaque[0][inside].astype(float)) / 2, atol=1)


def test_the_nearer_side_is_drawn_with_the_light_from_the_left(projected):
    points, depth = projected
    grey = np.full((96, 96, 3), 128, np.uint8)
    face = draw_overlay(grey, points, depth, FACES, opacity=1).astype(int)
    back = draw_overlay(grey, points * (-1, 1) + (96, 0), -depth, FACES, opacity=1).astype(int)
    assert face[30:70, 25:40].mean() > face[30:70, 56:71].mean() + 10
    assert abs(face - back)[40:75, 38:58].mean() > 5  # the back of the head has no features


def test_half_covered_pixels_are_half_covered():
    points = np.array([[4, 4], [10, 4], [10, 10], [4, 10]], float)  # through the middle of pixels
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    drawn = draw_overlay(np.zeros((16, 16, 3), np.uint8), points, np.zeros(4), faces, opacity=1).astype(float)
    full = drawn[7, 7]
    assert (full > 50).all()
    np.testing.assert_allclose(drawn[7, 5:10], np.broadcast_to(full, (5, 3)), atol=1)
    for edge in (drawn[7, 4], drawn[7, 10], drawn[4, 7], drawn[10, 7]):
        np.testing.assert_allclose(edge, full / 2, atol=2)
    np.testing.assert_allclose(drawn[4, 4], full / 4, atol=2)
    assert not drawn[7, [3, 11]].any()


@pytest.mark.parametrize("height, width", [(1, 1), (33, 57), (120, 64)])
def test_any_size_of_picture_and_meshes_outside(projected, height, width):
    points, depth = projected
    before = picture(height, width)[:, ::-1]  # not contiguous
    assert draw_overlay(before, points, depth, FACES).shape == before.shape
    np.testing.assert_array_equal(draw_overlay(before, points + 5000, depth, FACES), before)


def faces_landmarks():
    """68 points on a grid, far apart: strip after strip along the rows."""
    return np.stack([20 + 40 * (np.arange(68) % 12), 20 + 40 * (np.arange(68) // 12)], axis=1).astype(float)


def is_line(picture, x, y):
    red, _, blue = picture[int(y), int(x)].astype(int)
    return red > 180 and red - blue > 80


def test_landmarks_are_dots_and_strips():
    landmarks, before = faces_landmarks(), np.zeros((260, 500, 3), np.uint8)
    drawn = draw_landmarks(before, landmarks)
    assert not before.any()
    for x, y in landmarks:
        assert is_line(drawn, x, y)
    assert sorted(index for strip, _ in STRIPS for index in strip) == list(range(68))
    for strip, closed in STRIPS:
        pairs = list(zip(strip, list(strip)[1:], strict=False)) + ([(strip[-1], strip[0])] if closed else [])
        for first, second in pairs:
            assert is_line(drawn, *np.round((landmarks[first] + landmarks[second]) / 2))
    for end in (16, 21, 26, 30):  # the next strip begins beside it
        assert not is_line(drawn, *(landmarks[end] + landmarks[end + 1]) / 2)
    overlay = draw_overlay(before, np.zeros((3, 2)) - 50, np.zeros(3), [[0, 2, 1]], landmarks)
    np.testing.assert_array_equal(overlay, drawn)


def test_landmarks_outside_the_picture_do_no_harm():
    before = picture(50, 50)
    np.testing.assert_array_equal(draw_landmarks(before, faces_landmarks() + 1e7), before)


def test_light_is_encoded_as_srgb():
    np.testing.assert_array_equal(to_srgb(np.array([0, 1, 7.0, -1, 0.2158605, 0.0031308])), [0, 255, 255, 0, 128, 10])


def test_hollows_are_where_the_surroundings_are_nearer():
    everywhere = np.ones((64, 64), bool)
    slope = np.add.outer(np.arange(64.0), np.arange(64.0)).astype(np.float32) * 0.1
    assert hollows(slope, everywhere, 8)[16:48, 16:48].max() < 0.05
    y, x = np.mgrid[:64, :64]
    pit = -20 * np.exp(-((x - 32) ** 2 + (y - 32) ** 2) / 60).astype(np.float32)
    found = hollows(pit, everywhere, 8)
    assert found[32, 32] > 0.3 > 10 * found[5, 5]
    assert hollows(-pit, everywhere, 8)[32, 32] == 0


def test_shade_is_darker_in_hollows_and_away_from_the_light():
    normals = np.array([[-0.6, 0.5, 0.6], [0.6, -0.6, 0.5], [-0.6, 0.5, 0.6]], np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    lit, away, deep = shade(normals, np.float32([0, 0, 1]), np.float32([0.5, 0.5, 0.5])).mean(axis=1)
    assert lit > 3 * away and lit > 1.2 * deep


def test_bad_input_is_refused(projected):
    points, depth = projected
    broken = VERTICES.copy()
    broken[5, 1] = np.nan
    for arguments, message in [
        ((broken, FACES), "The head: expected finite .* in 1 of 642 vertices, the first at index 5"),
        ((VERTICES[:, :2], FACES), r"one head \[V,3\], got shape \[642, 2\]"),
        ((VERTICES[:0], None), r"one head \[V,3\], got shape \[0, 3\]"),
        ((np.zeros((5, 3)), None), "All vertices lie in one place"),
        ((VERTICES, FACES + 1), "The head: expected faces that name vertices 0 to 641, got 1 to 642"),
        ((VERTICES, FACES.astype(float)), r"faces \[F,3\] as integers"),
        ((VERTICES, FACES, 8), "size of 16 to 4096 pixels, got 8"),
        ((VERTICES, FACES, 64, ["side"]), "views out of front, three-quarter, profile, back, or degrees, got 'side'"),
        ((VERTICES, FACES, 64, [np.nan]), "or degrees, got nan"),
        ((VERTICES, FACES, 64, []), "at least one view"),
    ]:
        with pytest.raises(ValueError, match=message):
            draw_head(*arguments)
    broken_points = points.copy()
    broken_points[9] = np.inf
    for arguments, message in [
        ((picture().astype(float), points, depth, FACES), r"picture uint8 \[H,W,3\] RGB, got float64"),
        ((picture()[..., 0], points, depth, FACES), r"got uint8 \[96, 96\]"),
        ((picture(), points[:, :1], depth, FACES), r"points \[V,2\] and depth \[V\], got \[642, 1\]"),
        ((picture(), points, depth[1:], FACES), r"got \[642, 2\] and \[641\]"),
        ((picture(), broken_points, depth, FACES), "The projected mesh: expected finite .* the first at index 9"),
        ((picture(), points, depth, None), "The projected mesh: expected faces"),
        ((picture(), points, depth, FACES, None, 1.5), "opacity of 0 to 1, got 1.5"),
        ((np.zeros((1, 5000, 3), np.uint8), points, depth, FACES), "at most 4096 pixels along a side, got 5000 x 1"),
        ((picture(), points, depth, FACES, np.zeros((51, 2))), r"68 landmarks \[68,2\] .*got shape \[51, 2\]"),
        ((picture(), points, depth, FACES, np.full((68, 2), np.nan)), "The landmarks: expected finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            draw_overlay(*arguments)

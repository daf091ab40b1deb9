"""The rasteriser against exact rational arithmetic, pixel by pixel, and against closed forms."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.draw import raster
from fantasyid_core.shape.draw.raster import interpolate, rasterise


def exact(points, depth, faces, size, backfaces=True):
    """Every pixel and triangle with fractions: index [h,w] and barycentric coordinates [h,w,3]."""
    index, weights = np.full(size, -1), np.zeros((*size, 3))
    for y in range(size[0]):
        for x in range(size[1]):
            nearest = None
            for number, face in enumerate(faces):
                corners = [tuple(map(Fraction, map(float, points[corner]))) for corner in face]
                shares = inside(corners, x, y, backfaces)
                if shares is None:
                    continue
                at = sum(share * Fraction(float(depth[corner])) for share, corner in zip(shares, face, strict=True))
                if nearest is None or at > nearest:
                    nearest, index[y, x], weights[y, x] = at, number, [float(share) for share in shares]
    return index, weights


def inside(corners, x, y, backfaces):
    """Barycentric coordinates of a pixel that the triangle owns by the top-left rule, else None."""
    (ax, ay), (bx, by), (cx, cy) = corners
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0 or (area > 0 and not backfaces):
        return None
    shares = []
    for (px, py), (qx, qy) in ((corners[1], corners[2]), (corners[2], corners[0]), (corners[0], corners[1])):
        if area < 0:
            (px, py), (qx, qy) = (qx, qy), (px, py)
        edge = (qx - px) * (y - py) - (qy - py) * (x - px)  # > 0 inside, with y down
        is_left, is_top = qy < py, qy == py and qx > px
        if edge < 0 or (edge == 0 and not (is_left or is_top)):
            return None
        shares.append(edge / abs(area))
    return shares


def random_mesh(seed, count=30, vertices=14, step=1 / 4):
    """Triangles on a grid of quarter pixels, so that many edges and corners meet pixel centres exactly."""
    generator = np.random.default_rng(seed)
    points = np.round(generator.uniform(-3, 14, (vertices, 2)) / step) * step
    faces = generator.permutation(list(permutations(range(vertices), 3)))
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)  # the same corners twice are a tie
    return points, generator.integers(0, 50, vertices) / 8, faces[np.sort(first)[:count]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("backfaces", [True, False])
@pytest.mark.parametrize("step", [1 / 4, 1])
def test_equal_to_exact_arithmetic(seed, backfaces, step):
    points, depth, faces = random_mesh(seed, step=step)
    index, barycentric = rasterise(points, depth, faces, (9, 11), backfaces)
    expected, weights = exact(points, depth, faces, (9, 11), backfaces)
    assert index.dtype == np.int32 and barycentric.dtype == np.float32
    assert (expected >= 0).mean() > 0.3
    differing = index != expected
    if differing.any():  # only where two triangles cross at this very pixel
        at = [depth_at(depth, faces, *each) for each in ((index, barycentric), (expected, weights))]
        np.testing.assert_allclose(at[0][differing], at[1][differing], atol=1e-5)
        assert ((index >= 0) == (expected >= 0)).all() and differing.mean() < 0.02
    np.testing.assert_allclose(barycentric[~differing], weights[~differing], atol=1e-6)


def depth_at(depth, faces, index, weights):
    return (depth[faces[index]] * weights).sum(axis=-1)


@pytest.mark.parametrize("chunk", [1, 50, 10**9])
def test_the_size_of_the_chunks_changes_nothing(monkeypatch, chunk):
    points, depth, faces = random_mesh(0)
    expected = rasterise(points, depth, faces, (9, 11))
    monkeypatch.setattr(raster, "CHUNK", chunk)
    for part, whole in zip(rasterise(points, depth, faces, (9, 11)), expected, strict=True):
        np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.5, 0.25), (-0.5, -0.5)])
def test_a_square_of_two_triangles_covers_every_pixel_once(corner):
    points = np.add([[0, 0], [8, 0], [8, 8], [0, 8]], corner)
    halves = [rasterise(points, np.zeros(4), [face], (12, 12))[0] >= 0 for face in ([0, 2, 1], [0, 3, 2])]
    whole, _ = rasterise(points, np.zeros(4), [[0, 2, 1], [0, 3, 2]], (12, 12))
    expected = np.zeros((12, 12), bool)
    first_x, first_y = np.ceil(corner).astype(int)
    expected[first_y : first_y + 8, first_x : first_x + 8] = True  # left and top edges in, right and bottom out
    np.testing.assert_array_equal(whole >= 0, expected)
    np.testing.assert_array_equal(halves[0] ^ halves[1], expected)
    assert not (halves[0] & halves[1]).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float64, np.float32]))
def test_a_fan_around_any_point_has_neither_gaps_nor_overlaps(seed, kind):
    """Shared edges at arbitrary slopes, in floating point without any luck."""
    generator = np.random.default_rng(seed)
    angles = (np.arange(12) + generator.random(12)) * (np.pi / 6)
    middle = generator.uniform(8, 12, 2)
    points = np.concatenate([[middle], middle + 40 * np.stack([np.cos(angles), np.sin(angles)], axis=1)]).astype(kind)
    covered = np.zeros((20, 20), int)
    for corner in range(12):
        face = [0, 1 + corner, 1 + (corner + 1) % 12]
        covered += rasterise(points, np.zeros(13), [face], (20, 20))[0] >= 0
    np.testing.assert_array_equal(covered, 1)  # the rim lies outside the picture


def test_the_nearer_triangle_hides_the_farther_one_and_they_may_cross():
    points = np.array([[0, 0], [20, 0], [0, 20], [0, 0], [20, 0], [0, 20]]) - 0.5
    faces = np.array([[0, 2, 1], [3, 5, 4]])
    for order in (slice(None), slice(None, None, -1)):
        index, _ = rasterise(points, [1, 1, 1, 2, 2, 2], faces[order], (8, 8))
        np.testing.assert_array_equal(faces[order][index][..., 0], 3)
    index, _ = rasterise(points, [0, 9.75, 0, 4, 4, 4], faces, (8, 9))  # the first comes forward with x
    np.testing.assert_array_equal(index, np.broadcast_to(np.arange(9) < 4 * 20 / 9.75 - 0.5, (8, 9)))
    index, _ = rasterise(points, [1, 1, 1, 1, 1, 1], faces, (8, 8))
    np.testing.assert_array_equal(index, 0)


def test_interpolation_is_linear():
    points = np.array([[-3.0, -2], [40, 1], [5, 50], [60, 60]])
    faces = np.array([[0, 2, 1], [1, 2, 3]])
    index, barycentric = rasterise(points, np.zeros(4), faces, (20, 24))
    assert (index >= 0).mean() > 0.9
    y, x = np.nonzero(index >= 0)
    found = interpolate(points, faces, index, barycentric)
    assert found.shape == (20, 24, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found[y, x], np.stack([x, y], axis=1), atol=1e-5)
    np.testing.assert_array_equal(found[index < 0], 0)
    np.testing.assert_array_equal(interpolate(points[:, 0], faces, index, barycentric), found[..., 0])


def test_barycentric_coordinates_add_up_to_one_even_in_slivers():
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 30, (60, 2))
    points[1::3] = points[::3] + 1e-9 * generator.standard_normal((20, 2))
    faces = np.concatenate([np.arange(60).reshape(20, 3), generator.integers(0, 60, (40, 3))])
    index, barycentric = rasterise(points, generator.random(60), faces, (30, 30))
    seen = index >= 0
    assert np.isfinite(barycentric).all() and barycentric.min() >= 0
    np.testing.assert_allclose(barycentric[seen].sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(barycentric[~seen], 0)


def test_only_the_front_of_a_closed_mesh_is_seen():
    vertices, faces = (tensor.numpy() for tensor in synthetic_head(3))
    points = np.stack([vertices[:, 0], -vertices[:, 1]], axis=1) * 300 + 45
    both, front = (rasterise(points, vertices[:, 2], faces, (90, 90), backfaces)[0] for backfaces in (True, False))
    np.testing.assert_array_equal(both, front)
    first, second, third = vertices[faces].transpose(1, 0, 2)
    towards = np.cross(second - first, third - first)[:, 2]
    assert (towards[both[both >= 0]] > 0).all()
    behind, _ = rasterise(points, -vertices[:, 2], faces, (90, 90))
    assert (towards[behind[behind >= 0]] < 0).all()


def test_nothing_to_see_is_a_picture_of_nothing():
    for points, faces in (
        (np.zeros((0, 2)), np.zeros((0, 3), int)),
        (np.array([[0, 0], [5, 5], [3, 3.0]]), [[0, 1, 2]]),  # no area
        (np.array([[-9, -9], [-5, -9], [-9, -5.0]]), [[0, 2, 1]]),  # outside
        (np.array([[90, 1], [95, 1], [90, 8.0]]), [[0, 2, 1]]),
    ):
        index, barycentric = rasterise(points, np.zeros(len(points)), faces, (7, 9))
        assert index.shape == (7, 9) and (index == -1).all() and not barycentric.any()


def test_far_corners_do_no_harm():
    points = np.array([[-1e6, -1e6], [1e6, -1e6], [0, 1e6]])
    index, barycentric = rasterise(points, [1e300, 0, -1e300], [[0, 2, 1]], (5, 5))
    assert (index == 0).all() and np.isfinite(barycentric).all()


def test_bad_input_is_refused():
    points, depth, faces = np.array([[0, 0], [9, 0], [0, 9.0]]), np.zeros(3), np.array([[0, 2, 1]])
    broken = points.copy()
    broken[1, 0] = np.nan
    for arguments, message in [
        ((broken, depth, faces, (9, 9)), "finite coordinates, got NaN or infinite ones in 1 of 3 vertices, the first"),
        ((points, [0, np.inf, 0], faces, (9, 9)), "The depth: expected finite"),
        ((points * 1e6, depth, faces, (9, 9)), "within 1000000 pixels of the picture, got 9e"),
        ((points[:, :1], depth, faces, (9, 9)), r"points \[V,2\] \(x, y\), got shape \[3, 1\]"),
        ((points, depth[:2], faces, (9, 9)), r"one depth for each of 3 points, got shape \[2\]"),
        ((points, depth, [[0, 1, 3]], (9, 9)), "vertices 0 to 2, got 0 to 3"),
        ((points, depth, [[0, 1]], (9, 9)), r"faces \[F,3\] as integers"),
        ((points, depth, faces, (0, 9)), "1 to 32766 pixels along a side, got 9 x 0"),
        ((points, depth, faces, (9.5, 9)), r"\(height, width\)"),
        ((points, depth, faces, 9), r"\(height, width\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            rasterise(*arguments)

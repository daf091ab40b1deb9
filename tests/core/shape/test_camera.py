"""What DECA sees of a picture, and the way back: against scikit-image, torchvision and closed forms."""

import numpy as np
import pytest
import torch
from decafile import _centroid, draw_dots

from fantasyid_core.shape.reconstruct.camera import ROOM, box_of, project, square_view, whole_view


def draw_picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "middle, size",
    [((150.3, 121.9), 90.0), ((150, 120), 230.7), ((5.5, 280), 120), ((-200, -200), 50), ((150, 120), 4)],
)
def test_the_square_is_cut_out_as_deca_does_it(middle, size):
    """DECA: scikit-image's similarity from three corners of the square to those of 224 x 224, its warp."""
    transform = pytest.importorskip("skimage.transform")
    picture, middle = draw_picture(300, 310), np.array(middle)
    side = max(int(size * 1.1 * 1.25), 8)
    low, high = middle - side / 2, middle + side / 2
    corners = np.array([low, [low[0], high[1]], [high[0], low[1]]])
    similar = transform.SimilarityTransform(scale=223 / side, translation=-low * 223 / side)
    np.testing.assert_allclose(similar(corners), [[0, 0], [0, 223], [223, 0]], atol=1e-9)
    expected = transform.warp(picture / 255, similar.inverse, output_shape=(224, 224))
    view = square_view(picture, middle, size)
    assert view.pixels.shape == (1, 3, 224, 224) and view.pixels.dtype == torch.float32
    np.testing.assert_allclose(view.pixels[0].permute(1, 2, 0), expected, atol=2e-6)
    places = np.array([[0, 0], [223, 223], [10.5, 200]])
    np.testing.assert_allclose(view.to_picture(places), similar.inverse(places), atol=1e-9)


@pytest.mark.parametrize("factor", [1.2, 2.5, 3.9, 7.3])
def test_a_dot_is_found_again_where_it_was(factor):
    side = int(223 * factor)
    dots = np.array([[0.31, 0.42], [0.66, 0.57]]) * side + 20
    picture = draw_dots(dots, (side + 60, side + 40), 6 * factor)
    view = square_view(picture, np.array([side / 2 + 20, side / 2 + 20]), side / ROOM)
    red, green, _ = view.pixels[0].double().numpy()
    found = view.to_picture(np.stack([_centroid(red - green), _centroid(green - red)]))
    np.testing.assert_allclose(found, dots, atol=0.02 * factor)


def test_a_large_face_is_averaged_instead_of_skipping_pixels():
    picture = np.zeros((1400, 1400, 3), np.uint8)
    picture[::2, ::2], picture[1::2, 1::2] = 255, 255  # a board of single pixels
    pixels = square_view(picture, np.array([700.0, 700.0]), 900.0).pixels
    assert 0.47 < pixels.min() and pixels.max() < 0.53


@pytest.mark.parametrize("size", [300.0, 500.0, 900.0])
def test_the_picture_is_as_bright_at_the_edges_of_the_square(size):
    picture = np.full((1400, 1500, 3), 200, np.uint8)
    pixels = square_view(picture, np.array([713.3, 701.9]), size).pixels
    torch.testing.assert_close(pixels, torch.full_like(pixels, 200 / 255), rtol=0, atol=1e-6)


def test_the_whole_picture_is_stretched_as_the_release_does():
    transforms = pytest.importorskip("torchvision.transforms")
    from PIL import Image

    picture = draw_picture(300, 511)
    expected = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor()])(Image.fromarray(picture))
    view = whole_view(picture)
    assert torch.equal(view.pixels[0], expected)
    # The view's first pixel reaches from the picture's edge to 511 / 224 pixels further.
    corners = view.to_picture(np.array([[-0.5, -0.5], [223.5, 223.5]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [510.5, 299.5]])


def test_the_camera_is_the_published_one():
    points = torch.tensor([[[0.05, 0.02, 0.07], [-0.03, -0.06, -0.01]]], dtype=torch.float64)
    scale, x, y = 8.0, 0.01, -0.02
    found = project(points, torch.tensor([[scale, x, y]], dtype=torch.float64))[0]
    for (px, py, depth), point in zip(found.tolist(), points[0].tolist(), strict=True):
        # DECA's coordinates count from -1 to 1, its y downwards: p / 224 * 2 - 1.
        assert px / 224 * 2 - 1 == pytest.approx(scale * (point[0] + x))
        assert py / 224 * 2 - 1 == pytest.approx(-scale * (point[1] + y))
        assert depth == pytest.approx(112 * scale * point[2])
    assert found[0, 2] > found[1, 2]  # nearer


def test_the_box_of_landmarks_is_a_square_around_them():
    middle, size = box_of(np.array([[1.0, 2], [5, 4], [3, 10]]))
    assert middle.tolist() == [3, 6] and size == 6

"""Whatever comes in, a valid crop or the documented error comes out; found by search over arrays (hypothesis)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from fantasyid_core.face import (
    DetectedFace,
    Framing,
    align_face,
    crop_detected,
    crop_face,
    parse_points,
    picture_from_image,
)
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.framing import RANGES
from fantasyid_core.face.points import check_points

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: properties are not searched")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as some  # noqa: E402
from hypothesis.extra import numpy as arrays  # noqa: E402

# Derandomized: a run on one commit always tries the same examples.
searched = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

NUMBERS = some.one_of(
    some.sampled_from([0.0, -0.0, 0.5, 1.0, 255.0, -1.0, 1e-300, 1e30, 1e300, np.nan, np.inf, -np.inf]),
    some.floats(-0.5, 1.5),
    some.floats(),
)
KINDS = ["u1", "u1", "u1", "f4", "f4", "f8", "f2", "i1", "u2", "i4", "u8", "?", "c8", "c16", "O", "U3", "M8[s]", "g"]
TENSOR_KINDS = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int64, torch.bool]
TENSOR_KINDS += [torch.complex64, torch.float8_e4m3fn]
SIDES = some.sampled_from([64, 65, 80, 96, 0, 1, 63])
SHAPES = some.one_of(
    some.tuples(some.just(1), SIDES, SIDES, some.sampled_from([1, 3, 4])),
    some.tuples(SIDES, SIDES, some.just(3)),
    some.lists(some.sampled_from([0, 1, 2, 3, 4, 9]), max_size=5).map(tuple),
)


@some.composite
def any_array(draw):
    """An array of any type, shape, range and layout: noise of one scale with one value of its own in it."""
    kind, shape = np.dtype(draw(some.sampled_from(KINDS))), draw(SHAPES)
    if kind.kind in "OUM":
        entry = draw(some.sampled_from([None, "x", 3.5, b""]))
        return laid_out(draw, np.full(shape, entry, object) if kind.kind == "O" else np.zeros(shape, kind))
    values = np.random.default_rng(draw(some.integers(0, 9))).random(shape)
    values = np.asarray(values * draw(some.sampled_from([1.0, 1.4, 255.0, -1.0, 1e9])))
    if values.size and draw(some.booleans()):
        values.reshape(-1)[draw(some.integers(0, values.size - 1))] = draw(NUMBERS)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of casts
        return laid_out(draw, np.asarray(values.astype(kind)))


def laid_out(draw, array):
    layout = draw(some.sampled_from(["plain", "reversed", "transposed", "strided", "read-only", "fortran"]))
    if layout == "reversed" and array.ndim:
        return array[::-1]
    if layout == "transposed" and array.ndim > 2:
        return array.swapaxes(-3, -2)
    if layout == "strided" and array.ndim > 2:
        return np.repeat(array, 2, axis=-2)[..., ::2, :]
    if layout == "fortran":
        return np.asfortranarray(array)
    array.flags.writeable = layout != "read-only"
    return array


@some.composite
def any_tensor(draw):
    array = draw(any_array())
    try:
        tensor = torch.tensor(array.copy(order="C"))
    except TypeError:  # torch has no such type
        tensor = torch.rand(array.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of casts from complex numbers
        tensor = tensor.to(draw(some.sampled_from([tensor.dtype, *TENSOR_KINDS])))
    return tensor.requires_grad_() if tensor.is_floating_point() and draw(some.booleans()) else tensor


NO_IMAGE = some.sampled_from([None, "face.jpg", 3, [[1, 2], [3, 4]], b"", object()])
ANY_IMAGE = some.one_of(any_array(), any_tensor(), NO_IMAGE)
GOOD_IMAGE = some.tuples(some.sampled_from([64, 97, 300]), some.sampled_from([64, 130])).map(
    lambda shape: np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), dtype=np.uint8)
)
GOOD_BATCH = some.tuples(GOOD_IMAGE, some.sampled_from(TENSOR_KINDS[:5]), some.sampled_from([1, 3])).map(
    lambda drawn: (torch.tensor(drawn[0])[None, ..., : drawn[2]] / (1 if drawn[1] is torch.uint8 else 255)).to(drawn[1])
)
EXTREMES = some.sampled_from([0, 1e6, 1e20, -1e37, 3e38])
COORDINATES = some.one_of(some.floats(-50, 350, width=32), some.floats(), EXTREMES)
ANY_POINTS = some.one_of(
    arrays.arrays(np.float64, (5, 2), elements=COORDINATES),
    arrays.arrays(np.float32, (5, 2), elements=some.floats(-50, 350, width=32)),
    arrays.arrays(
        some.sampled_from([np.dtype(kind) for kind in ("i4", "?", "c8", "f2", "u1", "U2", "O", "M8[s]")]),
        some.one_of(some.just((5, 2)), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)),
        fill=some.nothing(),
    ),
    some.sampled_from([None, "points", [[1, 2]] * 5, [[1, 2], [3]], {}, [[None, 1]] * 5, TEMPLATE.tolist()]),
    some.tuples(COORDINATES, COORDINATES).map(lambda shift: TEMPLATE / 5 + shift),
)
GOOD_FRAMING = some.builds(Framing, *(some.floats(*RANGES[name]) for name in RANGES))


def crop_or_error(function, *arguments, **options):
    """The crop and matrix, or None when the documented error was raised with a sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning of numpy would be an accident too
            result = function(*arguments, **options)
    except (ValueError, RuntimeError) as error:
        sentence = str(error)
        assert type(error) in (ValueError, RuntimeError), f"{type(error)}: {error}"
        assert "xpected" in sentence or "Detect" in sentence, sentence
        return None
    crop, matrix = result if isinstance(result, tuple) else (result.crop, result.matrix)
    assert type(crop) is np.ndarray and crop.dtype == np.uint8 and crop.shape == (512, 512, 3)
    assert matrix.shape == (2, 3) and matrix.dtype == np.float64 and np.isfinite(matrix).all()
    return crop, matrix


@searched
@given(some.one_of(GOOD_BATCH, ANY_IMAGE), some.sampled_from([0, 0, 0, 0, 0, 1, -1, 10**30, True, None, 0.0, "0"]))
def test_picture_from_image_gives_a_picture_or_the_error(image, index):
    try:
        picture = picture_from_image(image, index)
    except ValueError as error:
        assert type(error) is ValueError and "xpected" in str(error)
    else:
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert crop_or_error(crop_face, picture) is not None


@searched
@given(some.one_of(GOOD_IMAGE, ANY_IMAGE), some.one_of(some.sampled_from([None, TEMPLATE / 10]), ANY_POINTS))
def test_crop_face_crops_any_array_or_explains_why_not(image, points):
    crop_or_error(crop_face, image, points)


@searched
@given(some.one_of(GOOD_IMAGE, ANY_IMAGE))
def test_align_face_crops_any_array_or_explains_why_not(image):
    crop_or_error(align_face, image, TEMPLATE / 6)


@searched
@given(GOOD_IMAGE, ANY_POINTS, GOOD_FRAMING)
def test_any_points_and_framing_give_a_crop_or_an_explanation_and_change_no_picture(image, points, framing):
    before = image.copy()
    crop_or_error(align_face, image, points, framing=framing)
    crop_or_error(crop_face, image, points)
    np.testing.assert_array_equal(image, before)


@searched
@given(some.one_of(GOOD_IMAGE, ANY_IMAGE), ANY_POINTS, GOOD_FRAMING, some.sampled_from(["yunet", "mediapipe", "none"]))
def test_crop_detected_crops_any_array_and_points_or_explains_why_not(image, points, framing, detector):
    face = DetectedFace(np.array([1.0, 1, 9, 9]), points, 0.5, detector == "yunet", detector=detector)
    crop_or_error(crop_detected, image, face, framing=framing)


@searched
@given(some.lists(some.one_of(NUMBERS, some.integers(), some.sampled_from([None, "1", True, 1j, []])), max_size=5))
def test_framing_is_in_its_ranges_or_refused(values):
    try:
        framing = Framing(*values)
    except ValueError as error:
        assert "Expected a" in str(error)
    except TypeError:
        assert len(values) > 4  # Python's own error about too many arguments
    else:
        assert all(low <= getattr(framing, name) <= high for name, (low, high) in RANGES.items())


@searched
@given(ANY_POINTS)
def test_points_are_five_finite_ones_or_refused(points):
    try:
        checked = check_points(points)
    except ValueError as error:
        assert "xpected" in str(error)
    else:
        assert checked.shape == (5, 2) and checked.dtype == np.float32 and np.isfinite(checked).all()


@searched
@given(some.one_of(some.text(), some.text('0123456789.,;e-+[]{}" xyN\n'), some.sampled_from(["[" * 10**4, "[1e999]"])))
def test_any_text_is_five_points_or_refused(text):
    try:
        assert parse_points(text).shape == (5, 2)
    except ValueError as error:
        assert "xpected" in str(error)


@searched
@given(GOOD_IMAGE, some.one_of(some.integers(), some.sampled_from([None, 512.0, "512", True, np.int64(512), np.nan])))
def test_any_crop_size_is_used_or_refused(image, size):
    try:
        if isinstance(size, int) and size > 700:
            size += 4000  # crops of thousands of pixels only cost time
        crop = crop_face(image, size=size).crop
    except ValueError as error:
        assert "crop size of 16 to 4096" in str(error)
    else:
        assert crop.shape == (size, size, 3)

"""The picture follows the edited face: against pictures rendered of the head before and after."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
import torch
from facesamples import OWN, SAMPLES, faces_of, landmarks_of, official_names, own_head, sample, turn

from fantasyid_core.face.align import TEMPLATE, FaceCrop, crop_face
from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.draw.raster import interpolate, rasterise
from fantasyid_core.shape.edit.controls import shape_controls
from fantasyid_core.shape.edit.controltable import CONTROLS
from fantasyid_core.shape.edit.edit import edit_shape
from fantasyid_core.shape.edit.faceframe import face_frame, five_places
from fantasyid_core.shape.edit.fivepoint import Placement, fit_placement, placement_by_points, placement_of
from fantasyid_core.shape.edit.warp import ELSEWHERE, OTHERS, movement, resampled, warp_face

SIZE = 512


def painted(places):
    """A colour for every place on the skin, in face coordinates: waves of about a centimetre, and finer ones."""
    x, y, z = places.T / 10
    waves = [(1.3, 0.4, 0.2), (0.3, 1.7, 0.5), (0.9, -1.1, 0.7), (2.1, 0.6, -0.4), (-0.7, 2.3, 0.3)]
    colours = [
        sum(np.sin(0.7 * (band + 1) * number + 5 * (a * x + b * y + c * z)) for number, (a, b, c) in enumerate(waves))
        for band in range(3)
    ]
    return 128 + 22 * np.stack(colours, axis=-1)


def rendered(placed, faces, places, size=SIZE):
    """The head with painted skin before a coloured background, and the places seen in every pixel."""
    rows, columns = np.indices((size, size)) * (512 / size)
    picture = np.stack([128 + 60 * np.sin(columns / 17 + rows / 31), 128 + 60 * np.sin(rows / 23), 128 + 0 * rows], -1)
    index, barycentric = rasterise(placed.points, placed.depth, faces, (size, size), backfaces=False)
    seen, there = index >= 0, interpolate(places, faces, index, barycentric)
    picture[seen] = painted(there[seen].astype(float))
    return np.rint(picture.clip(0, 255)).astype(np.uint8), np.where(seen[..., None], there, np.nan)


def on_the_face(there, margin=32):
    """The pixels of the face: not the ears, the neck and the back of the head, nor the crop's margin."""
    x, y, z = np.moveaxis(there, -1, 0)
    face = (z > -40) & (y > -110) & (y < 75)
    face[:margin], face[-margin:], face[:, :margin], face[:, -margin:] = False, False, False, False
    return face


def decibels(one, other, where):
    error = np.square(one[where].astype(float) - other[where]).mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))


def in_crop(placed, vertices, places):
    """Places [N,3] in metres as pixels and depth in the crop, for a placement of the vertices."""
    seen = (places - vertices[0]) @ placed.linear.T
    return placed.points[0] + seen[:, :2] * (1, -1), placed.depth[0] + seen[:, 2]


SOME = ("face_width", "jaw_sharpness", "age", "nose_projection", "ear_size", "upper_lip_fullness")


@pytest.mark.parametrize("name", OWN)
def test_the_warp_equals_the_picture_of_the_edited_head(name):
    _, head, faces, _ = own_head(name)
    frame = face_frame(head)
    # Neither the ears nor the throat: they are seen from the side.
    marks = [index for index in frame.mesh.vertices.values() if frame.coordinates[index, 2] > -15]
    # Every control on one head, those that move most on all.
    names = [each for each in CONTROLS if each in shape_controls(head)] if name == OWN[0] else SOME
    for edit in names:
        warp_equals_picture(head, faces, edit, lambda vertices: vertices[marks], 12)


@pytest.mark.parametrize("name", official_names())
def test_the_warp_of_official_heads_equals_the_picture_of_the_edited_head(licensed, name):
    for edit in CONTROLS if name == SAMPLES[0] else SOME:
        mark = functools.partial(landmarks_of, licensed)
        warp_equals_picture(sample(licensed, name), faces_of(licensed), edit, mark, 40)


def warp_equals_picture(head, faces, name, marks_of, enough):
    """marks_of: places on a head by which the movement is checked, of which `enough` have to be seen."""
    places, placed = face_frame(head).coordinates, fit_placement(head, TEMPLATE)
    before, _ = rendered(placed, faces, places)
    start, depth = in_crop(placed, head, marks_of(head))
    seen_before = visible(placed, faces, start, depth)
    for value in (-0.5, 0.5):
        edited = edit_shape(head, {name: value})
        moved = placed.moved(edited.astype(float) - head)
        truth, there = rendered(moved, faces, places)
        field = movement(placed, moved, faces, SIZE)
        assert decibels(resampled(before, field), truth, on_the_face(there)) >= 30, (name, value)
        end, depth = in_crop(placed, head, marks_of(edited))
        seen = seen_before & visible(moved, faces, end, depth)
        fetched = end + np.stack([sampled(field[..., axis], end) for axis in (0, 1)], axis=1)
        assert seen.sum() > enough and np.linalg.norm(fetched - start, axis=1)[seen].max() < 1.5, (name, value)


def sampled(values, points):
    x, y = points.astype(np.float32).T
    return cv2.remap(values, x[None], y[None], cv2.INTER_LINEAR)[0]


def visible(placed, faces, points, depth, tolerance=6.0):
    index, barycentric = rasterise(placed.points, placed.depth, faces, (SIZE, SIZE))
    nearest = interpolate(placed.depth, faces, index, barycentric)
    column, row = np.rint(points).astype(int).clip(0, SIZE - 1).T
    return (index[row, column] >= 0) & (abs(nearest[row, column] - depth) < tolerance)


def crop_of(head, faces, size=SIZE):
    """A crop of a painted head whose five points are exact."""
    placed = fit_placement(head, TEMPLATE * (size / 512))
    picture, _ = rendered(placed, faces, face_frame(head).coordinates, size)
    points, _ = in_crop(placed, np.asarray(head), five_places(head))
    return FaceCrop(picture, np.eye(2, 3), points.astype(np.float32), picture), placed


HEAD, FACES = (part.numpy() for part in synthetic_head(4))


def test_without_an_edit_the_face_is_the_same():
    face, placed = crop_of(HEAD, FACES)
    assert warp_face(face, HEAD, HEAD.copy(), FACES) is face
    assert warp_face(face, torch.from_numpy(HEAD), torch.from_numpy(HEAD), torch.from_numpy(FACES)) is face
    field = movement(placed, placed, FACES, SIZE)
    assert not field.any()
    np.testing.assert_array_equal(resampled(face.crop, field), face.crop)


def test_the_border_stays_and_the_rest_follows():
    face, _ = crop_of(HEAD, FACES)
    warped = warp_face(face, HEAD, edit_shape(HEAD, {"face_width": 1, "neck_width": 1, "head_length": 1}), FACES)
    changed = (warped.crop != face.crop).any(axis=2)
    assert changed.mean() > 0.3
    for edge in (changed[0], changed[-1], changed[:, 0], changed[:, -1]):
        assert not edge.any()


def test_hair_and_background_follow_smoothly():
    face, placed = crop_of(HEAD, FACES)
    moved = placed.moved(edit_shape(HEAD, {"face_width": 1}).astype(float) - HEAD)
    field = movement(placed, moved, FACES, SIZE)
    # the steepest change is on the head itself; nothing tears where it ends
    assert abs(np.diff(field, axis=0)).max() < 0.8 and abs(np.diff(field, axis=1)).max() < 0.8
    row = field[256, :, 0]  # a wider face fetches from further inside
    left, right = (int(edge) for edge in (placed.points[:, 0].min(), placed.points[:, 0].max()))
    outside = row[right + 5 : 480]
    assert row[right - 20] < -3 and (np.diff(abs(outside)) < 1e-3).all() and outside[0] < -2 and abs(row[-1]) < 1e-6
    assert row[left + 20] > 3


def test_what_is_hidden_does_not_pull():
    """A head seen from the side: the far cheek moves towards the viewer's right, the near one to the left."""
    head = HEAD @ turn(0, 75, 0).T
    placed = Placement(np.eye(3) * 1500, head[:, :2] * (1500, -1500) + 256, head[:, 2] * 1500)
    edited = edit_shape(head, {"face_width": {"left": 1}})
    hidden = movement(placed, placed.moved(edited.astype(float) - head), FACES, SIZE)
    edited = edit_shape(head, {"face_width": {"right": 1}})
    near = movement(placed, placed.moved(edited.astype(float) - head), FACES, SIZE)
    assert abs(hidden).max() < 0.35 * abs(near).max() or abs(near).max() < 0.35 * abs(hidden).max()


def test_the_photos_edge_stays_straight():
    picture = np.full((220, 240, 3), 200, np.uint8)
    face = crop_face(picture, TEMPLATE * 0.5 - 12)  # reaches beyond the photo on all sides
    filled = (face.crop != 200).any(axis=2)
    assert 0.01 < filled.mean() < 0.6
    warped = warp_face(face, HEAD, edit_shape(HEAD, {"face_width": 1, "chin_height": 1}), FACES)
    # The filling is 67 levels darker than the photo, so this is a twentieth of a pixel.
    assert np.abs(warped.crop.astype(int) - face.crop).max() <= 4


def test_points_move_with_the_face_and_the_old_picture_is_gone():
    face, placed = crop_of(HEAD, FACES)
    edited = edit_shape(HEAD, {"nose_length": 1, "mouth_width": 1})
    warped = warp_face(face, HEAD, edited, FACES)
    expected, _ = in_crop(placed, HEAD, five_places(edited))
    np.testing.assert_allclose(warped.points, expected, atol=0.5)
    assert warped.picture is None and warped.points[4, 0] - face.points[4, 0] > 3
    enlarged = FaceCrop(face.crop, face.matrix * [[2, 2, 1]], face.points / 2, None)  # the picture had half the size
    again = warp_face(enlarged, HEAD, edited, FACES)
    np.testing.assert_array_equal(again.crop, warped.crop)
    np.testing.assert_allclose(again.points, warped.points / 2, atol=1e-3)


def test_a_crop_without_points_is_taken_as_the_release_frames_it():
    face, _ = crop_of(HEAD, FACES)
    bare = FaceCrop(face.crop, face.matrix, None, None)
    warped = warp_face(bare, HEAD, edit_shape(HEAD, {"face_width": 1}), FACES)
    assert warped.points is None and "no points" in warped.notes[0]
    placed = placement_by_points(HEAD, bare)
    np.testing.assert_allclose(in_crop(placed, HEAD, five_places(HEAD))[0], TEMPLATE, atol=20)  # its mouth is narrow


def test_other_pictures_of_the_person_are_mentioned():
    face, _ = crop_of(HEAD, FACES)
    several = FaceCrop(face.crop, face.matrix, face.points, others=(face,), notes=("first",))
    warped = warp_face(several, HEAD, edit_shape(HEAD, {"age": 1}), FACES)
    assert warped.notes == ("first", OTHERS) and warped.others == (face,)


def test_the_camera_of_five_points_is_found(head):
    head = head.astype(float)
    for angles in ((0, 0, 0), (8, 20, -15), (-10, -30, 30), (0, 0, 170)):
        linear = turn(*angles) * 1700
        truth = head @ linear.T
        points = (five_places(head) @ linear.T)[:, :2] * (1, -1) + (250, 270)
        placed = fit_placement(head, points)
        frame = face_frame(head)
        face = (abs(frame.coordinates[:, 1]) < 110) & (frame.coordinates[:, 2] > -30)
        expected = truth[:, :2] * (1, -1) + (250, 270)
        assert np.linalg.norm(placed.points - expected, axis=1)[face].max() < 6, angles
        away = np.linalg.norm((placed.points - expected)[face], axis=1)
        assert away.mean() < 2


def test_decas_camera_is_used_where_it_is_known():
    _, head, faces, _ = own_head(OWN[0])
    head = head.astype(float)
    linear = turn(5, -12, 3) * 1600
    seen = head @ linear.T + (260, -280, 40)
    seen = seen * (1, -1, 1)
    placed = placement_of(head, seen, np.eye(2, 3))
    np.testing.assert_allclose(placed.linear, linear, rtol=1e-6, atol=1e-4)
    neutral = head @ turn(20, 10, 0).T + 0.05  # the same head in another pose, as with the pose neutral
    again = placement_of(neutral, seen, np.eye(2, 3))
    moved = (edit_shape(neutral, {"jaw_width": 1}) - neutral, edit_shape(head, {"jaw_width": 1}) - head)
    np.testing.assert_allclose(again.moved(moved[0]).points, placed.moved(moved[1]).points, atol=0.05)
    with pytest.raises(ValueError, match="2236 vertices of the reconstructed head, got 642"):
        placement_of(synthetic_head(3)[0], seen, np.eye(2, 3))
    face = FaceCrop(np.zeros((512, 512, 3), np.uint8) + np.arange(512, dtype=np.uint8)[:, None], np.eye(2, 3))
    warped = warp_face(face, neutral, neutral + moved[0], faces, seen)
    assert (warped.crop != face.crop).any() and not warped.notes
    larger = FaceCrop(face.crop, np.eye(2, 3) * 2)  # the photo has half the size
    half = warp_face(larger, neutral, neutral + moved[0], faces, seen / 2)
    np.testing.assert_allclose(half.crop.astype(int), warped.crop, atol=1)


def test_a_head_of_another_photo_is_placed_by_the_points():
    face, placed = crop_of(HEAD, FACES)
    edited = edit_shape(HEAD, {"face_width": 1})
    there = np.column_stack([placed.points, placed.depth])
    assert not warp_face(face, HEAD, edited, FACES, there).notes
    moved = warp_face(face, HEAD, edited, FACES, there + (150, 0, 0))
    assert moved.notes == (ELSEWHERE,)
    np.testing.assert_array_equal(moved.crop, warp_face(face, HEAD, edited, FACES).crop)


def test_minified_patterns_do_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    columns = np.arange(64, dtype=np.float32)
    shrink = np.zeros((64, 64, 2), np.float32)
    shrink[..., 0] = columns * 0.9  # 1.9 pixels per pixel
    spread = resampled(stripes, shrink)[8:-8, 2:30].astype(float).std()
    sharp = cv2.remap(stripes, columns[None] * 1.9 + np.zeros((64, 1), np.float32),
                      np.repeat(columns[:, None], 64, 1), cv2.INTER_CUBIC)[8:-8, 2:30].astype(float).std()  # fmt: skip
    assert spread < 0.85 * sharp


def test_crops_of_other_sizes_are_warped():
    for size in (64, 333):
        face, _ = crop_of(HEAD, FACES, size)
        warped = warp_face(face, HEAD, edit_shape(HEAD, {"face_width": 1}), FACES)
        assert warped.crop.shape == face.crop.shape and (warped.crop != face.crop).any()


def test_bad_input_is_explained():
    face, _ = crop_of(HEAD, FACES)
    with pytest.raises(ValueError, match="one mesh, got 2562 and 642 vertices.*Edit Shape"):
        warp_face(face, HEAD, synthetic_head(3)[0], FACES)
    with pytest.raises(ValueError, match="NaN or infinite"):
        warp_face(face, HEAD, HEAD * np.nan, FACES)
    with pytest.raises(ValueError, match="faces that name vertices"):
        warp_face(face, HEAD, HEAD + 0.001, FACES + 9999)
    for points in (np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))):
        with pytest.raises(ValueError, match="five different points"):
            fit_placement(HEAD, points)

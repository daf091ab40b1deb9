"""A run of the face editor, and what it shows."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from facesamples import sample
from packedhead import unpack_controls

from fantasyid_core.shape import FaceShape, edit_shape, load_topology, synthetic_head
from fantasyid_core.shape.draw.present import describe_change, draw_before_after, draw_turntable, present_shape
from fantasyid_core.shape.edit.blend import MAX_SHAPES, blend_faces, mix_people, read_place, read_weights
from fantasyid_core.shape.edit.editor import pack_template_head, run_editor, warp_to
from fantasyid_core.shape.topology.known import mean_head, mesh_faces, with_faces

VERTICES, FACES = synthetic_head(3)
HEAD = FaceShape(VERTICES, FACES.numpy(), "somebody")


def test_a_run_edits_and_packs_the_head_before_the_edit():
    run = run_editor(HEAD, '{"values": {"face_width": 0.5, "horns": 1}}')
    assert torch.equal(run.after.vertices, edit_shape(VERTICES, {"face_width": 0.5})) and run.before is HEAD
    (packed,) = run.heads
    np.testing.assert_array_equal(unpack_controls(packed)[0], VERTICES.numpy())
    assert "horns" in run.lines[0] and "at most by" in run.lines[1]


def test_points_get_the_triangles_of_the_topology_file(licensed, tmp_path):
    points, folder = FaceShape(torch.from_numpy(sample(licensed, "anne"))), licensed("transform.pkl").parent
    assert with_faces(points, [tmp_path]).faces is None and mean_head(5023, [tmp_path]) is None
    found = with_faces(points, [folder]).faces
    topology = load_topology(licensed("transform.pkl"))
    np.testing.assert_array_equal(found, topology.faces)
    np.testing.assert_array_equal(mean_head(5023, [folder]), topology.template)
    assert mesh_faces(642, [folder]) is None
    theirs, own = pack_template_head([folder]), pack_template_head([tmp_path])
    assert len(unpack_controls(theirs)[0]) == 5023 and len(unpack_controls(own)[0]) == 2562
    assert max(len(theirs), len(own)) < 2e6


def test_a_damaged_topology_file_is_named(tmp_path):
    (tmp_path / "transform.pkl").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="transform.pkl"):
        pack_template_head([tmp_path])


def test_a_turntable_has_equal_steps_and_one_scale():
    turn = draw_turntable(HEAD, 4, 64)
    assert len(turn) == 4 and all(picture.shape == (64, 64, 3) for picture in turn)
    assert not np.array_equal(turn[0], turn[2])
    larger = FaceShape(1.3 * VERTICES, HEAD.faces)
    small, fitted = draw_turntable(HEAD, 1, 64, larger)[0], turn[0]
    assert covered(small) < 0.8 * covered(fitted)
    with pytest.raises(ValueError, match="at least one frame"):
        draw_turntable(HEAD, 0)


def covered(picture) -> float:
    """Share of a picture that is brighter than its backdrop."""
    return float((picture.astype(int).max(axis=2) > 150).mean())


def test_before_and_after_are_drawn_alike():
    same = draw_before_after(HEAD, HEAD, 64)
    np.testing.assert_array_equal(same[:64], same[64:])
    wider = run_editor(HEAD, '{"values": {"head_width": 1}}').after
    both = draw_before_after(HEAD, wider, 64)
    assert both.shape == (128, 128, 3) and covered(both[64:, :64]) > covered(both[:64, :64])


def test_what_is_presented_can_be_loaded_elsewhere():
    import trimesh

    made = present_shape(HEAD, run_editor(HEAD, '{"values": {"age": 1}}').after, 2, 64)
    assert [picture.shape for picture in made.shown] == [(64, 128, 3)] * 2 and len(made.turn) == 2
    mesh = trimesh.load(io.BytesIO(made.model), file_type="glb", force="mesh", process=False)
    np.testing.assert_array_equal(np.float32(mesh.vertices), VERTICES)
    assert any("vertices move" in line for line in made.lines)
    assert describe_change(HEAD, HEAD) == "Nothing moves."


def test_a_blend_is_posed_like_the_first_person(head):
    first = FaceShape(torch.from_numpy(head), name="one", seen=np.zeros((len(head), 3)))
    moved = first.vertices @ torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]) + 0.05
    blend = blend_faces([first, FaceShape(moved, name="two")], [1, 3])
    assert (blend.vertices - first.vertices).abs().max() < 1e-5  # the same head, turned back
    assert blend.name == "25% one + 75% two" and blend.seen is first.seen
    assert torch.equal(blend_faces([first, FaceShape(moved)], [1, 0]).vertices, first.vertices)


def test_people_are_mixed_by_place_or_weights():
    other = run_editor(HEAD, '{"values": {"face_width": 1}}').after
    mixed = mix_people([HEAD, None, other, None], '{"x": 0, "y": 0.5}')
    assert mixed.note == "75% person 1 (somebody), 25% person 2 (somebody)."
    given = mix_people([HEAD, other], '{"x": 0, "y": 1}', "3 1")
    assert torch.equal(mixed.shape.vertices, given.shape.vertices)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_weights("1, two", 2), "got 'two'"),
        (lambda: read_weights("1", 2), "one weight for each of 2"),
        (lambda: read_weights("-1 2", 2), "weights from 0 on"),
        (lambda: read_place("[1]"), "Expected a place such as"),
        (lambda: read_place("{"), "Expected a place such as"),
        (lambda: read_place('{"x": NaN}'), "finite numbers"),
        (lambda: read_place('{"version": 2, "x": 0}'), "newer pack"),
        (lambda: mix_people([HEAD] * (MAX_SHAPES + 1)), "1 to 6"),
        (lambda: mix_people([HEAD], exaggeration=1.0), "second head or the average"),
    ],
)
def test_bad_places_and_weights_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_places_are_read_within_the_circle():
    assert read_place("") == (0, 0) and read_place('{"x": 5, "y": -0.25}') == (1, -0.25)
    assert read_weights(" ", 3) is None and read_weights("2; 1", 2) == [2, 1]


def test_points_alone_cannot_warp_a_picture(tmp_path):
    bare = replace(HEAD, faces=None)
    with pytest.raises(ValueError, match="triangles, got points only.*transform.pkl"):
        warp_to(None, bare, bare, [tmp_path])

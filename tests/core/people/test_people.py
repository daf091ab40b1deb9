"""People, motions and prompts: drawn by the seed alone, saying what they do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fantasyid_core.people import prompts
from fantasyid_core.people.appearance import Appearance
from fantasyid_core.people.backdrop import BACKGROUNDS, Backdrop, sample_backdrop
from fantasyid_core.people.columns import FRAME
from fantasyid_core.people.hair import HAIR_STYLES, hair_shell
from fantasyid_core.people.headshape import SHAPE_NAMES
from fantasyid_core.people.motion import (
    CAMERA_MOTIONS,
    FACE_MOTIONS,
    HEAD_MOTIONS,
    LIGHTS,
    Motion,
    frame_row,
    sample_motion,
    sample_portrait,
)
from fantasyid_core.people.person import (
    HELD_OUT_FROM,
    Draw,
    held_out_seeds,
    sample_person,
    sample_twin,
    training_seeds,
)

CROWD = [sample_person(seed) for seed in range(300)]


def column(frames: np.ndarray, name: str) -> np.ndarray:
    return frames[:, FRAME.index(name)]


def test_a_seed_is_one_person_on_every_machine():
    """Golden: whatever changes these people changes what a trained model has seen."""
    person = sample_person(0)
    assert person.shape[:3] == (-0.0632, -0.5864, -0.631)
    assert (person.appearance.hair_style, person.appearance.skin) == ("quiff", (0.5839, 0.3917, 0.2941))
    assert sample_person(0) == person != sample_person(1)
    stranger = sample_person(HELD_OUT_FROM)
    assert stranger.shape[:3] == (-0.2703, -0.3754, -0.1319) and stranger.appearance.hair_style == "afro"


def test_people_do_not_depend_on_the_hash_seed_or_on_earlier_people():
    code = "from fantasyid_core.people.person import sample_person; print(sample_person(41))"
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": sys.path[0]}, check=True,
            capture_output=True, text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert printed[0] == printed[1] == str(sample_person(41))


def test_shapes_fill_the_cube_independently():
    shapes = np.array([person.shape for person in CROWD])
    assert shapes.shape == (300, len(SHAPE_NAMES)) and abs(shapes).max() <= 1
    assert abs(shapes.mean(axis=0)).max() < 0.15
    np.testing.assert_allclose(shapes.std(axis=0), 3**-0.5, atol=0.07)
    correlation = np.corrcoef(shapes.T) - np.eye(len(SHAPE_NAMES))
    assert abs(correlation).max() < 0.25


def test_everything_a_person_can_have_occurs():
    looks = [person.appearance for person in CROWD]
    assert {look.hair_style for look in looks} == set(HAIR_STYLES)
    assert len({look.glasses for look in looks}) == 4 and len({look.beard for look in looks}) == 4
    assert len({look.collar for look in looks}) == 4 and any(look.freckles > 0 for look in looks)
    skins = np.array([look.skin for look in looks]).mean(axis=1)
    assert skins.min() < 0.35 and skins.max() > 0.8


def test_a_twin_differs_in_one_parameter_and_visibly():
    names, values = set(), []
    for person in map(sample_person, range(400)):
        twin = sample_twin(person)
        (name,) = [name for name, a, b in zip(SHAPE_NAMES, person.shape, twin.shape, strict=True) if a != b]
        own, other = (each.shape[SHAPE_NAMES.index(name)] for each in (person, twin))
        assert abs(own - other) >= 0.5 - 1e-3 and twin.appearance == person.appearance
        names.add(name)
        values.append(other)
    assert names == set(SHAPE_NAMES)
    assert min(values) < -0.95 and max(values) > 0.95 and abs(np.mean(values)) < 0.1
    assert sample_twin(sample_person(3)) == sample_twin(sample_person(3)) != sample_twin(sample_person(3), 1)


def test_training_and_held_out_people_never_meet():
    assert training_seeds(5) == range(5) and training_seeds(2, start=7) == range(7, 9)
    assert held_out_seeds(2, 3) == range(HELD_OUT_FROM + 3, HELD_OUT_FROM + 5)
    with pytest.raises(ValueError, match="training seeds within 1000000000 people, got 2 from number 999999999"):
        training_seeds(2, start=HELD_OUT_FROM - 1)
    with pytest.raises(ValueError, match="evaluation seeds"):
        held_out_seeds(-1)


@pytest.mark.parametrize(
    ("seed", "message"),
    [(-1, "got -1"), (2 * HELD_OUT_FROM, r"0\.\.1999999999"), (1.5, "whole number as seed, got 1.5")],
)
def test_bad_seeds_are_refused(seed, message):
    with pytest.raises(ValueError, match=message):
        sample_person(seed)


def test_draws_of_different_purposes_are_unrelated():
    first, second, third = (Draw(5, *purpose) for purpose in (("clip",), ("reference",), ("clip", 1)))
    assert len({first(), second(), third()}) == 3


def test_an_edit_changes_the_shape_and_nothing_else():
    person = sample_person(3)
    wider = person.edited(face_width=1.0)
    assert wider.shape[0] == 1.0 and wider.shape[1:] == person.shape[1:] and wider.appearance == person.appearance
    assert np.ptp(wider.vertices()[:, 0]) > np.ptp(person.vertices()[:, 0])
    with pytest.raises(ValueError, match="Unknown shape parameters: width"):
        person.edited(width=1.0)
    with pytest.raises(ValueError, match="face_width = 2"):
        person.edited(face_width=2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hair_style": "mohawk"}, "hair_style as one of: bald.*'mohawk'"),
        ({"skin": (0.5, 0.5)}, "skin as a colour of 3 numbers"),
        ({"skin": (0.5, 1.5, 0.5)}, r"skin in 0\.\.1"),
        ({"blush": float("nan")}, r"blush in 0\.\.1, got nan"),
        ({"glasses": "monocle"}, "glasses as one of: none, round, square, wide"),
        ({"beard": "long"}, "beard as one of"),
        ({"collar": "ruff"}, "collar as one of"),
    ],
)
def test_bad_appearances_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(Appearance(), **change)


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_hair_has_one_topology_per_style(style):
    small, large = hair_shell(style, 0, 0), hair_shell(style, 1, 1)
    assert small[0].shape == large[0].shape and np.isfinite(large[0]).all()
    np.testing.assert_array_equal(small[2], large[2])
    if HAIR_STYLES[style].long_ends[3] is not None:
        assert large[0][:, 1].min() < small[0][:, 1].min() - 5  # longer


SAMPLED = [(sample_motion(draw), sample_backdrop(draw)) for draw in (Draw(seed, "clip") for seed in range(400))]


@pytest.mark.parametrize("count", [1, 9, 13, 17, 49])
def test_a_motion_takes_the_same_course_in_any_number_of_frames(count):
    motion = Motion("turn left", "blink", "zoom in", "left to right", yaw=1.0)
    frames = motion.frames(count)
    assert frames.shape == (count, len(FRAME)) and np.isfinite(frames).all()
    np.testing.assert_allclose(frames[0], motion.frames(9)[0])
    if count > 1:
        np.testing.assert_allclose(frames[-1], motion.frames(9)[-1], atol=1e-12)
        np.testing.assert_allclose(frames[:: (count - 1) // 4], motion.frames(5), atol=1e-12)


def test_every_name_of_a_motion_has_its_words():
    assert prompts._HEAD.keys() == HEAD_MOTIONS.keys() and prompts._FACE.keys() == FACE_MOTIONS.keys()
    assert prompts._CAMERA.keys() == CAMERA_MOTIONS.keys() and prompts._LIGHT.keys() == LIGHTS.keys()
    said = [prompts.prompt_of(Motion(*names), Backdrop("grey")) for names in _all_names()]
    assert len(set(said)) == len(said)  # no two motions share a prompt


def _all_names() -> list[tuple[str, str, str, str]]:
    return [(h, f, c, x) for h in HEAD_MOTIONS for f in FACE_MOTIONS for c in CAMERA_MOTIONS for x in LIGHTS]


def test_a_prompt_reads_well():
    motion = Motion("turn left", "smile", light="right")
    said = prompts.prompt_of(motion, Backdrop("blue"))
    assert said == "turns the head to the left and smiles, blue background, light from the right"
    said = prompts.prompt_of(Motion(camera="zoom in"), Backdrop("red"))
    assert said == "looks at the camera, camera zooms in, red background, light from the front"


def test_the_vocabulary_holds_every_word():
    words = set(prompts.vocabulary())
    for motion, backdrop in SAMPLED:
        said = prompts.prompt_of(motion, backdrop).replace(",", " ,").split()
        assert set(said) <= words
    assert len(words) < 80 and list(prompts.vocabulary()) == sorted(words)


@pytest.mark.parametrize(
    ("phrase", "what", "sign"),
    [
        ("head to the left", "yaw", -1), ("head to the right", "yaw", 1), ("from left to right", "yaw", 1),
        ("from right to left", "yaw", -1), ("looks up", "pitch", -1), ("looks down", "pitch", 1),
        ("smiles", "smile", 1), ("stops smiling", "smile", -1), ("opens the mouth", "mouth_open", 1),
        ("closes the eyes", "blink", 1),
        ("raises the brows", "brows_up", 1), ("zooms in", "zoom", 1), ("zooms out", "zoom", -1),
        ("light moves from left to right", "light_turn", 1),
    ],
)  # fmt: skip
def test_the_prompt_says_what_the_frames_do(phrase, what, sign):
    told = [
        motion for motion, backdrop in SAMPLED
        if phrase in prompts.prompt_of(motion, backdrop).replace("light moves " + phrase, "")
    ]  # fmt: skip
    told = [m for m in told if not (phrase.startswith("head to") and "tilt" in m.head)]
    assert len(told) >= 3
    least = {"yaw": 20, "pitch": 14, "light_turn": 90, "zoom": 0.2}.get(what, 0.7)
    for motion in told:
        course = column(motion.frames(9), what)
        assert sign * (course[-1] - course[0]) > least


def test_tilts_follow_their_words():
    left, right = (column(Motion(f"tilt {side}").frames(9), "roll") for side in ("left", "right"))
    assert left[-1] < -15 and right[-1] > 15


def test_swings_and_blinks_return():
    for name, kind, what in (("nod", "head", "pitch"), ("shake", "head", "yaw"), ("blink", "face", "blink")):
        course = column(Motion(**{kind: name}).frames(17), what)
        assert abs(course[-1] - course[0]) < 0.02 and np.ptp(course) > 0.9


def test_light_stands_where_the_prompt_says():
    for motion, _ in SAMPLED:
        turn, rise = column(motion.frames(9), "light_turn"), column(motion.frames(9), "light_rise")
        if motion.light in ("left", "right"):
            assert (np.sign(turn) == (1 if motion.light == "right" else -1)).all() and abs(turn).min() > 40
        elif motion.light == "above":
            assert rise.min() > 50


def test_faces_stay_within_their_ranges():
    for motion, _ in SAMPLED:
        frames = motion.frames(9)
        for name in ("mouth_open", "smile", "brows_up", "blink"):
            assert 0 <= column(frames, name).min() and column(frames, name).max() <= 1
        assert abs(column(frames, "yaw")).max() < 45


def test_references_know_nothing_of_the_clip():
    firsts = np.array([sample_motion(Draw(seed, "clip")).frames(9)[0] for seed in range(400)])
    portraits = np.array([sample_portrait(Draw(seed, "reference", 0)) for seed in range(400)])
    for name in ("yaw", "pitch", "roll", "light_turn", "smile"):
        assert abs(np.corrcoef(column(firsts, name), column(portraits, name))[0, 1]) < 0.15
    assert column(portraits, "yaw").std() > 15


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Motion(head="spin"), "Unknown head motion 'spin'.*turn left"),
        (lambda: Motion(light="below"), "Unknown light motion 'below'"),
        (lambda: Motion().frames(0), "1 to 1000 frames .* got 0"),
        (lambda: Motion().frames(9.5), "got 9.5"),
        (lambda: frame_row(jaw=1), "Unknown columns of a frame: jaw. There are: yaw"),
        (lambda: frame_row(yaw=float("nan")), "finite numbers in a frame"),
        (lambda: Backdrop("beige"), "Unknown background 'beige'.*purple"),
    ],
)
def test_bad_motions_and_backdrops_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_backdrops_show_the_colour_they_name():
    palette = np.array(list(BACKGROUNDS.values()))
    for name, colour in BACKGROUNDS.items():
        np.testing.assert_allclose(Backdrop(name).picture(8), np.broadcast_to(colour, (8, 8, 3)), atol=1e-6)
    right = 0
    for _, backdrop in SAMPLED:
        middle = np.median(backdrop.picture(16).reshape(-1, 3), axis=0)
        nearest = np.linalg.norm(palette - middle, axis=1).argmin()
        right += list(BACKGROUNDS)[nearest] == backdrop.colour
    assert right > 0.9 * len(SAMPLED)


def test_backdrops_fade_along_their_angle_and_hold_discs():
    fading = Backdrop("grey", fade=0.6, angle=0).picture(32)[..., 0]
    assert (np.diff(fading[0]) > 0).all() and np.ptp(fading, axis=0).max() < 1e-6
    upwards = Backdrop("grey", fade=0.6, angle=90).picture(32)[..., 0]
    assert upwards[0, 0] > upwards[-1, 0]
    disc = Backdrop("black", discs=((0.25, 0.5, 0.15, 0.0, 0.5),)).picture(64)[..., 0]
    assert disc[32, 16] > 0.5 and disc[32, 48] == pytest.approx(BACKGROUNDS["black"][0])
    np.testing.assert_allclose(  # the same picture at another size
        Backdrop("teal", fade=0.4, angle=30).picture(64).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)),
        Backdrop("teal", fade=0.4, angle=30).picture(16), atol=2e-3,
    )  # fmt: skip

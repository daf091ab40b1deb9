"""The instruments on samplers whose answers are known: the truth, and truth with planted defects."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="numba is absent: the renderer of the project's own heads needs it")

from fantasyid_core.experiments import report
from fantasyid_core.experiments.report import compare, markdown, write_report
from fantasyid_core.people.headshape import SHAPE_NAMES
from fantasyid_core.people.instruments import (
    Probe,
    Subject,
    TrueRenderer,
    held_out_people,
    load_probe,
    measure_clips,
    measure_control,
    measure_leak,
    read,
    through_codec,
)
from fantasyid_core.people.instruments.probe import ProbeConfig
from fantasyid_core.people.instruments.subjects import ask, scene_of, shape_of
from fantasyid_core.people.motion import Motion
from fantasyid_core.people.person import sample_person
from fantasyid_core.people.prompts import prompt_of
from fantasyid_core.people.render import render_frames

VALUES = (-0.8, 0.0, 0.8)
NAMED = ("face_width", "chin_length")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small networks are faster so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def people():
    return held_out_people(16)


@pytest.fixture(scope="module")
def true(people):
    return TrueRenderer(people)


@pytest.fixture(scope="module")
def brief(people):
    """The truth in two frames: enough where nothing moves."""
    return TrueRenderer(people, 2)


@pytest.fixture(scope="module")
def honest(true, people):
    return measure_clips(true, people, (0,))


def control(sample, people, names=NAMED):
    return measure_control(sample, people, names, VALUES, (0,))


def clips(sample, people):
    return {name: values[0] for name, values in measure_clips(sample, people, (0,)).items()}


def test_the_truth_follows_the_vertices(brief, people):
    found = control(brief, people, (*NAMED, "nose_length"))
    for name in ("face_width", "chin_length", "face_width outline", "chin_length outline"):
        assert found[name]["correlation"][0] > 0.98 and found[name]["pooled"][0] > 0.95, name
    assert found["nose_length"]["correlation"][0] > 0.97 and found["nose_length"]["pooled"][0] > 0.9
    assert 0.6 < found["face_width"]["slope"][0] < 1.2
    assert found["face_width"]["skin_shift"][0] < 0.02
    leak = measure_leak(brief, people, ("face_width",), VALUES, (0,))
    assert abs(leak["face_width"]["slope"][0]) < 1e-9


def test_a_sampler_that_ignores_the_vertices_has_no_control(brief, people):
    still = people[0].vertices
    found = control(lambda vertices, *others: brief(still, *others), people)
    for name in ("face_width", "face_width outline", "chin_length"):
        assert found[name]["correlation"][0] == 0 and math.isnan(found[name]["pooled"][0])
        assert found[name]["slope"][0] == pytest.approx(0, abs=1e-9)


def test_a_weak_control_shows_in_the_slope_and_a_wrong_one_in_the_correlation(brief, people):
    average = sample_person(0).edited(**dict.fromkeys(SHAPE_NAMES, 0.0)).vertices()
    weak = control(lambda vertices, *others: brief((vertices + 3 * average) / 4, *others), people, ("face_width",))
    full = control(brief, people, ("face_width",))
    for name in ("face_width", "face_width outline"):
        assert 0.15 < weak[name]["slope"][0] / full[name]["slope"][0] < 0.4
    against = control(lambda vertices, *others: brief(2 * average - vertices, *others), people, ("face_width",))
    assert against["face_width"]["correlation"][0] < -0.9


def test_a_sampler_that_takes_the_shape_from_the_picture_leaks(brief, people, monkeypatch):
    shown, plain = {}, Subject.references_of

    def remember(self, person):
        pictures = plain(self, person)
        shown[pictures.tobytes()] = person.vertices()
        return pictures

    monkeypatch.setattr(Subject, "references_of", remember)
    leaky = lambda vertices, references, *others: brief(shown[references.tobytes()], references, *others)  # noqa: E731
    leak = measure_leak(leaky, people, ("face_width",), VALUES, (0,))["face_width"]["slope"][0]
    assert leak == pytest.approx(control(brief, people, ("face_width",))["face_width"]["slope"][0], rel=1e-3)


def test_a_skin_that_changes_with_the_vertices_is_seen(brief, people):
    def dyed(vertices, *others):
        dark = 1 - 0.3 * (shape_of(vertices)[0] + 0.8) / 1.6
        return (brief(vertices, *others) * dark).astype(np.uint8)

    assert control(dyed, people, ("face_width",))["face_width"]["skin_shift"][0] > 0.04


def test_the_truth_is_the_right_person_in_the_right_motion(honest, people):
    found = {name: values[0] for name, values in honest.items()}
    assert found["retrieval"] == 1 and found["shape_retrieval"] > 0.6
    assert found["skin_error"] < 0.03 and found["hair_correlation"] > 0.95 and found["lips_correlation"] > 0.85
    assert found["psnr"] > 70 and found["psnr_head"] > 70
    for name in ("last_minus_first", "last_minus_first_clip", "temporal_difference", "temporal_difference_clip"):
        assert found[name] == pytest.approx(1)
    assert found["yaw_direction"] == 1 and found["yaw"] > 0.95
    assert abs(found["copied_share"]) < 0.1


def test_reversed_time_is_a_wrong_motion(true, people, honest):
    found = clips(lambda *request: true(*request)[::-1], people)
    assert found["yaw_direction"] == 0 and found["last_minus_first"] == pytest.approx(-1)
    assert found["temporal_difference"] < 0.2 and found["yaw"] < 0.5
    assert found["retrieval"] == 1 and found["skin_error"] == pytest.approx(honest["skin_error"][0])


def test_a_still_video_has_no_motion(true, people):
    found = clips(lambda *request: np.repeat(true(*request)[:1], 9, axis=0), people)
    assert found["yaw_direction"] == 0 and math.isnan(found["last_minus_first"])


def test_swapped_colours_are_seen(true, people, honest):
    found = clips(lambda *request: true(*request)[..., ::-1], people)
    assert found["skin_error"] > 0.06 > 2 * honest["skin_error"][0]
    assert found["psnr_head"] < 25 and found["yaw_direction"] > 0.9


def test_a_stranger_is_not_retrieved(true, people):
    other = {subject.prompt + subject.references.tobytes().hex()[:200]: n for n, subject in enumerate(people)}

    def stranger(vertices, references, prompt, seed):
        subject = people[other[prompt + references.tobytes().hex()[:200]] - 1]
        return true(subject.vertices, subject.references, prompt, seed)

    found = clips(stranger, people)
    assert found["retrieval"] < 0.1 and found["skin_error"] > 0.05 and found["hair_correlation"] < 0.6


def test_a_copied_pose_is_seen(true, people, honest):
    by_picture = {subject.references.tobytes(): subject for subject in people}

    def copier(vertices, references, prompt, seed):
        subject, (motion, backdrop) = by_picture[references.tobytes()], scene_of(prompt)
        yaw, pitch, roll = subject.reference_frames[0][:3]
        posed = replace(motion, yaw=0.7 * yaw, pitch=0.7 * pitch, roll=0.7 * roll)
        return render_frames(subject.person, posed.frames(9), backdrop, 64)

    found = clips(copier, people)
    assert found["copied_pose"] > 0.7 and 0.5 < found["copied_share"] < 0.9
    assert honest["copied_pose"][0] < found["copied_pose"] - 0.3


class Blurring:
    """Stands for a codec: it keeps what is coarse. Latents are the pixels."""

    def encode(self, pixels, noise):
        return torch.nn.functional.avg_pool3d(pixels, (1, 3, 3), 1, (0, 1, 1), count_include_pad=False)

    def decode(self, latents):
        return latents[0].permute(1, 2, 3, 0)[None].add(1).div(2)


def test_the_report_sets_model_codec_and_truth_side_by_side(people, tmp_path):
    asked, true = [], TrueRenderer(people, 3)

    class Model:
        """The truth with noise of the seed, asked for several clips at once."""

        def many(self, requests):
            asked.append(len(requests))
            for request in requests:
                noise = np.random.default_rng(request.seed).normal(0, 6, (3, 64, 64, 3))
                yield (true(*request) + noise).clip(0, 255).astype(np.uint8)

    samplers = {"model": Model(), "codec": through_codec(true, Blurring()), "true": true}
    report = compare(samplers, people[:5], ("face_width", "nose_bridge"), VALUES, (0, 1))
    write_report(report, tmp_path, "scores")
    assert json.loads((tmp_path / "scores.json").read_text()) == report and max(asked) <= 32
    assert report["columns"] == ["model", "codec", "true"] and report["people"] == 5
    rows = {row["measure"]: row for row in report["rows"]}
    assert rows["face_width: slope / true"]["true"]["mean"] == pytest.approx(1)
    assert rows["face_width: slope / true"]["target"] == "0.85 to 1.15"
    assert rows["face_width: correlation"]["model"]["spread"] > 0 == rows["face_width: correlation"]["true"]["spread"]
    assert len(rows["psnr"]["model"]["seeds"]) == 2
    below = rows["psnr_below_codec"]
    assert below["codec"]["mean"] == 0 > below["true"]["mean"]
    assert below["model"]["mean"] == pytest.approx(rows["psnr"]["codec"]["mean"] - rows["psnr"]["model"]["mean"])
    assert rows["retrieval"]["verdict"] == "met" and rows["retrieval"]["target"] == ">= 0.75"
    text = (tmp_path / "scores.md").read_text()
    assert "| measure | model | codec | true | target | model |" in text and "proves nothing" in text


def test_the_report_gives_no_credit_for_no_leak_where_nothing_steers():
    row = {"verdict": "met", "measure": "leak"}
    assert report._only_if_steered(row, {"model": [0.02, 0.03], "true": [1.0, 1.0]})["verdict"] == "not steered"
    assert report._only_if_steered(row, {"model": [0.9, 0.8], "true": [1.0, 1.0]})["verdict"] == "met"
    assert report._only_if_steered(row | {"verdict": "MISSED"}, {"model": [0.0]})["verdict"] == "MISSED"


def test_the_report_says_what_is_missed_and_what_is_unreadable(true, people):
    backwards = lambda *request: true(*request)[::-1]  # noqa: E731
    report = compare({"model": backwards}, people[:5], ("face_width",), VALUES, (0,), probe=Probe(ProbeConfig.tiny()))
    rows = {row["measure"]: row for row in report["rows"]}
    assert rows["last_minus_first"]["verdict"] == "MISSED" and rows["yaw_direction"]["verdict"] in ("met", "MISSED")
    assert rows["face_width: correlation"]["verdict"] == "unreadable"  # by an untrained probe
    assert rows["face_width outline: correlation"]["verdict"] == "met"
    assert "psnr_below_codec" not in rows and "| unreadable |" in markdown(report)


def test_the_true_renderer_knows_shape_and_scene():
    person = sample_person(5)
    assert shape_of(person.vertices()) == pytest.approx(person.shape, abs=2e-5)
    motion, backdrop = scene_of("turns the head to the left and smiles, blue background, light from the right")
    assert (motion.head, motion.face, motion.light, backdrop.colour) == ("turn left", "smile", "right", "blue")
    subject = held_out_people(2, 77)[0]
    frames = TrueRenderer([subject])(subject.vertices, subject.references, subject.prompt, 3)
    wanted = render_frames(subject.person, subject.motion.frames(9), subject.backdrop, 64)
    assert np.abs(frames.astype(int) - wanted).max() <= 1
    assert subject.plain_prompt.startswith("looks at the camera")
    assert prompt_of(Motion(), subject.plain) == subject.plain_prompt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, p, r: measure_control(s, p, ("ear_colour",)), "Unknown shape parameters: ear_colour"),
        (lambda s, p, r: measure_control(s, p, NAMED, (0.0, 2.0)), r"at least 2 values in -1..1"),
        (lambda s, p, r: measure_leak(s, p, NAMED, VALUES, ()), r"a seed, got"),
        (lambda s, p, r: measure_clips(s, p[:1], (0,)), "at least 2 people and a seed, got 1 and 1"),
        (lambda s, p, r: held_out_people(1), "at least 2 people"),
        (lambda s, p, r: ask(lambda *request: s(*request)[:, ::2], [r]), r"Expected frames uint8 \[T,64,64,3\]"),
        (lambda s, p, r: ask(lambda *request: s(*request) / 255, [r]), "got float64"),
        (lambda s, p, r: ask(s, [r._replace(prompt="dances")]), "Expected a prompt of"),
        (lambda s, p, r: ask(s, [r._replace(references=r.references[:, ::-1])]), "got another picture"),
        (lambda s, p, r: read(load_probe(), np.zeros((2, 32, 32, 3), np.uint8)), r"Expected pictures uint8 \[...,64"),
        (lambda s, p, r: read(load_probe(), r.references).of("ear"), "The probe does not read 'ear'"),
    ],
)
def test_bad_input_is_refused(change, message, true, people):
    from fantasyid_core.people.instruments import SceneRequest

    request = SceneRequest(people[0].vertices, people[0].references, people[0].prompt, 0)
    with pytest.raises(ValueError, match=message):
        change(true, people, request)


def test_a_blurred_picture_has_a_lower_ratio(true, people):
    blurred = clips(lambda *request: np.stack([cv2.blur(frame, (3, 3)) for frame in true(*request)]), people[:4])
    assert 15 < blurred["psnr_head"] < 35

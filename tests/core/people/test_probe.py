"""The probe and what is measured without it: training, files, closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="numba is absent: the renderer of the project's own heads needs it")

from fantasyid_core.experiments.train_probe import ProbeTraining, load_settings, render_views, train_probe
from fantasyid_core.experiments.train_probe import main as train_main
from fantasyid_core.people.instruments import Probe, held_out_people, load_probe, read
from fantasyid_core.people.instruments.comparing import correlation, nearest, psnr, within_person
from fantasyid_core.people.instruments.probe import NAMES, SHIPPED, ProbeConfig, index_of, save_probe, truth
from fantasyid_core.people.instruments.silhouette import outline
from fantasyid_core.people.motion import Motion
from fantasyid_core.people.person import held_out_seeds, sample_person, training_seeds


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small networks are faster so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_shipped_probe_reads_true_renders():
    from fantasyid_core.people.instruments.readability import readable

    found = readable(load_probe(), 40)
    assert found.retrieval > 0.9
    surely = ("face_width", "chin_length", "yaw", "pitch", "roll", "mouth_open", "skin g", "hair g", "lips r")
    assert all(found.clips[name] > 0.85 for name in surely), found.clips
    assert {"face_width", "yaw", "skin g"} <= set(found.good) and "head_depth" not in found.good
    assert "| head_depth | " in found.describe() and "not used for claims" in found.describe()
    assert SHIPPED.stat().st_size <= 2 * 2**20


def test_nobody_in_the_instruments_was_trained_on():
    people = held_out_people(4)
    assert all(subject.person.seed in held_out_seeds(4) for subject in people)
    assert not set(training_seeds(load_settings().people)) & {subject.person.seed for subject in people}


def test_the_outline_is_measured_in_pixels():
    frames = np.full((2, 64, 64, 3), (40, 120, 200), np.uint8)
    frames[:, 10:, 20:44] = (220, 180, 150)
    frames[:, 55:] //= 2
    found = outline(frames)
    assert found["face_width"] == pytest.approx([24, 24]) and found["jaw_width"] == pytest.approx([24, 24])
    taller = frames.copy()
    taller[1, 7:10, 20:44] = (220, 180, 150)
    assert np.diff(outline(taller)["forehead_height"]) == pytest.approx([3])
    lower = frames.copy()
    lower[1, 55:57] = frames[1, 54:55]
    assert np.diff(outline(lower)["chin_length"]) == pytest.approx([2])
    assert np.isnan(outline(np.zeros((1, 64, 64, 3), np.uint8))["face_width"]).all()


def test_measures_have_their_closed_forms():
    assert within_person([-1, 0, 1], [[4, 6, 8], [-3, -1, 1]]) == pytest.approx((1, 1, 2))
    steep = within_person([-1, 0, 1], [[-1, 0, 1], [-3, 0, 3]])
    assert steep.correlation == pytest.approx(1) and steep.pooled == pytest.approx(0.2**0.5 * 2) and steep.slope == 2
    nothing = within_person([-1, 0, 1], [[5, 5, 5], [0, 1, 2]])
    assert nothing.correlation == pytest.approx(0.5)
    assert within_person([-1, 0, 1], [[5, 5, 5]]).slope == 0 and math.isnan(within_person([-1, 0], [[5, 5]]).pooled)
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert psnr(np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2, 3), np.uint8)) == pytest.approx(0)
    mask = np.array([[True, False]])
    assert psnr(np.array([[[0] * 3, [9] * 3]]), np.array([[[255] * 3, [9] * 3]]), mask) == pytest.approx(0)
    assert nearest(np.eye(3)[[2, 0]], np.eye(3)).tolist() == [2, 0]


def test_the_probe_learns_and_equal_seeds_give_equal_probes(tmp_path):
    settings = ProbeTraining(people=24, steps=30, batch_people=8, warmup=2)
    views, losses = render_views(training_seeds(24), 1), []
    assert views[0].shape == (24, 4, 64, 64, 3) and views[1].shape == (24, 4, len(NAMES))
    assert (views[2][:, index_of("hair r")] == 0).sum() == sum(
        sample_person(seed).appearance.hair_style == "bald" for seed in range(24)
    )
    config = ProbeConfig.tiny()
    probes = []
    for steps in (30, 30, 1):
        torch.manual_seed(1)
        probes.append(train_probe(replace(settings, steps=steps), losses.append, views, Probe(config)))
    same = [torch.equal(a, b) for a, b in zip(probes[0].parameters(), probes[1].parameters(), strict=True)]
    assert all(same)  # the same seed, the same probe
    errors = []
    for probe in (probes[2], probes[0]):
        values = read(probe, views[0]).values
        errors.append(np.mean(((values - views[1]) / views[1].std(axis=(0, 1))) ** 2))
    assert errors[1] < errors[0]
    save_probe(probes[0], tmp_path / "probe.safetensors")
    again = load_probe(tmp_path / "probe.safetensors")
    assert np.allclose(read(again, views[0]).values, read(probes[0], views[0]).values, atol=0.05)


def test_the_truth_of_a_picture_is_that_of_its_person_and_motion():
    person = sample_person(3)
    rows = Motion("turn left", "open mouth").frames(3)
    facts = dict(zip(NAMES, truth(person, rows).T, strict=True))
    assert facts["face_width"].tolist() == [person.shape[0]] * 3 and facts["yaw"][2] < -20
    assert facts["mouth_open"].tolist() == [0, 0.5, 1] and facts["hair g"][0] == person.appearance.hair_colour[1]


def test_bad_files_and_settings_are_explained(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="train_probe"):
        load_probe(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="bad.safetensors"):
        load_probe(tmp_path / "bad.safetensors")
    for text, message in (
        ("steps: -1", "steps: expected a number above 0"),
        ("step: 1", "step is no setting; did you mean steps"),
        ("steps: [1]", r"steps: expected a whole number, got \[1\]"),
        ("steps: many", "steps: expected a whole number"),
        ("{", "is not a YAML file"),
        ("batch_people: 1", "batch_people: expected 2 to"),
    ):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            load_settings(tmp_path / "c.yaml")
    assert train_main([str(tmp_path / "none.yaml")]) == 2 and "There is no config" in capsys.readouterr().err
    views = tuple(part[:8] for part in render_views(training_seeds(8), 1))
    broken = views[0], np.full_like(views[1], np.nan), views[2]
    with pytest.raises(RuntimeError, match="The loss of step 0 is nan"):
        train_probe(ProbeTraining(people=8, steps=1, batch_people=4), views=broken, probe=Probe(ProbeConfig.tiny()))

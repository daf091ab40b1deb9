"""Many videos: what is loaded and encoded how often, what a row that fails costs, and what a new start does."""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from jobfolder import PEOPLE, PROMPTS, contents, make_jobs

from fantasyid_core import pipeline
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.host.diffusers import others as diffusers_models
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.identity.identityfile import save_identity
from fantasyid_core.jobs import Job, run_jobs
from fantasyid_core.jobs.job import options_of
from fantasyid_core.jobs.run import Summary
from fantasyid_core.jobs.synthetic import is_marked
from fantasyid_core.pipeline import Inputs, Run, generate
from fantasyid_core.request import PersonRequest
from fantasyid_core.videofile import read_comment, read_video, save_video


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return make_jobs(tmp_path_factory.mktemp("jobs"))


class Made(NamedTuple):
    """What one run of all jobs did. labels: (stage, done videos, done parts of the stage) as they were told."""

    folder: Path
    summary: Summary
    counts: Counter
    labels: list[tuple[str, int, int]]


LOADERS = [(pipeline.run, "load_adapter"), (pipeline, "load_face_encoder"), (diffusers_models, "load_vae")]
LOADERS += [(diffusers_models, "load_text_encoder"), (diffusers_host, "load_transformer")]
WORK = [(IdentityAdapter, "encode"), (pipeline, "encode_prompt"), (pipeline, "make_injector")]


@pytest.fixture(scope="module")
def made(jobs, tmp_path_factory):
    folder, counts, labels = tmp_path_factory.mktemp("made"), Counter(), []

    def counted(name, original):
        def call(*arguments, **options):
            counts[name] += 1
            return original(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in LOADERS + WORK:
            patch.setattr(module, name, counted(name, getattr(module, name)))
        told = lambda place, done, total: labels.append((place.stage, place.done, done))  # noqa: E731
        return Made(folder, run_jobs(jobs, folder, told), counts, labels)


@pytest.fixture(scope="module")
def uninterrupted(made):
    """The files of all videos, by name."""
    return contents(made.folder)


def states(folder) -> dict[str, str]:
    return {row["video"]: row["state"] for row in json.loads((folder / "manifest.json").read_text())}


def test_models_people_and_prompts_are_taken_once(jobs, made):
    assert made.summary.done == len(jobs) == PEOPLE * PROMPTS and not made.summary.failed
    assert set(states(made.folder).values()) == {"done"}
    assert {name: made.counts[name] for _, name in LOADERS} == {name: 1 for _, name in LOADERS}
    assert made.counts["encode"] == PEOPLE
    assert made.counts["encode_prompt"] == PROMPTS + 1  # the empty negative prompt is one, too
    assert made.counts["make_injector"] == PEOPLE


def test_each_stage_is_told_when_it_begins_and_finished_videos_count_up(jobs, made):
    begun = [stage for stage, _, done in made.labels if done == 0]
    assert begun.count("sampling") == begun.count("frames") == len(jobs)
    assert [done for _, done, _ in made.labels] == sorted(done for _, done, _ in made.labels)


def test_a_job_is_the_video_that_generate_makes(jobs, uninterrupted, tmp_path):
    job = jobs[7]
    save_video(generate(job.inputs, job.settings), tmp_path / "alone.mp4")
    (tmp_path / "job.mp4").write_bytes(uninterrupted[job.name])
    assert np.array_equal(read_video(tmp_path / "alone.mp4"), read_video(tmp_path / "job.mp4"))


def test_videos_say_what_they_are_and_how_they_were_made(uninterrupted, tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(uninterrupted["03.mp4"])
    assert is_marked(path) and b"trainedAlgorithmicMedia" in path.read_bytes()
    assert options_of(path) == {"seed": 3}
    assert read_video(path).shape == (8, 64, 64, 3)  # the mark does not disturb a player


def test_a_second_start_makes_only_what_is_missing(jobs, made, uninterrupted, tmp_path, monkeypatch):
    folder = shutil.copytree(made.folder, tmp_path / "copy")
    (folder / "04.mp4").unlink()
    sampled = []
    original = pipeline.sample_latents
    monkeypatch.setattr(pipeline, "sample_latents", lambda run, *rest: sampled.append(1) or original(run, *rest))
    assert run_jobs(jobs, folder).done == len(jobs)
    assert sampled == [1] and contents(folder) == uninterrupted
    assert run_jobs(jobs, folder).done == len(jobs) and sampled == [1]


def test_a_bad_row_costs_only_itself(jobs, uninterrupted, tmp_path):
    few = jobs[:4]
    photo = tmp_path / "dot.png"
    photo.write_bytes(b"no picture")
    bad = replace(few[1].inputs.person, photos=photo)
    absent = replace(few[2].inputs.person, photos=tmp_path / "absent.png")
    few[1] = replace(few[1], inputs=few[1].inputs._replace(person=bad))
    few[2] = replace(few[2], inputs=few[2].inputs._replace(person=absent))
    folder = tmp_path / "out"
    summary = run_jobs(few, folder)
    assert summary.done == 2 and set(summary.failed) == {few[1].name, few[2].name}
    assert "dot.png" in summary.failed[few[1].name] and "absent.png" in summary.failed[few[2].name]
    assert contents(folder) == {name: uninterrupted[name] for name in (few[0].name, few[3].name)}
    assert states(folder) == {few[0].name: "done", few[1].name: "failed", few[2].name: "failed", few[3].name: "done"}
    photo.write_bytes(jobs[1].inputs.person.photos.read_bytes())
    assert run_jobs(few, folder).done == 3  # mended, it is made by the next start


def test_an_interrupt_leaves_finished_videos(jobs, uninterrupted, tmp_path):
    def stop(place, done, total):
        if place.done == 2 and place.stage == "frames":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path, stop)
    assert len(contents(tmp_path)) == 2 and contents(tmp_path).items() <= uninterrupted.items()
    assert Counter(states(tmp_path).values()) == {"done": 2, "to do": len(jobs) - 2}


def test_a_full_disk_stops_with_what_is_whole(jobs, uninterrupted, tmp_path, monkeypatch):
    from fantasyid_core.jobs import run

    count = Counter()
    original = run.finish

    def full(path, *rest):
        count["videos"] += 1
        if count["videos"] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, *rest)

    monkeypatch.setattr(run, "finish", full)
    with pytest.raises(OSError, match="No space left.*Nothing was changed; free some space"):
        run_jobs(jobs[:4], tmp_path)
    assert len(contents(tmp_path)) == 2 and Counter(states(tmp_path).values()) == {"done": 2, "to do": 2}
    run_jobs(jobs[:4], tmp_path)
    assert contents(tmp_path) == {job.name: uninterrupted[job.name] for job in jobs[:4]}


def test_a_video_of_something_else_is_not_overwritten(jobs, tmp_path):
    run_jobs(jobs[:1], tmp_path)
    before = contents(tmp_path)
    other = replace(jobs[0], settings=replace(jobs[0].settings, seed=99))
    summary = run_jobs([other], tmp_path)
    assert "made of something else: nothing is overwritten" in summary.failed[other.name]
    (tmp_path / jobs[1].name).write_text("the user's notes")
    assert "nothing is overwritten" in run_jobs(jobs[:2], tmp_path).failed[jobs[1].name]
    assert contents(tmp_path) == {**before, jobs[1].name: b"the user's notes"}


def test_two_videos_of_one_name_and_impossible_names_are_refused(jobs, tmp_path):
    with pytest.raises(ValueError, match="Videos 1 and 3 have one name, 00.MP4"):
        run_jobs([jobs[0], jobs[1], replace(jobs[2], name="00.MP4")], tmp_path)
    for name in ("../a.mp4", "/a.mp4", "a.avi", "a:b.mp4", ""):
        with pytest.raises(ValueError, match="Expected the name of a video"):
            replace(jobs[0], name=name)


def test_a_row_that_another_process_works_on_is_left_to_it(jobs, tmp_path):
    from filelock import FileLock

    (tmp_path / ".jobs").mkdir()
    with FileLock(tmp_path / ".jobs" / "01.mp4.lock"):
        summary = run_jobs(jobs[:3], tmp_path)
    assert (summary.done, summary.elsewhere, summary.failed) == (2, 1, {})
    assert set(contents(tmp_path)) == {"00.mp4", "02.mp4"}


def test_an_edit_changes_the_picture_and_a_saved_person_stands_for_a_photo(jobs, tmp_path):
    from fantasyid_core.identity.fingerprint import adapter_fingerprint

    inputs, settings = jobs[0].inputs, jobs[0].settings
    run = Run(inputs, settings)
    plain = pipeline.encode_person(run)
    edited = inputs.person.__class__(**{**vars(inputs.person), "edit": {"face_width": 0.8}})
    changed = pipeline.encode_person(Run(inputs._replace(person=edited), settings))
    assert not np.array_equal(changed.face.crop, plain.face.crop)
    saved = tmp_path / "anna.safetensors"
    save_identity(saved, plain.tokens, plain.face.crop, fingerprint=adapter_fingerprint(run.adapter))
    person = PersonRequest(saved=saved)
    job = Job("saved.mp4", Inputs(inputs.model, person), settings)
    assert run_jobs([job], tmp_path / "out").failed == {}
    assert np.array_equal(generate(job.inputs, settings), generate(inputs, settings))
    both = PersonRequest(saved=saved, edit={"face_width": 0.5})
    with pytest.raises(ValueError, match="expected no shape and no edit beside it"):
        generate(Inputs(inputs.model, both), settings)


def test_records_tell_contents_and_not_places(jobs, tmp_path):
    job = jobs[0]
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(job.inputs.person.photos.read_bytes())
    moved = replace(job, inputs=job.inputs._replace(person=replace(job.inputs.person, photos=copy)))
    assert moved.record() == job.record()
    assert replace(job, settings=replace(job.settings, offload="model")).record() == job.record()
    copy.write_bytes(jobs[1].inputs.person.photos.read_bytes())
    assert moved.record() != job.record()
    assert replace(job, settings=replace(job.settings, tiling=True)).record() != job.record()
    save_video(np.zeros((2, 16, 16, 3), np.uint8), tmp_path / "plain.mp4")
    assert read_comment(tmp_path / "plain.mp4") == ""
    with pytest.raises(ValueError, match="does not say how it was made"):
        options_of(tmp_path / "plain.mp4")

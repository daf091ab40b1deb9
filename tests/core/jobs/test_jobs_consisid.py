"""Many videos of ConsisID: its further networks are read once, and an approximate video is another video."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from consisidgolden import write_arcface, write_parser
from jobfolder import contents, write_people

from fantasyid_core import pipeline
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.face import likeness, parsing
from fantasyid_core.jobs import Job, run_jobs
from fantasyid_core.pipeline import Inputs, Settings
from fantasyid_core.tools.random_model import write_random_model

pytest.importorskip("facexlib", reason="facexlib is not installed: no parts of a face")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Two people, two prompts each; the model's folder holds all of its files."""
    monkeypatch.setattr(pipeline, "default_folders", list)
    sizes = TransformerConfig.tiny(sample_width=8, sample_height=8, sample_frames=5, num_layers=2)
    model = write_random_model(tmp_path / "model", 0, sizes, AdapterConfig.consisid_tiny(dit_width=sizes.width))
    write_parser(model / "face_encoder" / "parsing_bisenet.pth")
    write_arcface(model / "face_encoder" / "models" / "antelopev2" / "glintr100.onnx")
    people = [replace(person, shape=None) for person in write_people(tmp_path, 2)]
    return [
        Job(
            f"{number}.mp4", Inputs(model, people[number % 2]), Settings(f"prompt {number // 2}", steps=1, device="cpu")
        )
        for number in range(4)
    ]


def accepted(job: Job) -> Job:
    return replace(job, inputs=job.inputs._replace(approximate=True))


def test_the_further_networks_are_read_once_and_every_person_is_encoded_once(jobs, tmp_path, monkeypatch):
    counts: Counter = Counter()

    def count(module, name, what):
        original = getattr(module, name)

        def counted(*arguments, **options):
            counts[what] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    count(likeness, "_check_interface", "ArcFace")  # which is asked of every session that was opened
    count(parsing, "_without_counters", "BiSeNet")
    count(pipeline, "load_tower", "tower")
    count(pipeline, "prepare_face", "people")
    summary = run_jobs(jobs, tmp_path / "out")
    assert summary.done == len(jobs) and not summary.failed
    assert counts == {"ArcFace": 1, "BiSeNet": 1, "tower": 1, "people": 2}
    videos = contents(tmp_path / "out")
    assert len(set(videos.values())) == len(jobs)


def test_an_approximate_video_does_not_pass_for_a_whole_one(jobs, tmp_path):
    job = jobs[0]
    for name in ("network_key", "person_key"):
        assert getattr(accepted(job), name) != getattr(job, name)
    assert accepted(job).record() != job.record()
    path = job.inputs.model / "face_encoder" / "parsing_bisenet.pth"
    aside = path.rename(path.with_name("aside"))
    both = [job, replace(accepted(jobs[1]), name="approximate.mp4")]
    summary = run_jobs(both, tmp_path / "out")  # each by its own networks, whatever the other accepted
    assert summary.done == 1 and list(summary.failed) == [job.name]
    assert "parsing_bisenet.pth" in summary.failed[job.name] and "--approximate" in summary.failed[job.name]
    aside.rename(path)
    whole = replace(jobs[1], name="approximate.mp4")
    summary = run_jobs([job, whole], tmp_path / "out")
    assert summary.done == 1 and list(summary.failed) == [whole.name]
    assert "made of something else: nothing is overwritten" in summary.failed[whole.name]

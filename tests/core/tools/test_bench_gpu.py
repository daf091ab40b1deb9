"""The bench for a GPU, tried on the CPU with very small networks: every line is there, and nothing is judged."""

from __future__ import annotations

import json

import pytest
import torch

from fantasyid_core.__main__ import main
from fantasyid_core.tools import bench_gpu
from fantasyid_core.tools.bench_gpu import (
    BALANCED,
    DECODING,
    EXACT,
    FAST,
    IDENTITY,
    IN_8_BITS,
    PLAIN,
    SECONDS,
    SHARE,
    SMALL_CARD,
    SMALLER_CARD,
    STREAMED,
    fastest,
    goals,
    run_gpu_bench,
    tables,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def report():
    return run_gpu_bench(CPU, asked=True, people=0)


def test_every_stage_and_video_has_its_row(report):
    assert list(report["stages"]) == [PLAIN, IDENTITY, IN_8_BITS, DECODING, STREAMED]
    assert list(report["videos"]) == [EXACT, BALANCED, FAST]  # blocks are compiled on a GPU only
    assert report["left out"] == []
    for row in (*report["stages"].values(), *report["videos"].values()):
        assert row["seconds"] > 0 and row["peak"] >= 0
    assert [goal["limit"] for goal in report["goals"]] == [SHARE, SMALL_CARD, SMALLER_CARD, SECONDS]
    assert all(goal["found"] is not None and goal["met"] is None for goal in report["goals"])


def test_the_report_is_tables_and_plain_json(report):
    assert json.loads(json.dumps(report)) == report
    text = "\n".join(tables(report))
    assert report["machine"]["diffusers"] in text and f"| {IN_8_BITS} |" in text and "not judged" in text


def test_when_the_time_is_over_the_rest_is_named():
    """A clock of its own: every look takes three minutes."""
    looks = iter(range(0, 10**6, 180))
    report = run_gpu_bench(CPU, asked=True, people=1, clock=lambda: next(looks))
    assert IDENTITY in report["stages"] and "likeness" not in report
    assert report["left out"][-2:] == [STREAMED, "likeness"]
    assert tables(report)[-1].startswith("There was no time for: ")
    assert report["goals"][1]["found"] is None


def test_a_card_that_is_too_small_leaves_out_what_does_not_fit(monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bench_gpu._Bench, "_steps", full)
    monkeypatch.setattr(bench_gpu._Bench, "_video", lambda self, options, stages: full(self))
    report = run_gpu_bench(CPU, asked=True, people=0)
    assert report["left out"][0] == f"{IDENTITY} (the card has too little memory)"
    assert IN_8_BITS in report["stages"] and STREAMED in report["stages"]
    assert report["goals"][0]["found"] is None and report["goals"][3]["found"] is None


def judged(share=0.03, streamed=4e9, small=8e9, seconds=35.0, kept=0.995) -> dict:
    stages = {IDENTITY: {"to plain": share}, STREAMED: {"peak": streamed}, IN_8_BITS: {"peak": small}}
    stages[DECODING] = {"peak": 3e9}
    videos = {EXACT: {"seconds": 90.0}, BALANCED: {"seconds": 50.0}, f"{BALANCED}, compiled": {"seconds": seconds}}
    likeness = {"rows": {BALANCED: {"share of exact": kept}}}
    return {"judged": True, "stages": stages, "videos": videos, "likeness": likeness}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [({}, []), ({"share": 0.05}, [0]), ({"streamed": 11.9e9}, [1]), ({"small": 8.9e9}, [2]), ({"seconds": 41.0}, [3])],
)
def test_goals_are_judged_with_what_cuda_takes(changes, missed):
    found = goals(judged(**changes))
    assert [place for place, goal in enumerate(found) if not goal["met"]] == missed


def test_a_mechanism_that_loses_likeness_does_not_count():
    assert fastest(judged()) == 35 and fastest(judged(kept=0.98)) == 90


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here: what is said without one is NOT tested")
def test_without_a_gpu_one_sentence_says_so(capsys):
    assert main(["bench", "--gpu"]) == 2
    assert "expected one that PyTorch finds, got none" in capsys.readouterr().err


def test_settings_that_it_has_not_are_refused(capsys):
    assert main(["bench", "--gpu", "--full", "--device", "cpu"]) == 2
    assert "leave out --plot, --full and --runs" in capsys.readouterr().err

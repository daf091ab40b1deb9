"""The paper's Table 3 beside ours: its measures on our people, and which of its orderings hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from fantasyid_core.experiments import ablations
from fantasyid_core.experiments.ablations import ABLATIONS
from fantasyid_core.experiments.table3 import MEASURES, PAPER, orderings, table3, write_table3
from fantasyid_core.people.instruments import TrueRenderer, held_out_people, measure_clips
from fantasyid_core.people.instruments.paper_measures import paper_measures

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


def report_of(values: dict[str, tuple[float, ...]], spread: float = 0.001) -> dict:
    values = values | {"true": (0.9, 0.99, 1.0, 0.0)}
    rows = [
        {"measure": name, **{model: {"mean": each[place], "spread": spread} for model, each in values.items()}}
        for place, name in enumerate(MEASURES)
    ]
    return {"columns": list(values), "rows": rows}


def test_the_papers_own_numbers_hold_all_of_its_orderings():
    found = orderings(report_of(PAPER))
    assert {each.here for each in found} == {"holds"} and set(PAPER) == set(ABLATIONS)
    counts = {name: sum(each.measure == name for each in found) for name in MEASURES}
    assert counts == {"RS": 10, "IFS": 9, "FM": 10, "FID": 10}  # two have an IFS of 0.93
    text = table3(report_of(PAPER))
    assert "- RS: 10 of 10 of the paper's orderings hold here." in text and "reversed" not in text
    assert "| without vertices | 0.420 (0.42) | 0.900 (0.9) | 0.360 (0.36) | 172.510 (172.51) |" in text
    assert "| true renders | 0.900 | 0.990 | 1.000 | 0.000 |" in text


def test_a_reversed_ordering_and_one_too_close_are_told(tmp_path):
    other = PAPER | {"without multi-view": (0.60, 0.98, 0.33, 130.77), "without vertices": (0.42, 0.931, 0.36, 172.51)}
    text = table3(report_of(other))
    assert "- RS: 8 of 10" in text
    assert "  - reversed: whole > without multi-view; without face abstractor > without multi-view\n" in text
    close = "without face abstractor > without vertices; one shared injection > without vertices"
    assert f"  - too close to tell: {close}\n" in text
    write_table3(report_of(other), tmp_path)
    assert (tmp_path / "table3.md").read_text() == text + "\n"


def test_a_report_without_a_model_or_a_measure_is_refused():
    report = report_of({name: each for name, each in PAPER.items() if name != "without vertices"})
    with pytest.raises(ValueError, match="got none of without vertices. Score all"):
        table3(report)
    report = report_of(PAPER)
    report["rows"].pop()
    with pytest.raises(ValueError, match="got none of FID"):
        table3(report)


@pytest.fixture(scope="module")
def people():
    return held_out_people(8)


def test_the_papers_measures_know_the_truth_from_strangers_and_stills(people):
    true = TrueRenderer(people)
    strangers = {id_of(subject.references): people[place - 1] for place, subject in enumerate(people)}

    def stranger(vertices, references, prompt, seed):
        other = strangers[id_of(references)]
        return true(other.vertices, other.references, prompt)

    def soft(*request):
        frames = torch.from_numpy(true(*request)).permute(0, 3, 1, 2).float()
        return gaussian_blur(frames, [9, 9], [1.5, 1.5]).permute(0, 2, 3, 1).round().byte().numpy()

    still = lambda *request: np.repeat(true(*request)[:1], 9, axis=0)  # noqa: E731
    honest, wrong, still, soft = (
        {name: each[0] for name, each in measure_clips(sample, people, (0,)).items()}
        for sample in (true, stranger, still, soft)
    )
    assert honest["RS"] > soft["RS"] > 0.5 > 0.2 > wrong["RS"]
    assert honest["FID"] == pytest.approx(0, abs=1e-9) and 0.02 < wrong["FID"] < soft["FID"]
    assert still["FM"] == 0 and soft["FM"] == pytest.approx(honest["FM"], rel=0.15)
    assert still["IFS"] == pytest.approx(1) and 0.9 < honest["IFS"] < 0.99


def id_of(references: np.ndarray) -> bytes:
    return references[0].tobytes()


def test_motion_counts_in_the_box_of_the_head_alone():
    rng = np.random.default_rng(0)
    clip = np.repeat(rng.integers(0, 255, (1, 1, 32, 32, 3), dtype=np.uint8), 3, axis=1)
    clip[:, 1:, :, 20:] = rng.integers(0, 255, (1, 2, 32, 12, 3), dtype=np.uint8)  # only the right side changes
    vectors = rng.normal(size=(1, 3, 8))
    left, right = np.zeros((2, 1, 3, 32, 32), bool)
    left[..., 2:6, 2:4], right[..., 8:24, 22:30] = True, True
    found = [paper_measures(clip, vectors, vectors[:, 0], vectors, heads) for heads in (left, right)]
    assert found[0]["FM"] < 0.1 * found[1]["FM"]
    assert math.isnan(found[0]["FID"])  # three frames, eight numbers
    cosines = [vectors[0, 0] @ each / np.linalg.norm(vectors[0, 0]) / np.linalg.norm(each) for each in vectors[0]]
    assert found[0]["RS"] == pytest.approx(np.mean(cosines))


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The names that are trained and the folders that are scored, without doing it."""
    names, scored = [], {}
    monkeypatch.setattr(ablations, "train_one", lambda name, *others: names.append(name) or tmp_path / name)
    monkeypatch.setattr(ablations, "score", lambda folders, *_, **__: scored.update(folders) or report_of(PAPER))
    return names, scored


@pytest.mark.parametrize("count, written", [(8, True), (7, False)])
def test_the_ablations_write_it_when_there_are_people_enough(tmp_path, trained, count, written):
    ablations.run_ablations("tiny", tmp_path, people=count, seeds=1)
    assert trained == (list(ABLATIONS), {name: tmp_path / name for name in ABLATIONS})
    assert (tmp_path / "table3.md").is_file() == written


def test_some_ablations_alone_are_trained_and_compared_without_the_table(tmp_path, trained, capsys):
    (tmp_path / "scores.md").write_text("the scores")
    wanted = ["--only", "whole", "one shared injection"]
    assert ablations.main(["tiny", "seed=1", "--out", str(tmp_path), *wanted]) == 0
    assert trained[0] == list(trained[1]) == wanted[1:] and not (tmp_path / "table3.md").exists()
    assert "the scores" in capsys.readouterr().out
    assert ablations.main(["tiny", "--out", str(tmp_path), "--only", "without hair"]) == 2
    assert "Expected some of whole, without vertices" in capsys.readouterr().err

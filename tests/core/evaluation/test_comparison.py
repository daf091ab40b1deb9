"""The command `compare`: two small models end to end, killed and resumed, and the paired test on known numbers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from consisidgolden import write_arcface
from PIL import Image
from waiting import wait_for

from fantasyid_core.__main__ import main
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.evaluation.comparison import Plan, find_people, read_prompts
from fantasyid_core.evaluation.pairedtest import paired_difference, spread_of_people
from fantasyid_core.shape import save_shape, synthetic_head
from fantasyid_core.tools.random_model import write_random_model

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "1"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Two small models of equal sizes, two people with 3D faces, two prompts, a stand-in for ArcFace."""
    folder = tmp_path_factory.mktemp("compare")
    write_random_model(folder / "FantasyID", 1)
    write_random_model(folder / "ConsisID", 2, TransformerConfig.tiny(), AdapterConfig.consisid_tiny())
    (folder / "photos").mkdir()
    for number, name in enumerate(("anna", "ben")):
        noise = np.random.default_rng(number).integers(0, 256, (80, 90, 3)).astype(np.uint8)
        Image.fromarray(noise).resize((180, 160)).save(folder / "photos" / f"{name}.png")
        save_shape(synthetic_head(3)[0], folder / "photos" / f"{name}.ply")
    (folder / "prompts.txt").write_text("a person smiles\n\n# left out\na person walks\n")
    write_arcface(folder / "glintr100.onnx")
    return folder


def arguments(folder: Path, out: Path) -> list[str]:
    models = [str(folder / name) for name in ("FantasyID", "ConsisID")]
    return [
        "compare", "--models", *models, "--photos", str(folder / "photos"), "--prompts", str(folder / "prompts.txt"),
        "--seeds", "1", "--out", str(out), "--steps", "1", "--device", "cpu", "--detector", "none", "--approximate",
        "--arcface", str(folder / "glintr100.onnx"),
    ]  # fmt: skip


def videos(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in sorted(out.rglob("[!.]*.mp4"))}


@pytest.fixture(scope="module")
def resumed(workplace, tmp_path_factory):
    """(folder, made): a comparison that was killed and then ran to its end, and the videos that were made before."""
    out = tmp_path_factory.mktemp("resumed") / "out"
    run = subprocess.Popen(
        [sys.executable, "-m", "fantasyid_core", *arguments(workplace, out)], env={**os.environ, **ENVIRONMENT},
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: videos(out) or run.poll() is not None)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    made = videos(out)
    assert made and len(made) < 8 and not (out / "report.json").exists()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that have to make the same bytes
    try:
        assert main(arguments(workplace, out)) == 0
    finally:
        torch.set_num_threads(threads)
    return out, made


def test_a_killed_comparison_goes_on_and_ends_in_a_report(resumed):
    out, made = resumed
    after = videos(out)
    assert len(after) == 8 and made.items() <= after.items()  # those of before were not made again
    assert not list(out.rglob(".*"))
    report = json.loads((out / "report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["FantasyID", "ConsisID"]
    for name in ("RS", "IFS", "FM"):
        assert all(model["mean"][name]["count"] == 4 for model in report["models"])
        difference = report["difference"][name]
        first, second = (model["mean"][name]["mean"] for model in report["models"])
        assert difference["unit"] == "person" and difference["pairs"] == 2
        assert difference["mean"] == pytest.approx(first - second, abs=1e-6)
    assert all(model["FID"]["value"] is None and model["unavailable"]["FID"] for model in report["models"])
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.height > 8 * 60
    page = (out / "report.html").read_text()
    for path in after:
        assert f"src='{path}'" in page
    assert page.count("<figure>") == 8 and "a person walks" in page


def compare_in_processes(count: int, words: list[str], logs: Path) -> list[list[str]]:
    """Runs the command in processes that know of each other as a launcher starts them; the videos that each made."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    logs.mkdir()
    common = {**os.environ, **ENVIRONMENT, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    parts, told = [], [logs / f"{rank}.txt" for rank in range(count)]
    for rank, path in enumerate(told):
        with path.open("w") as stream:
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, "-m", "fantasyid_core", *words]
            parts.append(subprocess.Popen(command, env=common | place, cwd=ROOT, stdout=stream, stderr=stream))
    try:
        codes = [part.wait(200) for part in parts]
    finally:
        for part in parts:
            part.kill()
    texts = [path.read_text() for path in told]
    assert codes == [0] * count, texts
    return [re.findall(r"^\d+ of 8: (\w+, \w+)$", text, re.MULTILINE) for text in texts]


def test_two_processes_make_the_videos_and_the_report_of_one(workplace, resumed, tmp_path):
    made = compare_in_processes(2, arguments(workplace, tmp_path / "two"), tmp_path / "logs")
    takes = {name for part in made for name in part}
    assert list(map(len, made)) == [4, 4] and len(takes) == 8  # none by both, none twice
    for part in made:  # each has its share of both models, one after the other
        assert [name.split(",")[0] for name in part] == ["FantasyID"] * 2 + ["ConsisID"] * 2
    one, two = (
        {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (resumed[0], tmp_path / "two")
    )
    assert two.keys() == one.keys() and {"report.json", "report.html", "sheet.png"} < one.keys()
    assert [name for name in one if two[name] != one[name]] == []
    table, others = ((tmp_path / "logs" / f"{rank}.txt").read_text() for rank in range(2))
    assert "| RS |" in table and "| RS |" not in others  # the first process alone writes the report
    (tmp_path / "two" / "videos" / "ConsisID" / "anna__prompt1_seed0.mp4").unlink()
    again = compare_in_processes(2, arguments(workplace, tmp_path / "two"), tmp_path / "later")
    assert sorted(again) == [[], ["ConsisID, anna__prompt1_seed0"]]


def test_another_comparison_does_not_mix_with_it(workplace, tmp_path, capsys):
    from fantasyid_core.__main__ import parser
    from fantasyid_core.cli.compare import plan_of
    from fantasyid_core.evaluation.comparison import begin

    given = arguments(workplace, tmp_path)
    plan = plan_of(parser().parse_args(given))
    begin(plan, tmp_path)
    begin(plan, tmp_path)  # the same again
    other = plan_of(parser().parse_args([*given, "--seed", "5"]))
    with pytest.raises(ValueError, match="holds a comparison with other seeds"):
        begin(other, tmp_path)
    other = plan_of(parser().parse_args([*given, "--cfg", "3"]))
    with pytest.raises(ValueError, match="holds a comparison with other sampling"):
        begin(other, tmp_path)


def test_both_models_begin_with_the_same_noise(workplace, monkeypatch):
    from fantasyid_core import pipeline
    from fantasyid_core.face.photo import FaceRequest
    from fantasyid_core.request import PersonRequest

    seen, original = [], pipeline.sample

    def remember(denoise, noise, *rest):
        seen.append(noise.clone())
        return original(denoise, noise, *rest)

    monkeypatch.setattr(pipeline, "sample", remember)
    photos = workplace / "photos"
    for name, shape in (("FantasyID", photos / "anna.ply"), ("ConsisID", None)):
        person = PersonRequest(photos / "anna.png", shape, FaceRequest("none"))
        inputs = pipeline.Inputs(workplace / name, person, approximate=True)
        pipeline.make_latents(pipeline.Run(inputs, pipeline.Settings("a person", steps=1, seed=3, device="cpu")))
    assert torch.equal(*seen)


def test_people_are_named_by_their_photos(tmp_path):
    for name in ("anna__left.png", "anna__right.jpg", "ben.png", ".hidden.png", "notes.txt", "ben.ply"):
        (tmp_path / name).touch()
    anna, ben = find_people(tmp_path)
    assert (anna.name, [path.name for path in anna.photos], anna.shape) == (
        "anna", ["anna__left.png", "anna__right.jpg"], None,
    )  # fmt: skip
    assert ben.name == "ben" and ben.shape == tmp_path / "ben.ply"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: find_people(folder / "gone"), "There is no folder of photos"),
        (lambda folder: find_people(folder), "holds no photos"),
        (lambda folder: read_prompts(folder / "empty.txt"), "holds no prompt"),
        (lambda folder: Plan((folder,), (), (), (0,), {}), "Expected two models to compare, got 1"),
        (lambda folder: Plan((folder, folder), (), (), (1, 1), {}), "Expected different seeds"),
        (lambda folder: Plan((folder, folder / "gone"), (), (), (1,), {}), "There is no model folder"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, make, message):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(tmp_path)


def test_a_person_counts_once_however_many_videos():
    first = {("a", "1"): 1.0, ("a", "2"): 3.0, ("b", "1"): 5.0, ("b", "2"): None, ("c", "1"): 2.0}
    second = {("a", "1"): 0.0, ("a", "2"): 0.0, ("b", "1"): 1.0, ("b", "2"): 0.0}
    found = paired_difference(first, second)
    assert (found["unit"], found["pairs"], found["mean"]) == ("person", 2, 3.0)  # a: 2, b: 4
    assert found["p"] == pytest.approx(0.5)  # of 4 ways to flip two signs, 2 are as far from 0


def test_a_difference_that_all_people_share_is_told_from_chance():
    rng = np.random.default_rng(0)
    base = {(str(person), "x"): float(value) for person, value in enumerate(rng.normal(size=12))}
    better = {key: value + 1 + 0.1 * i for i, (key, value) in enumerate(base.items())}
    worse = {key: value + (-1) ** i * (1 + i // 2) for i, (key, value) in enumerate(base.items())}
    told, chance = paired_difference(better, base), paired_difference(worse, base)
    assert told["p"] < 0.001 and told["interval"][0] > 0.9 and told["mean"] == pytest.approx(1.55)
    assert chance["p"] > 0.5 and chance["interval"][0] < 0 < chance["interval"][1]


def test_differences_that_are_not_defined_are_none():
    assert paired_difference({}, {})["mean"] is None
    one = paired_difference({("a", "1"): 1.0}, {("a", "1"): 0.5})
    assert (one["unit"], one["mean"], one["p"], one["interval"]) == ("video", 0.5, None, None)
    assert spread_of_people([np.ones(2)], lambda drawn: 0.0) is None
    low, high = spread_of_people([np.zeros(2), np.ones(2)], lambda drawn: float(np.concatenate(drawn).mean()))
    assert (low, high) == (0.0, 1.0)

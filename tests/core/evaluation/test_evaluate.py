"""The command `evaluate`: pairs by name, metrics that are there or null with a reason, bad files, two processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fantasyid_core.__main__ import main
from fantasyid_core.evaluation import measure
from fantasyid_core.evaluation.inception import SIDE, WIDTH, Inception, load_inception
from fantasyid_core.evaluation.measure import face_crop
from fantasyid_core.evaluation.pairing import find_pairs, references_of
from fantasyid_core.videofile import save_video

RED, GREEN = (220, 20, 20), (20, 200, 20)


def picture(colour, left: int = 16, size: int = 64) -> np.ndarray:
    """A face: a square of 32 pixels on black."""
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[16:48, left : left + 32] = colour
    return canvas


def detect(image, detector="auto", folders=()):
    """Stands for the detector: what is not black is a face."""
    ys, xs = np.nonzero(image.max(axis=2) > 60)
    if len(xs) < 200:
        return []
    box = np.array([xs.min(), ys.min(), xs.max(), ys.max()], np.float32)
    return [SimpleNamespace(box=box, points=np.tile((box[:2] + box[2:]) / 2, (5, 1)), area=1.0)]


class Colours:
    """Stands for ArcFace: the vector of a face is the colour of its nose."""

    def embed(self, image, points):
        x, y = points[2].astype(int)
        return image[y, x].astype(np.float64)


def features(pixels):
    """Stands for Inception: random directions of the small picture."""
    weights = torch.randn(3 * 16, WIDTH, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.adaptive_avg_pool2d(pixels, 4).flatten(1) @ weights


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.setattr(measure, "detect_faces", detect)
    monkeypatch.setattr("fantasyid_core.face.likeness.load_likeness", lambda path, folders: Colours())
    stand_in = Inception("a stand-in", features, torch.device("cpu"))
    monkeypatch.setattr("fantasyid_core.evaluation.inception.load_inception", lambda path, device: stand_in)


@pytest.fixture
def folders(tmp_path):
    """Two people, three good videos; one damaged, one empty, one without a face; a reference and a video left over."""
    videos, references = tmp_path / "videos", tmp_path / "references"
    for folder in (videos / "more", references):
        folder.mkdir(parents=True)
    moving = lambda colour, by: np.stack([picture(colour, 8 + by * t) for t in range(5)])  # noqa: E731
    save_video(moving(RED, 0), videos / "anna__still.mp4", crf=4)
    save_video(moving(RED, 2), videos / "more" / "anna__moves.mp4", crf=4)
    save_video(moving(GREEN, 2), videos / "ben.mp4", crf=4)
    save_video(moving((0, 0, 0), 0), videos / "nobody.mp4")
    (videos / "damaged.mp4").write_bytes((videos / "ben.mp4").read_bytes()[:400])
    (videos / "empty.mp4").write_bytes(b"")
    (videos / ".hidden.mp4").write_bytes(b"")
    for name, colour in {"anna": RED, "Anna__left": RED, "ben": RED, "carla": RED}.items():
        Image.fromarray(picture(colour)).save(references / f"{name}.png")
    return videos, references


def evaluate(folders, out, *options) -> tuple[int, dict]:
    code = main(["evaluate", *map(str, (*folders, "--out", out, *options))])
    return code, json.loads((out / "report.json").read_text())


def test_the_report_has_every_metric(folders, networks, tmp_path, capsys):
    code, report = evaluate(folders, tmp_path / "out", "--json")
    assert code == 0 and json.loads(capsys.readouterr().out) == report
    rows = {row["video"]: row for row in report["videos"]}
    assert list(rows) == ["anna__still.mp4", "ben.mp4", "anna__moves.mp4"]
    still, moves, ben = (rows[name] for name in ("anna__still.mp4", "anna__moves.mp4", "ben.mp4"))
    assert still["RS"] == pytest.approx(1, abs=0.01) and still["references"] == ["Anna__left.png", "anna.png"]
    red, green = (np.array(colour) / np.linalg.norm(colour) for colour in (RED, GREEN))
    assert ben["RS"] == pytest.approx(red @ green, abs=0.03) and ben["references"] == ["ben.png"]
    assert still["FM"] < 0.05 < moves["FM"] and still["frame_difference"] < moves["frame_difference"]
    assert moves["IFS"] == pytest.approx(1, abs=0.01) and moves["why_null"] == {}
    assert (moves["frames"], moves["width"], moves["frames_without_face"]) == (5, 64, 0)
    values = [row["RS"] for row in rows.values()]
    assert report["mean"]["RS"] == {"mean": np.mean(values), "spread": np.std(values), "count": 3}
    assert report["FID"]["value"] > 0 and report["FID"]["crops"] == 15 and report["FID"]["reference_crops"] == 3
    assert report["FID"]["network"] == "a stand-in" and "fewer features" in report["FID"]["note"]
    assert report["unavailable"] == {}


def test_bad_files_are_skipped_and_listed(folders, networks, tmp_path):
    Image.new("RGB", (64, 64)).save(folders[1] / "anna__dark.png")
    (tmp_path / "nothing").mkdir()
    code, report = evaluate((tmp_path / "nothing", *folders), tmp_path / "out")
    skipped = {each["name"]: each["reason"] for each in report["skipped"]}
    assert code == 0 and set(skipped) == {
        str(tmp_path / "nothing"), "damaged.mp4", "empty.mp4", "nobody.mp4", "anna__dark.png",
    }  # fmt: skip
    assert skipped[str(tmp_path / "nothing")] == "the folder is empty"
    assert "cannot be read as a video" in skipped["damaged.mp4"] and "cannot be read" in skipped["empty.mp4"]
    assert skipped["nobody.mp4"] == "no face was found in any of its 5 frames"
    assert skipped["anna__dark.png"] == "no face was found in it"
    assert report["references_without_video"] == ["carla.png"]
    assert report["videos_without_reference"] == ["damaged.mp4", "empty.mp4", "nobody.mp4"]


def test_files_are_written_for_people(folders, networks, tmp_path):
    out = tmp_path / "out"
    evaluate(folders, out)
    text = (out / "report.md").read_text()
    assert "| video | frames | RS | IFS | FM |" in text and "**mean ± spread of 3**" in text
    assert "FID of face crops: " in text and "- empty.mp4: " in text and "- carla.png" in text
    sheet = np.asarray(Image.open(out / "sheet.png"))
    assert sheet.shape[0] > 3 * 96 and (np.abs(sheet.astype(int) - RED).max(axis=2) < 12).any()
    assert len(list((out / "plots").glob("00*.png"))) == 3
    assert not [path for path in out.rglob(".*")]


def test_metrics_without_their_network_are_null_with_the_reason(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "detect_faces", detect)
    options = ("--arcface", tmp_path / "none.onnx", "--inception", tmp_path / "none.pth")
    code, report = evaluate(folders, tmp_path / "out", *options)
    assert code == 0 and set(report["unavailable"]) == {"RS", "IFS", "FID"}
    assert "There is no file" in report["unavailable"]["RS"] and "none.pth" in report["unavailable"]["FID"]
    row = report["videos"][0]
    assert row["RS"] is row["IFS"] is report["FID"]["value"] is None and row["FM"] < 0.05
    assert row["why_null"]["RS"] == report["unavailable"]["RS"]
    assert "## Not computed" in capsys.readouterr().out


def test_without_a_detector_the_measures_of_pixels_remain(folders, tmp_path, monkeypatch):
    def broken(image, detector, folders):
        raise RuntimeError("No face detector can be used here.")

    monkeypatch.setattr(measure, "detect_faces", broken)
    code, report = evaluate(folders, tmp_path / "out")
    assert code == 0 and report["unavailable"]["FM"] == "No face detector can be used here."
    names = [row["video"] for row in report["videos"]]
    assert "nobody.mp4" in names and len(names) == 4  # nobody can say that there is no face
    assert all(row["FM"] is None and row["sharpness"] is not None for row in report["videos"])


def test_without_matplotlib_only_the_overview_is_missing(folders, networks, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _ = evaluate(folders, tmp_path / "out")
    assert code == 0 and "pip install matplotlib" in capsys.readouterr().err
    assert not (tmp_path / "out" / "plots" / "overview.png").exists() and (tmp_path / "out" / "sheet.png").exists()


def test_a_video_of_one_frame_has_no_motion(folders, networks, tmp_path):
    save_video(picture(RED)[None], tmp_path / "one.mp4")
    _, report = evaluate((tmp_path / "one.mp4", folders[1] / "anna.png"), tmp_path / "out")
    row = report["videos"][0]
    assert row["RS"] == pytest.approx(1, abs=0.01) and row["references"] == ["anna.png"]  # one picture is everybody's
    assert row["FM"] is None and row["why_null"]["frame_difference"] == "the video has only 1 frames"
    assert report["FID"]["value"] is None and "at least 2 face crops" in report["unavailable"]["FID"]


def test_a_video_without_reference_has_no_likeness(folders, networks, tmp_path):
    for path in folders[1].glob("*nna*"):
        path.unlink()
    _, report = evaluate(folders, tmp_path / "out")
    row = report["videos"][0]
    assert row["RS"] is None and row["why_null"] == {"RS": "no reference picture belongs to it"}
    assert row["IFS"] == pytest.approx(1, abs=0.01) and "anna__still.mp4" in report["videos_without_reference"]


def test_nothing_to_measure_is_an_error(folders, networks, tmp_path, capsys):
    videos, references = folders
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("")
    for paths, message in (
        ((tmp_path / "nothing", references), "There is no video to evaluate"),
        ((videos, tmp_path / "nothing"), "There is no reference picture"),
        ((videos, tmp_path / "notes"), "got 1 others"),
        ((tmp_path / "typo", references), "Expected a folder with videos, or a file"),
        ((videos, tmp_path / "typo"), "Expected a folder with reference pictures"),
        ((videos, references, "--crops", "0"), "Expected at least 1 crop"),
    ):
        assert main(["evaluate", *map(str, paths), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main(["evaluate", str(videos / "nobody.mp4"), str(references), "--out", str(tmp_path / "out")]) == 1
    assert "no face was found" in (tmp_path / "out" / "report.md").read_text()


def test_names_decide_who_belongs_to_whom(tmp_path):
    pictures = [Path(name) for name in ("anna.png", "Anna__side.jpg", "anna__smiles.png", "annabel.png")]
    assert references_of(Path("ANNA__turns.mp4"), pictures) == tuple(pictures[:3])
    assert references_of(Path("anna__smiles.mp4"), pictures) == (pictures[2],)
    assert references_of(Path("annabel__x__y.mp4"), pictures) == (pictures[3],)
    assert references_of(Path("ann.mp4"), pictures) == ()
    for name in ("a/x.mp4", "b/x.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    pairs = find_pairs([tmp_path, tmp_path / "a" / "x.mp4"], tmp_path / "x.png")
    assert [pair.name for pair in pairs.videos] == ["a/x.mp4", "b/x.mp4"]  # each once


def test_the_crop_of_a_face_is_a_square_inside_the_picture():
    ramp = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3)
    assert np.array_equal(face_crop(ramp, np.array([20, 10, 29, 29])), ramp[10:30, 15:35])
    assert face_crop(ramp, np.array([-10.0, 0, 10, 20])).shape == (21, 11, 3)


def take_part(rank, port, arguments, output):
    from accelerate.state import PartialState

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", ACCELERATE_USE_CPU="true")
    with open(output, "w") as stream:
        sys.stderr = sys.stdout = stream
        PartialState._reset_state()
        torch.set_num_threads(1)
        sys.exit(main(arguments))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_make_the_report_of_one(folders, networks, tmp_path):
    torch.set_num_threads(1)
    evaluate(folders, tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["evaluate", *map(str, folders), "--out", str(tmp_path / "two")]
    context, outputs = multiprocessing.get_context("fork"), [tmp_path / f"{rank}.txt" for rank in range(2)]
    parts = [context.Process(target=take_part, args=(rank, port, arguments, outputs[rank])) for rank in range(2)]
    for part in parts:
        part.start()
    for part in parts:
        part.join(120)
    told = [path.read_text() for path in outputs]
    assert [part.exitcode for part in parts] == [0, 0], told
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    done = [[line for line in text.splitlines() if " of 6)" in line] for text in told]
    assert [len(lines) for lines in done] == [3, 3]


def small_inception(changes=lambda tensors: tensors):
    models = pytest.importorskip("torchvision.models")
    network = models.inception_v3(weights=None, init_weights=False, aux_logits=True)
    tensors = {name: value for name, value in network.state_dict().items() if not name.startswith("AuxLogits.")}
    return network, changes({name: value.contiguous() for name, value in tensors.items()})


def test_torchvisions_network_takes_the_users_weights(tmp_path):
    torch.manual_seed(0)
    network, tensors = small_inception()
    save_file(tensors, tmp_path / "weights.safetensors")
    inception = load_inception(tmp_path / "weights.safetensors")
    assert inception.name == "torchvision inception_v3, weights.safetensors"
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    found = inception.embed([picture])
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        wanted = network.eval()(torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1)
    assert found.shape == (1, WIDTH) and np.allclose(found, wanted.numpy(), atol=1e-4)
    assert inception.embed([]).shape == (0, WIDTH)


def test_other_weights_are_refused(tmp_path, monkeypatch):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is not torchvision's inception_v3: \\d+ tensors are missing"):
        load_inception(tmp_path / "other.safetensors")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="--inception"):
        load_inception()
    bad = Inception("a bad one", lambda pixels: torch.full((len(pixels), 3), torch.nan), torch.device("cpu"))
    with pytest.raises(RuntimeError, match="a bad one gave features"):
        bad.embed([picture(RED)])

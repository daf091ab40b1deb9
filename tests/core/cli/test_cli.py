"""The commands, called as `main(argv)`: what they print, their exit codes, and every kind of bad input."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from fantasyid_core import pipeline
from fantasyid_core.__main__ import main
from fantasyid_core.face.align import Framing
from fantasyid_core.shape import save_shape, synthetic_head
from fantasyid_core.tools.random_model import write_random_model
from fantasyid_core.videofile import read_video

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_random_model(folder / "model")
    vertices, faces = synthetic_head(3)
    save_shape(vertices, folder / "face.ply", faces)
    save_shape(vertices[:600], folder / "short.ply")
    ramp = np.linspace(0, 255, 200 * 150 * 3).reshape(200, 150, 3).astype(np.uint8)
    Image.fromarray(ramp).save(folder / "face.png")
    Image.fromarray(ramp[:1, :1]).save(folder / "dot.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def generate(source, tmp_path):
    """generate(option=value, ...) -> exit code; the video, if any, is at tmp_path/out/video.mp4."""

    def run(**changes) -> int:
        options = {
            "model": source / "model",
            "image": source / "face.png",
            "shape": source / "face.ply",
            "prompt": "a person smiles",
            "out": tmp_path / "out" / "video.mp4",
            "steps": 1,
            "device": "cpu",
            "detector": "none",  # the ramp shows no face
            **changes,
        }
        return main(["generate", *(part for key, value in options.items() for part in (f"--{key}", str(value)))])

    return run


@pytest.fixture
def model(source, tmp_path):
    return shutil.copytree(source / "model", tmp_path / "model")


def test_generate_writes_a_playable_video(generate, tmp_path, capsys):
    video = tmp_path / "out" / "video.mp4"
    assert generate(points="50,60 90,60 70,90 55,120 85,120", negative="blurred", seed=3) == 0
    frames = read_video(video)
    assert frames.shape == (9, 64, 96, 3) and frames.std() > 5
    assert f"9 frames of 96x64: {video}" in capsys.readouterr().out
    first = video.read_bytes()
    assert generate(points="50,60 90,60 70,90 55,120 85,120", negative="blurred", seed=3) == 0
    assert video.read_bytes() == first


def test_every_option_reaches_the_settings(source, tmp_path, monkeypatch):
    import torch

    seen = []

    def record(inputs, settings, progress):
        seen.append((inputs, settings))
        return np.zeros((2, 16, 16, 3), np.uint8)

    monkeypatch.setattr(pipeline, "generate", record)
    options = f"--model {source}/model --image i --shape s --out {tmp_path}/v.mp4 --seed 5 --steps 7 --cfg 2 "
    options += "--strength 0.5 --solver ddim --device cpu --dtype fp16 --offload sequential --tiling "
    options += "--negative-prompt bad --topology t --face-encoder e --prompt good "
    options += "--detector cascade --face left-to-right --number 2 --like l --padding 0.1 --hair-margin 0.2 "
    options += "--neck-margin 0.3 --rotation 4 --models m --deca d --flame f --pose photographed "
    options += "--references concatenate --approximate"
    assert main(["generate", *options.split()]) == 0
    inputs, settings = seen[0]
    person, request = inputs.person, inputs.person.request
    assert (inputs.model, inputs.topology, inputs.face_encoder) == (f"{source}/model", "t", "e") and inputs.approximate
    assert (person.photos, person.shape, person.deca, person.flame, person.like) == (["i"], "s", "d", "f", "l")
    assert (person.pose, person.references) == ("as photographed", "concatenate")
    assert (request.detector, request.how, request.number, request.folders) == ("cascade", "left to right", 2, ("m",))
    assert request.framing == Framing(0.1, 0.2, 0.3, 4.0) and request.points is None
    assert settings == pipeline.Settings(
        "good", "bad", 5, 7, 2.0, 0.5, "ddim", "cpu", torch.float16, "sequential", True
    )


def test_a_long_prompt_is_cut_and_noted(generate, capsys):
    assert generate(prompt="word " * 60) == 0
    assert "note: The prompt has 301 tokens, the model reads 226; this part is left out" in capsys.readouterr().err


def test_inspect_says_whether_a_folder_is_usable(source, tmp_path, capsys):
    assert main(["inspect", str(source / "model")]) == 0
    output = capsys.readouterr().out
    assert "Usable." in output and "2 injected layers" in output and "while sampling" in output
    assert main(["inspect", str(tmp_path)]) == 1
    assert "Not usable yet because of: transformer" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "absent")]) == 2


def test_convert_writes_two_files_and_refuses_other_models(source, tmp_path, capsys):
    assert main(["convert", str(source / "model"), str(tmp_path), "--dtype", "bf16"]) == 0
    output = capsys.readouterr().out
    for text in ("before ", "model_dit_bf16.safetensors", "model_adapter_bf16.safetensors", "84,028 live, 0 dead"):
        assert text in output
    assert main(["convert", str(source / "model" / "vae"), str(tmp_path)]) == 2
    assert "a VAE" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit:
        main(["convert", str(source / "model"), str(tmp_path), "--dtype", "int4"])
    assert exit.value.code == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "absent"}, "no model folder at absent"),
        ({"model": "{source}/face.png"}, "Expected the folder of a model .* got the file"),
        ({"model": "{source}/model/vae"}, "it looks like a VAE"),
        ({"model": "{source}/model/text_encoder"}, "it looks like a T5 text encoder"),
        ({"image": "absent.png"}, "no picture at absent.png"),
        ({"image": "{source}/dot.png"}, "dot.png has 1 x 1 pixels: expected at least 64"),
        ({"image": "{source}/notes.txt"}, "notes.txt is a text file, not a picture"),
        ({"shape": "absent.ply"}, "no shape at absent.ply"),
        ({"shape": "{source}/short.ply"}, "expected 642 FLAME vertices, got 600"),
        ({"strength": "nan"}, "strength must be a finite number"),
        ({"cfg": "inf"}, "Guidance must be a finite number"),
        ({"steps": "0"}, "1 to 1000 sampling steps"),
        ({"detector": "mediapipe"}, "no face found"),
        ({"padding": "9"}, "padding"),
        ({"points": "1,2 3,4"}, "Expected 5 points"),
        ({"points": "50,60 90,60 70,90 55,120 85,1200"}, "Point 5 of 5"),
        ({"device": "toaster"}, "toaster"),
        ({"topology": "absent.pkl"}, "absent.pkl"),
        ({"face-encoder": "absent.pt"}, "Expected the face encoder's weights at absent.pt"),
        ({"face-encoder": "{source}/model/vae/diffusion_pytorch_model.safetensors"}, "image tower of EVA02"),
        ({"out": "{source}/face.png/video.mp4"}, "face.png is not a writable folder"),
        ({"out": "video.avi"}, "ends in .mp4, got video.avi"),
    ],
)
def test_bad_input_ends_in_one_message(generate, source, tmp_path, capsys, changes, message):
    changes = {key: value.format(source=source) for key, value in changes.items()}
    assert generate(**changes) == 2
    captured = capsys.readouterr().err
    error = captured[captured.index("error: ") :]
    assert "Traceback" not in captured
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_a_model_folder_without_config_is_refused(generate, model, capsys):
    (model / "transformer" / "config.json").unlink()
    assert generate(model=model) == 2
    # The tiny adapter's sizes differ from the release's, so the weights do not fit what is assumed.
    assert "error: " in capsys.readouterr().err


def test_a_truncated_model_is_named(generate, model, capsys):
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:-1000])
    assert generate(model=model) == 2
    assert "truncated or corrupt. Download it again" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["layer_attention.1.to_q.weight", "transformer_blocks.1.norm1.linear.bias"])
def test_missing_layers_are_named(generate, model, missing, capsys):
    state = load_file(model / WEIGHTS)
    del state[missing]
    save_file(state, model / WEIGHTS)
    assert generate(model=model) == 2
    assert missing.split(".", 1)[1] in capsys.readouterr().err


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "face_encoder"])
def test_missing_parts_are_named(generate, model, part, capsys):
    shutil.rmtree(model / part)
    assert generate(model=model) == 2
    assert f"{part}" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["identity", "sampling", "frames"])
def test_an_interrupt_leaves_no_file(generate, tmp_path, monkeypatch, stage, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "video.mp4").write_bytes(b"earlier")
    original = pipeline.generate

    def interrupted(inputs, settings, progress):
        def stop(name, done, total):
            if name == stage:
                raise KeyboardInterrupt

        return original(inputs, settings, stop)

    monkeypatch.setattr(pipeline, "generate", interrupted)
    assert generate() == 130
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"earlier"]
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["generate"], ["inspect"], ["convert"], ["demo"]])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys; from fantasyid_core.__main__ import main\n"
        f"try: main({[*command, '--help']})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'transformers', 'PIL', 'av', 'skimage'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "usage" in run.stdout

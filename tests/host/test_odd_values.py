"""Odd values at every input of every node: a result, or a sentence of this project's own.

The short version of each test runs always, the long one with `pytest -m soak`.
"""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch
from consisidgolden import write_arcface
from odd_prompts import everything, feed, known_to, places, with_files
from safetensors.torch import save_file

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


@pytest.fixture
def with_tiny(host, pack) -> dict:
    return everything()


@pytest.fixture
def faces_in_noise(pack, monkeypatch):
    """The small release makes noise: in pictures of its size everybody sees a face, in others who is there."""
    score = __import__(pack.__name__ + ".fantasyid_core.evaluation.score", fromlist=["face_finder"])
    original = score.face_finder

    def finder(*args, **kwargs):
        look = original(*args, **kwargs)

        def find(picture):
            height, width = picture.shape[:2]
            box = np.array([0.0, 0.0, width, height])
            return (np.full(512, 512**-0.5, np.float32), box) if width < 200 else look(picture)

        return find

    monkeypatch.setattr(score, "face_finder", finder)


@pytest.fixture
def with_the_files(host, pack, small_host_models, face_files, faces_in_noise) -> dict:
    """The prompt, and the files that it names."""
    for package in ("insightface", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: no faces can be compared")
    core = __import__(pack.__name__ + ".fantasyid_core.weights.adapter", fromlist=["save_adapter"])
    models, person = host.models_dir, {"shape": ["ls", 0], "face": ["cf", 0], "encoder": ["lf", 0]}
    with torch.inference_mode():
        model, adapter, *_ = host.node_classes["FantasyID_LoadModel"].execute(model="FantasyID", dtype="fp32").result
    core.save_adapter(adapter, models / "fantasyid" / "odd.safetensors")
    width = model.model.diffusion_model.blocks[0].q.weight.shape
    key = "transformer.transformer_blocks.0.attn1.to_q.lora_{}.weight"
    (models / "loras").mkdir(exist_ok=True)
    lora = {key.format("A"): torch.ones(4, width[1]), key.format("B"): torch.ones(width[0], 4)}
    save_file(lora, models / "loras" / "odd.safetensors")
    arcface = write_arcface(models / "insightface" / "models" / "antelopev2" / "glintr100.onnx")
    prompt = known_to(host, with_files(""))
    parts = {name: prompt[name] for name in ("ph", "la", "lf", "ls", "cf")}
    parts["i"] = {**prompt["i"], "inputs": {"adapter": ["la", 0], "references": "average", **person}}
    parts["si"] = {**prompt["si"], "inputs": {"identity": ["i", 0], "filename_prefix": "odd/saved"}}
    host.run(parts)
    (path,) = host.output_dir.glob("odd/saved*.safetensors")
    yield known_to(host, with_files(f"odd/{path.name} [output]"))
    path.unlink()
    shutil.rmtree(arcface.parents[2])


def test_the_prompts_name_every_input_of_every_node(host, pack):
    named: dict[str, set] = {}
    for each in (*everything().values(), *known_to(host, with_files("")).values()):
        named.setdefault(each["class_type"], set()).update(each["inputs"])
    for name in filter(lambda name: name.startswith("FantasyID_"), host.node_classes):
        info = host.object_info(name)["input"]
        assert set(info.get("required", {})) | set(info.get("optional", {})) <= named.get(name, set()), name


def test_some_odd_values_end_in_an_error_of_the_node(host, with_tiny):
    host.run(with_tiny)
    assert not feed(host, with_tiny, random.Random(1).sample(places(with_tiny), 40))


def test_some_odd_values_end_in_an_error_of_what_reads_files(host, with_the_files):
    host.run(with_the_files)
    assert not feed(host, with_the_files, random.Random(2).sample(places(with_the_files, everything()), 30))


@pytest.mark.soak
@pytest.mark.parametrize("prompt", ["with_tiny", "with_the_files"])
def test_every_odd_value_at_every_input_ends_in_an_error_of_the_node(host, prompt, request, capsys):
    prompt = request.getfixturevalue(prompt)
    host.run(prompt)
    chosen = places(prompt, everything() if prompt != everything() else None)
    wrong = feed(host, prompt, chosen)
    with capsys.disabled():
        print(f"\n{len(chosen)} odd values: {len(wrong)} ended below a node")
    assert not wrong, "\n".join(wrong)
